/**
 * Which websites may send events from a browser: those registered with a key. Without credentials: a cookie of ours would say
 * nothing about an event, and must not travel.
 */
import { fail } from '../errors.ts';
import type { Context, Middleware } from '../http/server.ts';
import type { Speaker } from './speaker.ts';
import type { WriteKeys } from './write-keys.ts';

/** Set before anything can fail, or a browser could not tell a 429 from a broken network. */
export function allowOrigin(writeKeys: WriteKeys): Middleware {
  return async (ctx, next) => {
    ctx.vary('Origin');
    const origin = ctx.get('origin');
    if (origin && origin !== 'null' && (await writeKeys.isRegistered(origin))) {
      ctx.set('Access-Control-Allow-Origin', origin);
      ctx.set('Access-Control-Expose-Headers', 'Retry-After, X-Request-Id');
      // What a page of another origin may read, it may also load.
      ctx.set('Cross-Origin-Resource-Policy', 'cross-origin');
    }
    await next();
  };
}

const headerNames = /^[\w-]+(?:, ?[\w-]+)*$/;

/** Each tracker has headers of its own (retries, ids). To us they say nothing, so whatever the website asks for is allowed. */
export function answerPreflight(ctx: Context): void {
  if (ctx.response.get('access-control-allow-origin')) {
    const asked = ctx.get('access-control-request-headers');
    ctx.set('Access-Control-Allow-Methods', 'GET, POST');
    if (headerNames.test(asked)) ctx.set('Access-Control-Allow-Headers', asked);
    ctx.set('Access-Control-Max-Age', '86400');
  }
  ctx.status = 204;
}

/**
 * A request without preflight (text/plain, the key in the body) can come from any page: another website must not write under a key
 * that names its websites. A key that names none is used by programs, whose Origin, if they send one, means nothing.
 * @throws origin_not_allowed
 */
export function refuseForeignOrigin(ctx: Context, { origins }: Speaker): void {
  const origin = ctx.get('origin') || originOfImage(ctx);
  if (origin && origins.length && !origins.includes(origin)) throw fail('origin_not_allowed');
}

/** An image is asked for without Origin. A page that hides its address too could be anybody's: that of a key's website must not. */
function originOfImage(ctx: Context): string | undefined {
  if (ctx.method !== 'GET') return undefined;
  const { origin } = URL.parse(ctx.get('referer')) ?? {};
  // Sent by browsers; `none` is an address that somebody typed.
  const isAskedByPage = !['', 'none'].includes(ctx.get('sec-fetch-site'));
  return origin ?? (isAskedByPage ? 'hidden' : undefined);
}
