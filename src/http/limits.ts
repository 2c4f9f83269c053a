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

export type Limits = {
  /** Counts one use. @throws `error` (too_many_requests by default) with the seconds to wait. */
  spend(limit: Limit, key: string, error?: ErrorCode): Promise<void>;
  /** Gives one use back, for work that was counted but did not happen. */
  refund(limit: Limit, key: string): Promise<void>;
};

export function createLimits({ db, seal }: { db: Database; seal: Seal }): Limits {
  const limiters = new Map<string, RateLimiterPostgres>();
  const limiterFor = ({ name, points, seconds }: Limit) => {
    let limiter = limiters.get(name);
    if (!limiter) {
      limiter = new RateLimiterPostgres({
        storeClient: db,
        storeType: 'knex',
        tableName: 'rate_limits',
        tableCreated: true,
        keyPrefix: name,
        points,
        duration: seconds,
      });
      limiters.set(name, limiter);
    }
    return limiter;
  };
  // Keys are phone numbers and addresses: only their keyed hash is stored.
  const keyOf = (limit: Limit, key: string) => seal.hash(key, `limit ${limit.name}`);
  return {
    async spend(limit, key, error = 'too_many_requests') {
      try {
        await limiterFor(limit).consume(keyOf(limit, key));
      } catch (refused) {
        if (!(refused instanceof RateLimiterRes)) throw refused;
        throw fail(error, { retryAfterSeconds: Math.max(1, Math.ceil(refused.msBeforeNext / 1000)) });
      }
    },
    async refund(limit, key) {
      await limiterFor(limit).reward(keyOf(limit, key));
    },
  };
}
