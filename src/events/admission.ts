/**
 * Back-pressure: so many batches of a process are at the database at once, some more may wait, the rest is told to come back
 * (429 with Retry-After). Without it a slow disk would fill the memory with bodies, and connections that sign-in needs would be gone.
 */
import { fail } from '../errors.ts';

export type Admission = {
  /** @throws too_many_requests */
  run<T>(work: () => Promise<T>): Promise<T>;
};

export function createAdmission({ atOnce, waiting }: { atOnce: number; waiting: number }): Admission {
  let running = 0;
  const queue: (() => void)[] = [];
  return {
    async run(work) {
      if (running >= atOnce) {
        if (queue.length >= waiting) throw fail('too_many_requests', { retryAfterSeconds: 1 });
        // Whoever ends hands its place over, so a newcomer cannot slip in between.
        await new Promise<void>((resolve) => queue.push(resolve));
      } else running++;
      try {
        return await work();
      } finally {
        const next = queue.shift();
        if (next) next();
        else running--;
      }
    },
  };
}
