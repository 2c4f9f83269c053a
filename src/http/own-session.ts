/**
 * The two cookies of a part of ours that people sign in to (the console, the account page), sealed: the sign-in under way, and the
 * session (30 idle minutes and 12 hours at most, threat D21: a copied cookie does not live as long as somebody uses it).
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { Seal } from '../seal.ts';
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

type Services = { seal: Seal; clock: Clock; https: boolean };

/** `Flow` is what a sign-in under way carries. */
export function createOwnSession<Flow extends object>(
  { seal, clock, https }: Services,
  { cookie, path }: { cookie: string; path: string },
) {
  const flowCookie = `${cookie}_flow`;
  const epochSeconds = () => Math.floor(clock.now().getTime() / 1000);
  const write = (ctx: Context, name: string, value: string, seconds: number) =>
    ctx.append(
      'Set-Cookie',
      `${name}=${value}; Path=${path}; Max-Age=${seconds}; HttpOnly; SameSite=Lax${https ? '; Secure' : ''}`,
    );
  const read = (ctx: Context, name: string): Record<string, unknown> | undefined => {
    try {
      const opened = JSON.parse(seal.open(ctx.cookies.get(name) ?? '', `cookie ${name}`));
      return opened.expires_at > epochSeconds() ? opened : undefined;
    } catch {
      return undefined;
    }
  };
  const sealed = (name: string, value: object, seconds: number) =>
    seal.seal(JSON.stringify({ ...value, expires_at: epochSeconds() + seconds }), `cookie ${name}`);
  const writeSession = (ctx: Context, { id, sub, auth_time }: OwnSession, ends_at: number) => {
    const seconds = Math.min(idleSeconds, ends_at - epochSeconds());
    write(ctx, cookie, sealed(cookie, { id, sub, auth_time, ends_at }, seconds), seconds);
  };
  const openSession = (ctx: Context) => {
    const opened = read(ctx, cookie);
    return opened?.id ? (opened as OwnSession & { ends_at: number }) : undefined;
  };
  return {
    beginSession(ctx: Context, { sub, auth_time }: Omit<OwnSession, 'id'>): void {
      const id = randomBytes(16).toString('base64url');
      writeSession(ctx, { id, sub, auth_time }, epochSeconds() + longestSeconds);
    },
    /** Another 30 minutes, but not beyond the end that the sign-in set. */
    renewSession(ctx: Context): void {
      const session = openSession(ctx);
      if (session) writeSession(ctx, session, session.ends_at);
    },
    readSession: (ctx: Context): OwnSession | undefined => openSession(ctx),
    clearSession: (ctx: Context) => write(ctx, cookie, '', 0),
    writeFlow: (ctx: Context, flow: Flow) => write(ctx, flowCookie, sealed(flowCookie, flow, flowSeconds), flowSeconds),
    /** Single use: a callback opened twice starts over. */
    takeFlow(ctx: Context): Flow | undefined {
      const flow = read(ctx, flowCookie) as Flow | undefined;
      write(ctx, flowCookie, '', 0);
      return flow;
    },
  };
}
