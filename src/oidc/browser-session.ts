/** Who is signed in to us in the browser that asks, by the engine's own cookie: what a part of ours builds on ends with it. */
import type Provider from 'oidc-provider';
import type { Context } from '../http/server.ts';

export type BrowserSession = {
  uid: string;
  sub: string;
  /** Epoch seconds, and by what (RFC 8176). */
  auth_time: number;
  amr: string[];
};

export async function browserSession(provider: Provider, ctx: Context): Promise<BrowserSession | undefined> {
  const session = await provider.Session.get(ctx as never);
  const { uid, accountId: sub, loginTs: auth_time = 0, amr = [] } = session;
  return sub ? { uid, sub, auth_time, amr } : undefined;
}
