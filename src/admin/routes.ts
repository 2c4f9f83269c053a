/**
 * The staff console's door: it is an OpenID client of ourselves (`heyi-admin`), so staff sign in as everybody does and a role
 * decides what opens.
 *
 *   /admin/setup/{token}  the one-time link → agree → sign in → owner
 *   /admin                → sign in → /admin/callback → the console
 */
import Router from '@koa/router';
import * as client from 'openid-client';
import type { Clock } from '../clock.ts';
import type { Database } from '../database.ts';
import { fail } from '../errors.ts';
import { readForm } from '../http/body.ts';
import type { Csrf } from '../http/csrf.ts';
import type { Render } from '../http/render.ts';
import type { Context, RequestState } from '../http/server.ts';
import { createClient } from '../oidc/clients.ts';
import type { Seal } from '../seal.ts';
import { currentSubject } from '../subjects/subjects.ts';
import { createAdminCookies } from './cookies.ts';
import { acceptEmailInvitations, acceptInvitation, isInvitation, roleOf } from './staff.ts';

const adminClientId = 'heyi-admin';

/** At every start: PUBLIC_URL may have changed. */
export async function seedAdminClient(services: { db: Database; seal: Seal }, publicUrl: string): Promise<void> {
  await createClient(services, {
    client_id: adminClientId,
    name: '合一 Heyi',
    redirect_uris: [`${publicUrl}/admin/callback`],
    post_logout_redirect_uris: [`${publicUrl}/`],
    grant_types: ['authorization_code'],
    token_endpoint_auth_method: 'none',
    methods: ['email', 'sms'],
    channel: 'website',
  });
}

export type AdminDependencies = {
  db: Database;
  seal: Seal;
  clock: Clock;
  csrf: Csrf;
  render: Render;
  publicUrl: string;
  /** Sends the console's own token request to this process: PUBLIC_URL may not be reachable from inside (hairpin NAT). */
  fetchSelf: typeof fetch;
};

export function adminRoutes(deps: AdminDependencies): Router<RequestState> {
  const { db, seal, csrf, render, publicUrl } = deps;
  const router = new Router<RequestState>();
  const cookies = createAdminCookies({ seal, clock: deps.clock, https: publicUrl.startsWith('https:') });

  router.get('/admin/setup/:token', async (ctx) => {
    const valid = await isInvitation({ db, seal }, String(ctx.params.token));
    if (!valid) ctx.status = 404;
    render(ctx, 'admin/setup', { valid });
  });

  // The link itself changes nothing when opened: mail scanners and previews open links too (threat B12).
  router.post('/admin/setup/:token', async (ctx) => {
    csrf.check(ctx, await readForm(ctx));
    const token = String(ctx.params.token);
    if (!(await isInvitation({ db, seal }, token))) throw fail('not_found');
    await startSignIn(ctx, deps, cookies, token);
  });

  router.get('/admin', async (ctx) => {
    const sub = cookies.readSession(ctx);
    const standing = sub ? await currentSubject(db, sub) : undefined;
    if (standing?.status !== 'active') return startSignIn(ctx, deps, cookies);
    const role = await roleOf(db, standing.sub);
    if (!role) ctx.status = 403;
    else cookies.renewSession(ctx);
    render(ctx, 'admin/home', { role, sub: standing.sub });
  });

  router.get('/admin/callback', async (ctx) => {
    const flow = cookies.takeFlow(ctx);
    if (!flow) return ctx.redirect('/admin');
    const sub = await finishSignIn(ctx, deps, flow);
    if (flow.invitation) await acceptInvitation({ db, seal }, flow.invitation, sub);
    await acceptEmailInvitations({ db, seal }, sub);
    cookies.beginSession(ctx, sub);
    ctx.redirect('/admin');
  });

  router.post('/admin/sign-out', async (ctx) => {
    csrf.check(ctx, await readForm(ctx));
    cookies.clearSession(ctx);
    ctx.status = 303;
    ctx.redirect(`/logout?client_id=${adminClientId}`);
  });
  return router;
}

type Cookies = ReturnType<typeof createAdminCookies>;

function configuration({ publicUrl, fetchSelf }: AdminDependencies): client.Configuration {
  const server = {
    issuer: publicUrl,
    authorization_endpoint: `${publicUrl}/authorize`,
    token_endpoint: `${publicUrl}/token`,
    jwks_uri: `${publicUrl}/jwks`,
    authorization_response_iss_parameter_supported: true,
  };
  const config = new client.Configuration(server, adminClientId, undefined, client.None());
  if (publicUrl.startsWith('http:')) client.allowInsecureRequests(config);
  config[client.customFetch] = (url, options) => fetchSelf(url, options as RequestInit);
  return config;
}

async function startSignIn(
  ctx: Context,
  deps: AdminDependencies,
  cookies: Cookies,
  invitation?: string,
): Promise<void> {
  const verifier = client.randomPKCECodeVerifier();
  const flow = {
    verifier,
    state: client.randomState(),
    nonce: client.randomNonce(),
    ...(invitation && { invitation }),
  };
  cookies.writeFlow(ctx, flow);
  const url = client.buildAuthorizationUrl(configuration(deps), {
    redirect_uri: `${deps.publicUrl}/admin/callback`,
    scope: 'openid',
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state: flow.state,
    nonce: flow.nonce,
  });
  ctx.status = 303;
  ctx.redirect(url.href);
}

async function finishSignIn(
  ctx: Context,
  deps: AdminDependencies,
  flow: { verifier: string; state: string; nonce: string },
): Promise<string> {
  const url = new URL(`${deps.publicUrl}${ctx.url}`);
  try {
    const tokens = await client.authorizationCodeGrant(configuration(deps), url, {
      pkceCodeVerifier: flow.verifier,
      expectedState: flow.state,
      expectedNonce: flow.nonce,
    });
    const sub = tokens.claims()?.sub;
    if (sub) return sub;
  } catch (cause) {
    throw fail('login_expired', { cause });
  }
  throw fail('login_expired');
}
