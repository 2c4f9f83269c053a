/** Tokens for a person who proved who they are without a browser: the same kinds, lifetimes and families as the code flow gives. */
import type { Clock } from '../clock.ts';
import type { Database } from '../database.ts';
import type { Seal } from '../seal.ts';
import { claimsOf } from '../subjects/subjects.ts';
import { artifactId } from './adapter.ts';
import { type EngineClient, tokenExchange } from './clients.ts';
import { errors } from './engine.ts';
import { lifetimes } from './lifetimes.ts';
import { apiResource, identityScopes, personScopes, words } from './scopes.ts';
import { type GrantContext, inOneWrite } from './token-endpoint.ts';

export type RequestedAccess = {
  /** Scopes about the person. */
  identity: string[];
  /** The API and the scopes asked for it; undefined: an opaque token for /userinfo. */
  api: { resource: string; scopes: string[] } | undefined;
};

type Parameters = { scope?: string | undefined; resource?: string | string[] | undefined };

/** @throws invalid_scope | invalid_target */
export function readRequestedAccess(client: EngineClient, params: Parameters, publicUrl: string): RequestedAccess {
  const asked = params.scope === undefined ? ['openid'] : words(params.scope);
  const allowed = client.scope ? words(client.scope) : identityScopes;
  const refused = asked.filter((scope) => identityScopes.includes(scope) && !allowed.includes(scope));
  if (refused.length) throw new errors.InvalidScope('requested scope is not allowed', refused.join(' '));
  const mayRefresh = client.grantTypeAllowed('refresh_token');
  const identity = asked.filter((s) => identityScopes.includes(s) && (s !== 'offline_access' || mayRefresh));
  const resources = [params.resource ?? []].flat();
  if (resources.some((resource) => resource !== apiResource(publicUrl))) throw new errors.InvalidTarget();
  const scopes = asked.filter((scope) => personScopes.includes(scope));
  return { identity, api: resources.length ? { resource: apiResource(publicUrl), scopes } : undefined };
}

type Services = { db: Database; seal: Seal; clock: Clock };

/** Sets the answer; returns the id of the grant's row. */
export async function issueTokens(
  services: Services,
  ctx: GrantContext,
  sub: string,
  access: RequestedAccess,
  extra: Record<string, string>,
): Promise<string> {
  const { db, clock } = services;
  let grantId = '';
  await inOneWrite({ db }, async () => {
    const grant = await saveGrant(ctx, sub, access);
    grantId = grant.jti;
    const shared = { accountId: sub, client: ctx.oidc.client, grantId, gty: tokenExchange };
    const authTime = Math.floor(clock.now().getTime() / 1000);
    const token = accessToken(ctx, shared, access);
    ctx.oidc.entity('AccessToken', token);
    const access_token = await token.save();
    const refresh_token = access.identity.includes('offline_access')
      ? await refreshToken(ctx, { ...shared, authTime }, access)
      : undefined;
    const id_token = access.identity.includes('openid')
      ? await idToken(services, { ctx, sub, access, authTime })
      : undefined;
    ctx.body = {
      access_token,
      token_type: 'Bearer',
      expires_in: token.expiration,
      ...(token.scope && { scope: token.scope }),
      ...(refresh_token && { refresh_token }),
      ...(id_token && { id_token }),
      ...extra,
    };
  });
  return artifactId(grantId);
}

/** Lives as long as what hangs on it can: without a refresh token no longer than the access token. */
async function saveGrant({ oidc }: GrantContext, accountId: string, { identity, api }: RequestedAccess) {
  const isLong = identity.includes('offline_access');
  const expiresIn = isLong ? lifetimes.refreshAbsolute + 86_400 : lifetimes.accessToken;
  const properties = { accountId, clientId: oidc.client.clientId, expiresIn };
  const grant = new oidc.provider.Grant(properties);
  grant.addOIDCScope(identity);
  if (api?.scopes.length) grant.addResourceScope(api.resource, api.scopes);
  await grant.save();
  oidc.entity('Grant', grant);
  return grant;
}

type Shared = { accountId: string; client: GrantContext['oidc']['client']; grantId: string; gty: string };

function accessToken({ oidc }: GrantContext, shared: Shared, { identity, api }: RequestedAccess) {
  const { AccessToken, ResourceServer } = oidc.provider;
  if (!api) return new AccessToken({ ...shared, scope: identity.join(' ') });
  const token = new AccessToken({ ...shared, scope: api.scopes.join(' ') });
  return Object.assign(token, {
    resourceServer: new ResourceServer(api.resource, apiServer(api.resource, personScopes)),
  });
}

async function refreshToken(
  { oidc }: GrantContext,
  shared: Shared & { authTime: number },
  { identity, api }: RequestedAccess,
): Promise<string> {
  const scope = [...identity, ...(api?.scopes ?? [])].join(' ');
  const token = new oidc.provider.RefreshToken({
    ...shared,
    scope,
    ...(api && { resource: api.resource }),
    rotations: 0,
  });
  return token.save();
}

type IdTokenInput = { ctx: GrantContext; sub: string; access: RequestedAccess; authTime: number };

async function idToken({ db, seal }: Services, { ctx, sub, access, authTime }: IdTokenInput): Promise<string> {
  const { identity, api } = access;
  const { IdToken } = ctx.oidc.provider;
  // As in the code flow: beside an opaque token the claims are at /userinfo; beside one for the API they are in here.
  const scope = api ? identity.filter((word) => word !== 'offline_access').join(' ') : 'openid';
  const claims = api ? await claimsOf({ db, seal }, sub) : undefined;
  const token = new IdToken({ ...claims, sub }, { ctx });
  // Undeclared in the types, read by IdToken.payload(): which claims the scope lets through.
  Object.assign(token, { scope, mask: {}, rejected: [] });
  token.set('auth_time', authTime);
  return token.issue({ use: 'idtoken' });
}

/** RFC 9068: what resource servers of ours are, for the engine. */
export function apiServer(resource: string, scopes: string[]) {
  return {
    audience: resource,
    scope: scopes.join(' '),
    accessTokenFormat: 'jwt' as const,
    accessTokenTTL: lifetimes.accessToken,
    jwt: { sign: { alg: 'ES256' as const } },
  };
}
