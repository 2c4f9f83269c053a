/**
 * The console's two cookies, sealed: the sign-in under way, and the session (30 idle minutes and 12 hours at most, threat D21: a copied
 * cookie does not live as long as somebody uses it). The role is read anew at each request.
 */
import type { Clock } from '../clock.ts';
import type { Context } from '../http/server.ts';
import type { Seal } from '../seal.ts';

export type Flow = { verifier: string; state: string; nonce: string; invitation?: string };

const sessionSeconds = 30 * 60;
const longestSeconds = 12 * 60 * 60;
const flowSeconds = 15 * 60;

export function createAdminCookies({ seal, clock, https }: { seal: Seal; clock: Clock; https: boolean }) {
  const epochSeconds = () => Math.floor(clock.now().getTime() / 1000);
  const write = (ctx: Context, name: string, value: string, seconds: number) =>
    ctx.append(
      'Set-Cookie',
      `${name}=${value}; Path=/admin; Max-Age=${seconds}; HttpOnly; SameSite=Lax${https ? '; Secure' : ''}`,
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
  const writeSession = (ctx: Context, sub: string, ends_at: number) => {
    const seconds = Math.min(sessionSeconds, ends_at - epochSeconds());
    write(ctx, 'heyi_admin', sealed('heyi_admin', { sub, ends_at }, seconds), seconds);
  };
  return {
    beginSession: (ctx: Context, sub: string) => writeSession(ctx, sub, epochSeconds() + longestSeconds),
    /** Another 30 minutes, but not beyond the end that the sign-in set. */
    renewSession(ctx: Context): void {
      const session = read(ctx, 'heyi_admin');
      if (session?.ends_at) writeSession(ctx, String(session.sub), Number(session.ends_at));
    },
    readSession: (ctx: Context) => read(ctx, 'heyi_admin')?.sub as string | undefined,
    clearSession: (ctx: Context) => write(ctx, 'heyi_admin', '', 0),
    writeFlow: (ctx: Context, flow: Flow) =>
      write(ctx, 'heyi_admin_flow', sealed('heyi_admin_flow', flow, flowSeconds), flowSeconds),
    /** Single use: a callback opened twice starts over. */
    takeFlow(ctx: Context): Flow | undefined {
      const flow = read(ctx, 'heyi_admin_flow') as Flow | undefined;
      write(ctx, 'heyi_admin_flow', '', 0);
      return flow;
    },
  };
}
