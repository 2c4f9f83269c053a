/**
 * Where the engine meets our server: its own paths and nothing else, so that a 404 stays ours; the address pinned to PUBLIC_URL,
 * so that no header of a request can change the issuer or a link (threat A42); errors completed with what the engine leaves out.
 */
import type { IncomingMessage } from 'node:http';
import type { KoaContextWithOIDC } from 'oidc-provider';
import { isDatabaseAway } from '../database.ts';
import { fail } from '../errors.ts';
import type { Context, Middleware, RequestState } from '../http/server.ts';
import type { Logger } from '../log.ts';
import { registration } from './clients.ts';
import type { EnginePages } from './configuration.ts';
import type { Cors } from './cors.ts';
import { type Engine, engineEvents } from './engine.ts';
import { isOAuthError, temporarilyUnavailable } from './oauth-errors.ts';
import { inUnit } from './unit.ts';

type MountDependencies = {
  provider: Engine;
  cors: Cors;
  log: Logger;
  pages: EnginePages;
  publicUrl: string;
  otp(ctx: Context): Promise<void>;
};

const read = ['GET', 'HEAD'];
const paths = new Map<string, string[]>([
  ['/.well-known/openid-configuration', [...read, 'OPTIONS']],
  ['/.well-known/oauth-authorization-server', [...read, 'OPTIONS']],
  ['/jwks', [...read, 'OPTIONS']],
  // Posted requests would need the session cookie to travel with every cross-site request (SameSite=None).
  ['/authorize', read],
  ['/token', ['POST', 'OPTIONS']],
  ['/otp', ['POST', 'OPTIONS']],
  ['/userinfo', [...read, 'POST', 'OPTIONS']],
  ['/revoke', ['POST', 'OPTIONS']],
  ['/introspect', ['POST']],
  ['/par', ['POST']],
  ['/logout', read],
  ['/logout/confirm', ['POST']],
  ['/logout/success', read],
]);
const resume = /^\/authorize\/[\w-]{16,64}$/;
/** Browsers of registered origins may read these; the rest is for servers, or open to all. */
const clientPaths = new Set(['/token', '/userinfo', '/revoke']);
const openPaths = new Set(['/jwks', '/.well-known/openid-configuration', '/.well-known/oauth-authorization-server']);

const states = new WeakMap<IncomingMessage, RequestState>();

export function mountEngine(deps: MountDependencies): Middleware {
  const { provider, cors, otp } = deps;
  // The engine reads scheme and host from X-Forwarded-*, which pin() writes.
  provider.proxy = true;
  provider.use(settleAnswer(deps) as Parameters<Engine['use']>[0]);
  completeErrors(provider);
  const handle = provider.callback();
  const address = new URL(deps.publicUrl);
  return async (ctx, next) => {
    const methods = paths.get(ctx.path) ?? (resume.test(ctx.path) ? read : undefined);
    if (!methods) return next();
    if (!methods.includes(ctx.method)) {
      ctx.set('Allow', methods.join(', '));
      throw fail('method_not_allowed');
    }
    if (ctx.path === '/otp') return otp(ctx);
    if (ctx.method === 'OPTIONS' && clientPaths.has(ctx.path)) return cors.preflight(ctx);
    // No browser's preflight: the engine would pass it on until its bare 404.
    if (ctx.method === 'OPTIONS' && !ctx.get('origin')) {
      ctx.set('Allow', methods.join(', '));
      ctx.status = 204;
      return;
    }
    pin(ctx, address);
    states.set(ctx.req, ctx.state);
    ctx.respond = false;
    await inUnit(() => handle(ctx.req, ctx.res));
  };
}

/** Whatever the request claims: scheme, host and form of its address are ours, and so is the address it came from. */
function pin(ctx: Context, { protocol, host }: URL): void {
  const { headers } = ctx.req;
  // Read before Host, since provider.proxy is set.
  headers['x-forwarded-host'] = host;
  headers['x-forwarded-proto'] = protocol.slice(0, -1);
  headers['x-forwarded-for'] = ctx.state.ip;
  // `GET http://elsewhere/authorize` is a valid request line, and the engine would build its links from it.
  ctx.req.url = ctx.path + ctx.search;
}

type Next = () => Promise<void>;

/** Around the engine: our request state within, an error page instead of bare text without, and the last word on CORS. */
function settleAnswer({ provider, cors, log, pages }: MountDependencies) {
  return async (ctx: KoaContextWithOIDC, next: Next): Promise<void> => {
    ctx.state = states.get(ctx.req) ?? ctx.state;
    try {
      await next();
      pages.settle(ctx);
    } catch (error) {
      // Saving the session, say: outside the engine's own error handling.
      if (!isDatabaseAway(error) && !isOAuthError(error)) provider.emit('error', error);
      else log.warn({ request_id: ctx.state.requestId, path: ctx.path, err: error }, 'oidc: answer failed');
      await showOutage(ctx, pages, error);
    }
    const client = ctx.oidc?.client;
    if (clientPaths.has(ctx.path))
      await cors.settle(ctx as unknown as Context, client && registration(client)).catch(() => undefined);
    else if (!openPaths.has(ctx.path)) ctx.remove('Access-Control-Allow-Origin');
  };
}

async function showOutage(ctx: KoaContextWithOIDC, pages: EnginePages, cause: unknown): Promise<void> {
  const away = isDatabaseAway(cause) || isOAuthError(cause);
  const out = away
    ? { error: 'temporarily_unavailable', error_description: 'The service is not available at the moment.' }
    : { error: 'server_error', error_description: 'Something went wrong on our side.' };
  ctx.status = away ? 503 : 500;
  if (away) ctx.set('Retry-After', '2');
  if (ctx.accepts('json', 'html') === 'html') await pages.renderError(ctx, out, temporarilyUnavailable({ cause }));
  else ctx.body = out;
}

const errorEvents = [
  'authorization.error',
  'grant.error',
  'introspection.error',
  'pushed_authorization_request.error',
  'revocation.error',
  'userinfo.error',
];

/** The engine writes `error` and `error_description`; ours carry a reason and a time to wait as well. */
function completeErrors(provider: Engine): void {
  for (const event of errorEvents) {
    engineEvents(provider).on(event, (ctx: KoaContextWithOIDC, error: Error) => {
      if (!isOAuthError(error)) return;
      if (error.retry_after_seconds) ctx.set('Retry-After', String(error.retry_after_seconds));
      const body: unknown = ctx.body;
      if (error.error_reason && typeof body === 'object' && body !== null)
        ctx.body = { ...body, error_reason: error.error_reason };
    });
  }
}
