/** A signed call as it arrived, ready for the verifiers. */
import { readBytes } from '../../http/body.ts';
import type { Context } from '../../http/server.ts';
import type { SignedRequest } from './signatures.ts';

/** `prefix`: the vendor's host in our path, which the vendor itself would not see. */
export async function readSigned(ctx: Context, prefix: string): Promise<SignedRequest> {
  const headers = Object.fromEntries(
    Object.entries(ctx.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(',') : value]),
  );
  return {
    method: ctx.method,
    paths: [ctx.path.slice(prefix.length) || '/', ctx.path],
    query: ctx.querystring,
    headers,
    body: await readBytes(ctx, { limit: 262_144 }),
  };
}
