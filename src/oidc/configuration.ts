/** The engine's settings. What is not here is its default, or off. */

import type { JWK } from 'jose';
import type { Configuration, KoaContextWithOIDC } from 'oidc-provider';
import type { Clock } from '../clock.ts';
import type { Database } from '../database.ts';
import type { Seal } from '../seal.ts';
import { createAccounts } from './account.ts';
import { artifactId, createAdapter } from './adapter.ts';
import { type ClientDirectory, originsOf, ours, ownMetadata, registration } from './clients.ts';
import { errors } from './engine.ts';
import { apiServer } from './issue.ts';
import { familyRemains, lifetimes } from './lifetimes.ts';
import { loadExistingGrant, promptPolicy } from './policy.ts';
import { apiResource, claimsByScope, identityScopes, personScopes, words } from './scopes.ts';
import { rotates } from './token-endpoint.ts';

/** What the engine shows to people; made by login/. */
export type EnginePages = {
  renderError(ctx: KoaContextWithOIDC, out: { error: string; error_description?: string }, error: Error): unknown;
  renderLogout(ctx: KoaContextWithOIDC, form: string): unknown;
  renderLogoutDone(ctx: KoaContextWithOIDC): unknown;
  /** After the engine has answered: its own pages get the policy they need, or are not needed. */
  settle(ctx: KoaContextWithOIDC): void;
};

export type ConfigurationInput = {
  db: Database;
  seal: Seal;
  clock: Clock;
  clients: ClientDirectory;
  publicUrl: string;
  /** Origins inside the company's network that outgoing requests may reach. */
  privateOrigins: string[];
  pages: EnginePages;
  jwks: { keys: JWK[] };
};

/** Seconds by which the clocks of two processes, or of a client that signs assertions, may differ. */
export const clockTolerance = 5;

const page =
  <Arguments extends unknown[]>(render: (...given: Arguments) => unknown) =>
  async (...given: Arguments): Promise<void> =>
    void (await render(...given));

export function engineConfiguration(input: ConfigurationInput): Configuration {
  const { publicUrl, pages } = input;
  return {
    adapter: createAdapter(input),
    jwks: input.jwks,
    clockTolerance,
    cookies: cookies(input),
    routes: {
      authorization: '/authorize',
      token: '/token',
      userinfo: '/userinfo',
      jwks: '/jwks',
      end_session: '/logout',
      introspection: '/introspect',
      revocation: '/revoke',
      pushed_authorization_request: '/par',
    },
    scopes: identityScopes,
    claims: claimsByScope,
    subjectTypes: ['public'],
    responseTypes: ['code'],
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
    enabledJWA: {
      idTokenSigningAlgValues: ['RS256', 'ES256'],
      clientAuthSigningAlgValues: ['ES256', 'RS256', 'PS256', 'EdDSA'],
    },
    extraClientMetadata: { properties: ownMetadata },
    pkce: { required: (_ctx, client) => ours(client).require_pkce },
    allowOmittingSingleRegisteredRedirectUri: false,
    clientBasedCORS: (_ctx, origin, client) => originsOf(registration(client)).includes(origin),
    interactions: { policy: promptPolicy(), url: (_ctx, { uid }) => `/login/${uid}` },
    findAccount: createAccounts(input),
    loadExistingGrant,
    rotateRefreshToken: rotates,
    renderError: page(pages.renderError),
    // Bound to its grant, so that our APIs see at once that the grant has ended.
    extraTokenClaims: (_ctx, token) =>
      token.kind === 'AccessToken' && token.aud !== undefined && token.grantId
        ? { grant_id: artifactId(token.grantId) }
        : undefined,
    ttl: ttl(input),
    fetch: fetchOutside(input),
    features: {
      devInteractions: { enabled: false },
      dPoP: { enabled: false },
      backchannelLogout: { enabled: true },
      clientCredentials: { enabled: true },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: page(pages.renderLogout),
        postLogoutSuccessSource: page(pages.renderLogoutDone),
      },
      // A client learns about and ends its own tokens only (threat A44).
      introspection: { enabled: true, allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId },
      revocation: { enabled: true, allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId },
      resourceIndicators: {
        enabled: true,
        // All that a machine client can be given is a token for the API.
        defaultResource: (ctx, _client, oneOf) =>
          oneOf ??
          (ctx.oidc.params?.grant_type === 'client_credentials' ? apiResource(publicUrl) : (undefined as never)),
        getResourceServerInfo: (ctx, resource, client) => {
          if (resource !== apiResource(publicUrl)) throw new errors.InvalidTarget();
          const isMachine = ctx.oidc.params?.grant_type === 'client_credentials';
          return apiServer(resource, isMachine ? ours(client).api_scopes : personScopes);
        },
        useGrantedResource: () => true,
      },
    },
  };
}

/** `__Host-` pins a cookie to this very host over https; those of one sign-in have a path and can only be `__Secure-`. */
function cookies({ seal, publicUrl }: ConfigurationInput): Configuration['cookies'] {
  const secure = publicUrl.startsWith('https:');
  const options = { httpOnly: true, sameSite: 'lax' as const, secure, signed: true };
  const prefix = secure ? '__Secure-' : '';
  return {
    keys: [seal.derive('cookies/1').toString('base64url')],
    names: {
      session: `${secure ? '__Host-' : ''}heyi_session`,
      interaction: `${prefix}heyi_interaction`,
      resume: `${prefix}heyi_resume`,
    },
    long: options,
    short: options,
  };
}

/**
 * The engine's dispatcher drops connections to loopback and private addresses (threat A39): a client's logout address must not reach
 * into our network. Origins that the operator lists are let through, and no redirect leads further.
 */
function fetchOutside({ privateOrigins }: ConfigurationInput): NonNullable<Configuration['fetch']> {
  return (url, options) => {
    const { dispatcher: guarded, ...plain } = options as RequestInit & { dispatcher?: unknown };
    const isListed = privateOrigins.includes(new URL(String(url)).origin);
    return fetch(url, { ...(isListed ? plain : options), redirect: 'manual' });
  };
}

function ttl({ clock }: ConfigurationInput): Configuration['ttl'] {
  const now = () => Math.floor(clock.now().getTime() / 1000);
  return {
    AuthorizationCode: lifetimes.authorizationCode,
    AccessToken: lifetimes.accessToken,
    ClientCredentials: lifetimes.accessToken,
    IdToken: lifetimes.idToken,
    Interaction: lifetimes.interaction,
    RefreshToken: (_ctx, token) =>
      Math.max(1, Math.min(lifetimes.refreshIdle, familyRemains(token.iiat ?? now(), clock.now()))),
    // A day more than the tokens that hang on it, so that they, not it, are what expires.
    Grant: (_ctx, grant) =>
      words(grant.openid?.scope).includes('offline_access')
        ? lifetimes.refreshAbsolute + 86_400
        : lifetimes.sessionAbsolute + 86_400,
    Session: (_ctx, session) =>
      session.accountId
        ? Math.max(1, Math.min(lifetimes.sessionIdle, (session.loginTs ?? now()) + lifetimes.sessionAbsolute - now()))
        : lifetimes.sessionEmpty,
  };
}
