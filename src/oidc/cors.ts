/**
 * Which browsers may read answers of the token endpoint: those at origins where a public client of ours lives, without
 * credentials, and never `null` or `*` (threat A41). The engine alone would answer any origin until it knows the client.
 */
import type { Context } from '../http/server.ts';
import { type ClientDirectory, originsOf } from './clients.ts';

type Registered = Parameters<typeof originsOf>[0];

export type Cors = {
  preflight(ctx: Context): Promise<void>;
  /** The last word on an answer; without a known client any public client's origin may read the error. */
  settle(ctx: Context, client?: Registered): Promise<void>;
};

export function createCors({ clients }: { clients: ClientDirectory }): Cors {
  const settle: Cors['settle'] = async (ctx, client) => {
    ctx.remove('Access-Control-Allow-Origin');
    ctx.vary('Origin');
    const origin = ctx.get('Origin');
    if (!origin || origin === 'null') return;
    const allowed = client ? originsOf(client).includes(origin) : (await clients.publicOrigins()).has(origin);
    if (!allowed) return;
    ctx.set('Access-Control-Allow-Origin', origin);
    ctx.set('Access-Control-Expose-Headers', 'WWW-Authenticate, Retry-After');
  };
  return {
    settle,
    async preflight(ctx) {
      await settle(ctx);
      ctx.status = 204;
      if (!ctx.response.get('Access-Control-Allow-Origin')) return;
      ctx.set('Access-Control-Allow-Methods', 'GET, POST');
      ctx.set('Access-Control-Allow-Headers', 'Authorization, Content-Type');
      ctx.set('Access-Control-Max-Age', '3600');
    },
  };
}
