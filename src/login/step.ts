/**
 * What a browser carries through one sign-in, sealed in a cookie of that interaction's path: which code it waits for, what it
 * agreed to, what it has proven. No table of ours, so any process answers any step; another browser that knows the address
 * of the page has no such cookie and can use neither the code nor the proof (threats A30, B4).
 */
import { randomBytes } from 'node:crypto';
import type { Proof } from '../connectors/contract.ts';
import type { Context } from '../http/server.ts';
import type { Seal } from '../seal.ts';
import type { SignIn } from './finish.ts';

/** Where "back" leads: known also after the interaction has expired. */
export type WayBack = { name: string; url: string };

/** The privacy policy as it was agreed to in this sign-in. */
export type Agreement = { version: string; text_hash: string; ip: string; at: string };

export type Pending = {
  method: string;
  field: 'phone' | 'email';
  to: string;
  otp_id: string;
  masked_to: string;
  /** Epoch milliseconds of this process's clock: for display; the database decides. */
  resend_at: number;
  expires_at: number;
  wrong_tries: number;
};

/** A number that may have changed hands: proven, and waiting for a second proof. */
export type Quiet = { proof: Proof; method: string; masked_to: string; until: number };

export type Step = {
  nonce: string;
  back?: WayBack | undefined;
  agreement?: Agreement | undefined;
  pending?: Pending | undefined;
  /** Proven, but the policy is still to be agreed to. */
  proven?: (SignIn & { masked_to: string; until: number }) | undefined;
  /** The mini-program code that is shown: its ticket, known to this browser and to whoever scans it. */
  scan?: { ticket: string; appid: string; method: string } | undefined;
  quiet?: Quiet | undefined;
  /** Was sent to somebody else's page: whoever comes back unproven is not sent there again by itself. */
  has_left?: true;
  is_done?: true;
};

const seconds = 86_400;

export function createSteps({ seal, publicUrl }: { seal: Seal; publicUrl: string }) {
  const https = publicUrl.startsWith('https:');
  const cookie = https ? '__Secure-heyi_login' : 'heyi_login';
  // The interaction is authenticated with it: a cookie planted for another interaction does not open.
  const context = (uid: string) => `login step ${uid}`;
  return {
    create: (): Step => ({ nonce: randomBytes(16).toString('base64url') }),
    read(ctx: Context, uid: string): Step | undefined {
      const value = ctx.cookies.get(cookie, { signed: false });
      if (!value) return undefined;
      try {
        return JSON.parse(seal.open(value, context(uid)));
      } catch {
        return undefined;
      }
    },
    write(ctx: Context, uid: string, step: Step): void {
      const value = seal.seal(JSON.stringify(step), context(uid));
      ctx.append(
        'Set-Cookie',
        `${cookie}=${value}; Path=/login/${uid}; Max-Age=${seconds}; HttpOnly; SameSite=Lax${https ? '; Secure' : ''}`,
      );
    },
  };
}

export type Steps = ReturnType<typeof createSteps>;

/** What a code is bound to: this interaction in this browser. */
export function bindingOf(uid: string, step: Step): string {
  return `${uid} ${step.nonce}`;
}
