/**
 * The page on which a person lets another company's client have their data (PIPL article 23), and what follows from the answer.
 * Clients of our own company never lead here.
 */
import type Provider from 'oidc-provider';
import { recordAudit } from '../audit/audit.ts';
import type { Database } from '../database.ts';
import type { I18n, Translate } from '../http/i18n.ts';
import type { Render } from '../http/render.ts';
import type { Context } from '../http/server.ts';
import { translatorOf } from './dependencies.ts';
import { answer } from './finish.ts';
import type { Visit } from './visit.ts';

export type ConsentDependencies = { db: Database; render: Render; i18n: I18n; oidc: { provider: Provider } };

/** What the engine found missing in the grant. */
type Missing = {
  missingOIDCScope?: string[];
  missingOIDCClaims?: string[];
  missingResourceScopes?: Record<string, string[]>;
};

const missingOf = ({ interaction }: Visit) => interaction.prompt.details as Missing;

export function showConsent(ctx: Context, deps: ConsentDependencies, visit: Visit): void {
  const t = translatorOf(ctx, deps);
  const missing = missingOf(visit);
  const scopes = [...(missing.missingOIDCScope ?? []), ...Object.values(missing.missingResourceScopes ?? {}).flat()];
  const { base, client, host } = visit;
  const sentences = [...new Set(scopes)].map((scope) => scopeSentence(t, scope));
  deps.render(ctx, 'login/consent', {
    base,
    client: client.name,
    host,
    scopes: sentences,
  });
}

/** A scope that an operator added has no sentence: it is shown as it is written. */
function scopeSentence(t: Translate, scope: string): string {
  const key = `scopes.${scope.replaceAll(':', '_')}`;
  const sentence = t(key);
  return sentence === key ? scope : sentence;
}

/** @returns the engine's address that leads on; undefined when the interaction is gone. */
export async function allowClient(
  ctx: Context,
  { db, oidc }: ConsentDependencies,
  visit: Visit,
): Promise<string | undefined> {
  const { interaction, client } = visit;
  const accountId = interaction.session?.accountId;
  if (!accountId) return undefined;
  const known = interaction.grantId ? await oidc.provider.Grant.find(interaction.grantId) : undefined;
  const grant = known ?? new oidc.provider.Grant({ accountId, clientId: client.client_id });
  const missing = missingOf(visit);
  if (missing.missingOIDCScope) grant.addOIDCScope(missing.missingOIDCScope);
  if (missing.missingOIDCClaims) grant.addOIDCClaims(missing.missingOIDCClaims);
  for (const [resource, scopes] of Object.entries(missing.missingResourceScopes ?? {}))
    grant.addResourceScope(resource, scopes);
  const grantId = await grant.save();
  await recordAudit(db, {
    action: 'client.authorised',
    actor_kind: 'person',
    actor_id: accountId,
    subject_id: accountId,
    client_id: client.client_id,
    ip: ctx.state.ip,
    request_id: ctx.state.requestId,
    details: { scopes: [...(missing.missingOIDCScope ?? [])], resources: missing.missingResourceScopes ?? {} },
  });
  return answer(ctx, oidc.provider, { consent: { grantId } }, { mergeWithLastSubmission: true });
}
