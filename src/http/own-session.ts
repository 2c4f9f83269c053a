/**
 * The two cookies of a part of ours that people sign in to (the console, the account page): the sign-in under way, and the session
 * (30 idle minutes and 12 hours at most, threat D21: a copied cookie does not live as long as somebody uses it).
 */
import { randomBytes } from 'node:crypto';
import { createSealedCookie, type SealedCookieServices } from './sealed-cookie.ts';
import type { Context } from './server.ts';

export type OwnSession = {
  /** Another one at each sign-in: what is under way in a session is bound to it. */
  id: string;
  sub: string;
  /** When the person last proved who they are, in epoch seconds. */
  auth_time: number;
};

const idleSeconds = 30 * 60;
const longestSeconds = 12 * 60 * 60;
const flowSeconds = 15 * 60;

/** `Flow` is what a sign-in under way carries. */
export function createOwnSession<Flow extends object>(
  services: SealedCookieServices,
  { cookie, path }: { cookie: string; path: string },
) {
  const session = createSealedCookie<OwnSession & { ends_at: number }>(services, { name: cookie, path });
  const flow = createSealedCookie<Flow>(services, { name: `${cookie}_flow`, path });
  const epochSeconds = () => Math.floor(services.clock.now().getTime() / 1000);
  const write = (ctx: Context, { id, sub, auth_time, ends_at }: OwnSession & { ends_at: number }) =>
    session.write(ctx, { id, sub, auth_time, ends_at }, Math.min(idleSeconds, ends_at - epochSeconds()));
  return {
    beginSession(ctx: Context, { sub, auth_time }: Omit<OwnSession, 'id'>): OwnSession {
      const opened = { id: randomBytes(16).toString('base64url'), sub, auth_time };
      write(ctx, { ...opened, ends_at: epochSeconds() + longestSeconds });
      return opened;
    },
    /** Another 30 minutes, but not beyond the end that the sign-in set. */
    renewSession(ctx: Context): void {
      const opened = session.read(ctx);
      if (opened) write(ctx, opened);
    },
    readSession: (ctx: Context): OwnSession | undefined => session.read(ctx),
    clearSession: session.clear,
    writeFlow: (ctx: Context, value: Flow) => flow.write(ctx, value, flowSeconds),
    /** Single use: a callback opened twice starts over. */
    takeFlow(ctx: Context): Flow | undefined {
      const value = flow.read(ctx);
      flow.clear(ctx);
      return value;
    },
  };
}
