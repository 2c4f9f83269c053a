/**
 * What a browser carries through one change, sealed: the code it waits for, what it has proven. It belongs to one session, one person
 * and what they could sign in with when it began; after anything changed, or in another browser, it is nothing (threats D6, D8).
 */
import type { Proof } from '../connectors/contract.ts';
import { createSealedCookie, type SealedCookieServices } from '../http/sealed-cookie.ts';
import type { Context } from '../http/server.ts';
import type { Visit } from './visit.ts';

/** `change`: the one of this kind that the person has goes. */
export type Act = 'add' | 'change';

export type Pending = {
  act: Act;
  method: string;
  field: 'phone' | 'email';
  to: string;
  otp_id: string;
  masked_to: string;
  /** Epoch milliseconds of this process's clock: for display; the database decides. */
  resend_at: number;
  wrong_tries: number;
};

export type Step = {
  pending?: Pending;
  /** Proven a moment ago, and found to be another account's. */
  taken?: { proof: Proof; act: Act };
};

type Kept = Step & { session: string; sub: string; stamp: string };

/** A code lives five minutes and may be sent again within the five of the fresh proof; then the person reads and decides. */
const seconds = { pending: 600, taken: 300 };

export function createSteps(services: SealedCookieServices) {
  const cookie = createSealedCookie<Kept>(services, { name: 'heyi_account_step', path: '/account' });
  return {
    read(ctx: Context, { session, sub, stamp }: Visit): Step | undefined {
      const kept = cookie.read(ctx);
      return kept?.session === session.id && kept.sub === sub && kept.stamp === stamp ? kept : undefined;
    },
    write(ctx: Context, { session, sub, stamp }: Visit, { pending, taken }: Step): void {
      const step = { ...(pending && { pending }), ...(taken && { taken }) };
      const left = taken ? seconds.taken : seconds.pending;
      cookie.write(ctx, { ...step, session: session.id, sub, stamp }, left);
    },
    clear: cookie.clear,
  };
}

export type Steps = ReturnType<typeof createSteps>;

/** What a code is bound to: this session of this person. */
export function bindingOf({ session, sub }: Visit): string {
  return `account ${session.id} ${sub}`;
}
