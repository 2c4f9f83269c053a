/**
 * Who is asked what at /authorize.
 *
 * First-party clients are the company itself: no consent page, and a refresh token when offline_access is asked. The engine
 * drops offline_access unless `prompt=consent` came with it (checkScope), so for them the context says it did, and the consent
 * prompt has nothing to ask. Editing the request instead would have to be done at /authorize and at /par, each before the engine
 * parses it; issuing refresh tokens to all (`issueRefreshToken: true`) would give them to clients that did not ask.
 * `prompt=none` gets none: the engine wants `none` alone.
 */
import type { KoaContextWithOIDC, OIDCContext } from 'oidc-provider';
import { ours } from './clients.ts';
import { type Engine, interactionPolicy } from './engine.ts';
import { words } from './scopes.ts';

export function promptPolicy() {
  const policy = interactionPolicy.base();
  const login = policy.get('login');
  // A session whose person was merged away or suspended: the engine would go on without an account and fail.
  login?.checks.add(
    new interactionPolicy.Check(
      'subject_gone',
      'End-User authentication is required',
      'login_required',
      ({ oidc }) => Boolean(oidc.session?.accountId) && !oidc.account,
    ),
  );
  for (const check of policy.get('consent')?.checks ?? []) {
    const asked = check.check;
    check.check = (ctx) => !isFirstParty(ctx) && asked(ctx);
  }
  return policy;
}

function isFirstParty({ oidc }: KoaContextWithOIDC): boolean {
  return oidc.client !== undefined && ours(oidc.client).party === 'first';
}

/** Each engine has a context class of its own, so this changes no other one. */
export function implyConsent(provider: Engine): void {
  const { prototype } = provider.OIDCContext;
  const prompts = Object.getOwnPropertyDescriptor(prototype, 'prompts')?.get;
  if (!prompts) throw new Error('oidc-provider: OIDCContext has no getter "prompts" any more');
  Object.defineProperty(prototype, 'prompts', {
    configurable: true,
    get(this: OIDCContext) {
      const { client, params } = this;
      const isFirst = client !== undefined && ours(client).party === 'first';
      const isImplied = isFirst && !params?.prompt && words(params?.scope).includes('offline_access');
      return isImplied ? new Set(['consent']) : prompts.call(this);
    },
  });
}

/** The grant behind this browser and client. For first-party clients it is made, or widened to what is asked now. */
export async function loadExistingGrant(ctx: KoaContextWithOIDC) {
  const { oidc } = ctx;
  const { client, account, session } = oidc;
  if (!client || !account || !session) return undefined;
  const grantId = oidc.result?.consent?.grantId ?? session.grantIdFor(client.clientId);
  const found = grantId ? await oidc.provider.Grant.find(grantId) : undefined;
  const known = found?.accountId === account.accountId ? found : undefined;
  if (!isFirstParty(ctx)) return known;
  const grant = known ?? new oidc.provider.Grant({ accountId: account.accountId, clientId: client.clientId });
  const before = JSON.stringify([grant.openid, grant.resources]);
  grant.addOIDCScope([...new Set([...words(grant.getOIDCScope()), ...oidc.requestParamOIDCScopes])]);
  for (const [resource, server] of Object.entries(oidc.resourceServers ?? {})) {
    const asked = [...oidc.requestParamScopes].filter((scope) => words(server.scope).includes(scope));
    if (asked.length) grant.addResourceScope(resource, asked);
  }
  if (!known || before !== JSON.stringify([grant.openid, grant.resources]) || grant.ttlPercentagePassed() >= 10) {
    // Its life counts from the newest sign-in: a refresh token given now must not outlive it.
    grant.exp = undefined;
    grant.iat = undefined as unknown as number;
    await grant.save();
  }
  return grant;
}
