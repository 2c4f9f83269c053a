/**
 * Parts of ours that people sign in to as they do anywhere (the console, the account page): OpenID clients of ourselves, each with
 * a session of its own below its path. Owns the way to /authorize and back; what the session opens is the part's.
 *
 *   startSignIn ─► /authorize ─► sign-in pages ─► {path}/callback ─► finishSignIn, then beginSession
 */
import * as client from 'openid-client';
import type { Clock } from '../clock.ts';
import type { Database } from '../database.ts';
import { fail } from '../errors.ts';
import { createOwnSession } from '../http/own-session.ts';
import type { Context } from '../http/server.ts';
import type { Seal } from '../seal.ts';
import { createClient } from './clients.ts';
import { lifetimes } from './lifetimes.ts';

type Registration = { client_id: string; path: string; methods: string[] };

/** At every start: PUBLIC_URL may have changed. */
export async function registerSelfClient(
  services: { db: Database; seal: Seal },
  publicUrl: string,
  { client_id, path, methods }: Registration,
): Promise<void> {
  await createClient(services, {
    client_id,
    name: '合一 Heyi',
    redirect_uris: [`${publicUrl}${path}/callback`],
    post_logout_redirect_uris: [`${publicUrl}/`],
    grant_types: ['authorization_code'],
    token_endpoint_auth_method: 'none',
    methods,
    channel: 'website',
  });
}

export type SelfClientDependencies = {
  seal: Seal;
  clock: Clock;
  publicUrl: string;
  /** Sends our own token request to this process: PUBLIC_URL may not be reachable from inside (hairpin NAT). */
  fetchSelf: typeof fetch;
};

type Flow<Carried> = { verifier: string; state: string; nonce: string; carried?: Carried };

/** `Carried` comes back to finishSignIn: where the person was going. */
export function createSelfClient<Carried = never>(
  deps: SelfClientDependencies,
  { client_id, path, cookie }: { client_id: string; path: string; cookie: string },
) {
  const { publicUrl, seal, clock } = deps;
  const https = publicUrl.startsWith('https:');
  const { writeFlow, takeFlow, ...session } = createOwnSession<Flow<Carried>>({ seal, clock, https }, { cookie, path });
  return {
    ...session,
    /** `max_age`: whoever proved longer ago than so many seconds who they are does it once more. */
    async startSignIn(ctx: Context, { carried, max_age }: { carried?: Carried; max_age?: number } = {}): Promise<void> {
      const verifier = client.randomPKCECodeVerifier();
      const flow = { verifier, state: client.randomState(), nonce: client.randomNonce() };
      writeFlow(ctx, { ...flow, ...(carried !== undefined && { carried }) });
      const url = client.buildAuthorizationUrl(configuration(deps, client_id), {
        redirect_uri: `${publicUrl}${path}/callback`,
        scope: 'openid',
        code_challenge: await client.calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
        state: flow.state,
        nonce: flow.nonce,
        // Also so that the ID token says when it was (OpenID Connect Core section 3.1.2.1).
        max_age: String(max_age ?? lifetimes.sessionAbsolute),
      });
      ctx.status = 303;
      ctx.redirect(url.href);
    },
    /** Undefined when this browser has no sign-in under way: the address was opened twice, or elsewhere. @throws login_expired */
    async finishSignIn(ctx: Context): Promise<{ sub: string; auth_time: number; carried?: Carried } | undefined> {
      const flow = takeFlow(ctx);
      if (!flow) return undefined;
      const proven = await redeem(ctx, configuration(deps, client_id), publicUrl, flow);
      return { ...proven, ...(flow.carried !== undefined && { carried: flow.carried }) };
    },
  };
}

export type SelfClient<Carried = never> = ReturnType<typeof createSelfClient<Carried>>;

function configuration({ publicUrl, fetchSelf }: SelfClientDependencies, client_id: string): client.Configuration {
  const server = {
    issuer: publicUrl,
    authorization_endpoint: `${publicUrl}/authorize`,
    token_endpoint: `${publicUrl}/token`,
    jwks_uri: `${publicUrl}/jwks`,
    authorization_response_iss_parameter_supported: true,
  };
  const config = new client.Configuration(server, client_id, undefined, client.None());
  if (publicUrl.startsWith('http:')) client.allowInsecureRequests(config);
  config[client.customFetch] = (url, options) => fetchSelf(url, options as RequestInit);
  return config;
}

async function redeem(
  ctx: Context,
  config: client.Configuration,
  publicUrl: string,
  flow: { verifier: string; state: string; nonce: string },
): Promise<{ sub: string; auth_time: number }> {
  const url = new URL(`${publicUrl}${ctx.url}`);
  try {
    const tokens = await client.authorizationCodeGrant(config, url, {
      pkceCodeVerifier: flow.verifier,
      expectedState: flow.state,
      expectedNonce: flow.nonce,
    });
    const { sub, auth_time } = tokens.claims() ?? {};
    if (sub && typeof auth_time === 'number') return { sub, auth_time };
  } catch (cause) {
    throw fail('login_expired', { cause });
  }
  throw fail('login_expired');
}
