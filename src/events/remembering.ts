/**
 * Settings that every request needs and that hardly change (keys, origins, the catalogue) are read from the database once in five
 * seconds. So a key that is disabled is refused by all processes five seconds later at the latest.
 */
import type { Clock } from '../clock.ts';

const keepMs = 5_000;
/** Nobody fills the memory with names that do not exist. */
const most = 1_000;

/** What is undefined, and what fails, is not remembered: a new key works at once. */
export function remembering<T>(clock: Clock, load: (name: string) => Promise<T>): (name: string) => Promise<T> {
  const kept = new Map<string, { until: number; value: Promise<T> }>();
  return (name) => {
    const now = clock.now().getTime();
    const found = kept.get(name);
    if (found && found.until > now && found.until <= now + keepMs) return found.value;
    if (kept.size >= most) kept.clear();
    // A query of knex is no promise: it would be sent anew by everybody who waits for it.
    const entry = { until: now + keepMs, value: Promise.resolve(load(name)) };
    const forget = () => {
      if (kept.get(name) === entry) kept.delete(name);
    };
    entry.value.then((value) => value === undefined && forget(), forget);
    kept.set(name, entry);
    return entry.value;
  };
}
