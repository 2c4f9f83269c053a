/**
 * Which websites may send events from a browser: those registered with a key. Without credentials: a cookie of ours would say
 * nothing about an event, and must not travel.
 */
import type { IncomingMessage } from 'node:http';
import { fail } from '../errors.ts';
import type { Context, Exchange } from '../http/server.ts';
import type { Speaker } from './speaker.ts';
import type { WriteKeys } from './write-keys.ts';

/** Set before anything can fail, or a browser could not tell a 429 from a broken network. */
export async function allowOrigin(writeKeys: WriteKeys, { req, res }: Exchange): Promise<void> {
  res.setHeader('Vary', 'Origin');
  const { origin } = req.headers;
  if (!origin || origin === 'null' || !(await writeKeys.isRegistered(origin))) return;
  res.setHeader('Access-Control-Allow-Origin', origin);
  res.setHeader('Access-Control-Expose-Headers', 'Retry-After, X-Request-Id');
  // What a page of another origin may read, it may also load.
  res.setHeader('Cross-Origin-Resource-Policy', 'cross-origin');
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
export function refuseForeignOrigin({ req }: Exchange, { origins }: Speaker): void {
  const origin = req.headers.origin || originOfImage(req);
  if (origin && origins.length && !origins.includes(origin)) throw fail('origin_not_allowed');
}

/** An image is asked for without Origin. A page that hides its address too could be anybody's: that of a key's website must not. */
function originOfImage({ method, headers }: IncomingMessage): string | undefined {
  if (method !== 'GET') return undefined;
  const { origin } = URL.parse(headers.referer ?? '') ?? {};
  // Sent by browsers; `none` is an address that somebody typed.
  const isAskedByPage = !['', 'none'].includes(String(headers['sec-fetch-site'] ?? ''));
  return origin ?? (isAskedByPage ? 'hidden' : undefined);
}
