/**
 * Forms belong to the browser that loaded them: a random value in a cookie, and its keyed hash as the hidden field
 * `csrf` (threats A30, G10). Origin `null` is what our Referrer-Policy makes of a same-origin post, so the field decides.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { fail } from '../errors.ts';
import type { Seal } from '../seal.ts';
import type { Context } from './server.ts';

export type Csrf = {
  /** The value of the hidden field; sets the cookie when the browser has none. */
  token(ctx: Context): string;
  /** @throws form_expired */
  check(ctx: Context, form: Record<string, string>): void;
};

export function createCsrf({ seal, publicUrl }: { seal: Seal; publicUrl: string }): Csrf {
  const key = seal.derive('csrf/1');
  const https = publicUrl.startsWith('https:');
  const cookie = https ? '__Host-heyi_form' : 'heyi_form';
  const tokenFor = (value: string) => createHmac('sha256', key).update(value).digest();
  return {
    token(ctx) {
      let value = ctx.cookies.get(cookie, { signed: false });
      if (!value || value.length > 64) {
        value = randomBytes(18).toString('base64url');
        // node:http does not see https behind a proxy, and the cookie library would refuse "secure".
        ctx.append('Set-Cookie', `${cookie}=${value}; Path=/; HttpOnly; SameSite=Lax${https ? '; Secure' : ''}`);
        ctx.req.headers.cookie = [ctx.req.headers.cookie, `${cookie}=${value}`].filter(Boolean).join('; ');
      }
      return tokenFor(value).toString('base64url');
    },
    check(ctx, form) {
      const origin = ctx.get('origin');
      if (origin && origin !== 'null' && origin !== publicUrl) throw fail('form_expired');
      if (ctx.get('sec-fetch-site') === 'cross-site') throw fail('form_expired');
      const value = ctx.cookies.get(cookie, { signed: false });
      const sent = Buffer.from(form.csrf ?? '', 'base64url');
      if (!value || sent.length !== 32 || !timingSafeEqual(sent, tokenFor(value))) throw fail('form_expired');
    },
  };
}
