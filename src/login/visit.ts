/**
 * One request to the sign-in pages: the engine's interaction, the client that sent the person here, and what this browser
 * carries. An interaction is found by the engine's own cookie, which is scoped to its path: the address alone opens nothing
 * (threat A30).
 */
import type Provider from 'oidc-provider';
import { fail } from '../errors.ts';
import { contentSecurityPolicy } from '../http/security-headers.ts';
import type { Context } from '../http/server.ts';
import type { LoginClient, Oidc } from '../oidc/provider.ts';
import type { Step, Steps, WayBack } from './step.ts';

export type Interaction = Awaited<ReturnType<Provider['interactionDetails']>>;

export type Visit = {
  uid: string;
  /** Path of the sign-in page. */
  base: string;
  interaction: Interaction;
  client: LoginClient;
  step: Step;
  /** Host of the place the person is going back to. */
  host: string;
  /** What a form of a page may lead to at the end, for its policy. */
  formTargets: string[];
};

export type VisitDependencies = { oidc: Pick<Oidc, 'provider' | 'loginClient'>; steps: Steps };

/** What is there instead of a visit. */
export type Ended =
  /** Signed in a moment ago, by the other click of a double click say: the engine's address that leads on. */
  { kind: 'leads_on'; url: string } | { kind: 'done' | 'expired'; back: WayBack | undefined };

export async function openVisit(ctx: Context, { oidc, steps }: VisitDependencies): Promise<Visit | Ended> {
  const uid = String(ctx.params.uid);
  if (!/^[\w-]{16,64}$/.test(uid)) throw fail('not_found');
  const kept = steps.read(ctx, uid);
  const interaction = await findInteraction(ctx, oidc.provider);
  if (interaction?.uid !== uid) return { kind: kept?.is_done ? 'done' : 'expired', back: kept?.back };
  if (interaction.result) return { kind: 'leads_on', url: interaction.returnTo };
  const client = await oidc.loginClient(String(interaction.params.client_id));
  if (!client) return { kind: 'expired', back: undefined };
  const redirect = new URL(String(interaction.params.redirect_uri));
  const step = kept ?? steps.create();
  step.back = wayBack(client, redirect);
  ctx.state.uiLocales = String(interaction.params.ui_locales ?? '');
  const formTargets = [formTarget(redirect)];
  ctx.set('Content-Security-Policy', contentSecurityPolicy(formTargets));
  const host = redirect.host || redirect.protocol;
  return { uid, base: `/login/${uid}`, interaction, client, step, host, formTargets };
}

/** Undefined when it has expired, was finished, or belongs to another browser. */
export async function findInteraction(ctx: Context, provider: Provider): Promise<Interaction | undefined> {
  try {
    return await provider.interactionDetails(ctx.req, ctx.res);
  } catch (error) {
    if (error instanceof Error && error.name === 'SessionNotFound') return undefined;
    throw error;
  }
}

/** The address was validated by the engine before the interaction began, so this is no open redirect (threat E9). */
function wayBack(client: LoginClient, redirect: URL): WayBack | undefined {
  if (!/^https?:$/.test(redirect.protocol)) return undefined;
  return { name: client.name.slice(0, 80), url: redirect.origin };
}

/**
 * Chromium and Safari check the whole redirect chain of a posted form against form-action, the client's callback included.
 * An app's own scheme has no origin, and an IPv6 address cannot be written in a policy: their scheme stands for them.
 */
export function formTarget(url: URL): string {
  return url.origin === 'null' || url.hostname.startsWith('[') ? url.protocol : url.origin;
}
