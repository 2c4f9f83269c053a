/**
 * By what a browser is known again: a number that was quiet for long opens its account at once only where its person has signed in
 * before (identity rule 6). It proves nothing by itself and signs nobody in. What is kept of it is subjects/'.
 */
import { randomBytes } from 'node:crypto';
import type { Context } from '../http/server.ts';

/** What browsers allow at most. Counted from the newest sign-in. */
const seconds = 400 * 86_400;

/** The value this browser carries, or a new one; either way it carries it from now on. */
export function deviceOf(ctx: Context, { https }: { https: boolean }): string {
  const cookie = https ? '__Host-heyi_device' : 'heyi_device';
  const carried = ctx.cookies.get(cookie, { signed: false });
  const device = carried && /^[\w-]{22}$/.test(carried) ? carried : randomBytes(16).toString('base64url');
  ctx.append(
    'Set-Cookie',
    `${cookie}=${device}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Lax${https ? '; Secure' : ''}`,
  );
  return device;
}
