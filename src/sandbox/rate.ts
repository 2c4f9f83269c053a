/** Sliding windows in memory: what the vendors count, played by the sandbox's clock. */
import type { Clock } from '../clock.ts';

export type Rule = { name: string; uses: number; ms: number };

/** Counts one use, unless a rule is exhausted: then that rule, the shortest first, and nothing is counted. */
export type Rate = (key: string, rules: readonly Rule[]) => Rule | undefined;

export function createRate({ clock }: { clock: Clock }): Rate {
  const uses = new Map<string, number[]>();
  return (key, rules) => {
    const now = clock.now().getTime();
    const longest = Math.max(...rules.map((rule) => rule.ms));
    const recent = (uses.get(key) ?? []).filter((at) => now - at < longest);
    const exhausted = rules.find((rule) => recent.filter((at) => now - at < rule.ms).length >= rule.uses);
    uses.set(key, exhausted ? recent : [...recent, now]);
    return exhausted;
  };
}
