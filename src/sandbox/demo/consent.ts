/**
 * What this browser agreed to, in a cookie of the shop's. Every event carries it; without a choice only what the service
 * needs is collected.
 */
import type { Context } from '../../http/server.ts';

export type Consent = { is_asked: boolean; profiling: boolean; marketing: boolean };

const cookie = 'shanyu_consent';
/** Raised when the text of the question changes: everybody is asked again. */
const version = '1';

export function consentOf(ctx: Context): Consent {
  const [asked, ...purposes] = (ctx.cookies.get(cookie) ?? '').split('.');
  if (asked !== version) return { is_asked: false, profiling: false, marketing: false };
  return { is_asked: true, profiling: purposes.includes('profiling'), marketing: purposes.includes('marketing') };
}

export function keepConsent(ctx: Context, { profiling, marketing }: { profiling: boolean; marketing: boolean }): void {
  const value = [version, profiling && 'profiling', marketing && 'marketing'].filter(Boolean).join('.');
  ctx.cookies.set(cookie, value, { sameSite: 'lax', maxAge: 180 * 86_400_000, overwrite: true });
}

/** The same for Heyi, in the versions of its registry that our question stands for. */
export function consentParameter({ profiling, marketing }: Consent): string[] {
  return [...(profiling ? ['profiling@1'] : []), ...(marketing ? ['marketing@1'] : [])];
}
