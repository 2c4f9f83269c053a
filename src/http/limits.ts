/**
 * Rate limits shared by all processes, on PostgreSQL (rate-limiter-flexible). Fails closed: with the database away nothing
 * that is limited goes on.
 */
import { RateLimiterPostgres, RateLimiterRes } from 'rate-limiter-flexible';
import type { Database } from '../database.ts';
import { type ErrorCode, fail } from '../errors.ts';
import type { Seal } from '../seal.ts';

export type Limit = {
  /** Names the limit; with the key it is the counter. */
  name: string;
  /** So many within so many seconds. */
  points: number;
  seconds: number;
};

/** What the window holds by now, and the seconds until it ends. */
export type Spent = { used: number; seconds: number };

export type Limits = {
  /** Counts a use, or one that weighs more. @throws `error` (too_many_requests by default) with the seconds to wait. */
  spend(limit: Limit, key: string, error?: ErrorCode, weight?: number): Promise<Spent>;
  /** Gives a use back, for work that was counted but did not happen. */
  refund(limit: Limit, key: string, weight?: number): Promise<void>;
  /** Begins anew. */
  forget(limit: Limit, key: string): Promise<void>;
};

export function createLimits({ db, seal }: { db: Database; seal: Seal }): Limits {
  const limiters = new Map<string, RateLimiterPostgres>();
  const limiterFor = ({ name, points }: Limit) => {
    // The counter goes by its name alone: an operator's new figure finds what was counted under the old one.
    const figures = `${name} ${points}`;
    let limiter = limiters.get(figures);
    if (!limiter) {
      limiter = new RateLimiterPostgres({
        storeClient: db,
        storeType: 'knex',
        tableName: 'rate_limits',
        tableCreated: true,
        keyPrefix: name,
        points,
        // Stated with each use.
        duration: 0,
      });
      limiters.set(figures, limiter);
    }
    return limiter;
  };
  // Keys are phone numbers and addresses: only their keyed hash is stored.
  const keyOf = (limit: Limit, key: string) => seal.hash(key, `limit ${limit.name}`);
  return {
    async spend(limit, key, error = 'too_many_requests', weight = 1) {
      try {
        const spent = await limiterFor(limit).consume(keyOf(limit, key), weight, { customDuration: limit.seconds });
        return { used: spent.consumedPoints, seconds: secondsOf(spent) };
      } catch (refused) {
        if (!(refused instanceof RateLimiterRes)) throw refused;
        throw fail(error, { retryAfterSeconds: secondsOf(refused) });
      }
    },
    async refund(limit, key, weight = 1) {
      await limiterFor(limit).reward(keyOf(limit, key), weight, { customDuration: limit.seconds });
    },
    async forget(limit, key) {
      await limiterFor(limit).delete(keyOf(limit, key));
    },
  };
}

const secondsOf = ({ msBeforeNext }: RateLimiterRes) => Math.max(1, Math.ceil(msBeforeNext / 1000));
