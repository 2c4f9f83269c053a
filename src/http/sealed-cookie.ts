/** A cookie that only we can read and write, below one path, with an end that a copied one has too. */
import type { Clock } from '../clock.ts';
import type { Seal } from '../seal.ts';
import type { Context } from './server.ts';

export type SealedCookieServices = { seal: Seal; clock: Clock; https: boolean };

export function createSealedCookie<Value extends object>(
  { seal, clock, https }: SealedCookieServices,
  { name, path }: { name: string; path: string },
) {
  const epochSeconds = () => Math.floor(clock.now().getTime() / 1000);
  const set = (ctx: Context, value: string, seconds: number) =>
    ctx.append(
      'Set-Cookie',
      `${name}=${value}; Path=${path}; Max-Age=${seconds}; HttpOnly; SameSite=Lax${https ? '; Secure' : ''}`,
    );
  return {
    /** Undefined when there is none, it has ended, or it is not ours. */
    read(ctx: Context): Value | undefined {
      try {
        const opened = JSON.parse(seal.open(ctx.cookies.get(name, { signed: false }) ?? '', `cookie ${name}`));
        return opened.expires_at > epochSeconds() ? opened : undefined;
      } catch {
        return undefined;
      }
    },
    write(ctx: Context, value: Value, seconds: number): void {
      const expires_at = epochSeconds() + seconds;
      set(ctx, seal.seal(JSON.stringify({ ...value, expires_at }), `cookie ${name}`), seconds);
    },
    clear: (ctx: Context): void => set(ctx, '', 0),
  };
}
