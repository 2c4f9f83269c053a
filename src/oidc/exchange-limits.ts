/**
 * Who hands over codes that prove nobody is slowed down. Only failures count: each success takes a code that WeChat or we made
 * moments ago, so a campaign behind one carrier's address is not held up, and the usual sign-in pays no write for a counter.
 */
import type { Clock } from '../clock.ts';
import { AppError, fail } from '../errors.ts';
import type { Limit, Limits } from '../http/limits.ts';
import type { EngineClient } from './clients.ts';

const perAddress: Limit = { name: 'exchange_failed_address', points: 300, seconds: 600 };
/** Far above what people mistype, and no lock: each failure above it answers 429, a right code still signs in. */
const perClient: Limit = { name: 'exchange_failed_client', points: 20_000, seconds: 600 };

const badCodes = ['wechat_code_invalid', 'code_wrong', 'code_expired', 'code_tries_spent'];
const mostKept = 10_000;

export function createExchangeLimits({ limits, clock }: { limits: Limits; clock: Clock }) {
  /** Addresses over the limit, known here without asking: over it every try would still cost a call to WeChat. */
  const blocked = new Map<string, number>();
  return {
    /** By `limitedAddress`. @throws too_many_requests */
    assertAllowed(ip: string): void {
      const until = blocked.get(ip);
      if (until === undefined) return;
      const ms = until - clock.now().getTime();
      if (ms > 0) throw fail('too_many_requests', { retryAfterSeconds: Math.ceil(ms / 1000) });
      blocked.delete(ip);
    },
    /** Counts the failure and throws it, or that there were too many. */
    async count(ip: string, { clientId }: EngineClient, error: unknown): Promise<never> {
      if (!(error instanceof AppError) || !badCodes.includes(error.code)) throw error;
      try {
        await limits.spend(perAddress, ip);
      } catch (refused) {
        if (refused instanceof AppError && refused.retryAfterSeconds) {
          if (blocked.size >= mostKept) blocked.clear();
          blocked.set(ip, clock.now().getTime() + refused.retryAfterSeconds * 1000);
        }
        throw refused;
      }
      await limits.spend(perClient, clientId);
      throw error;
    },
  };
}
