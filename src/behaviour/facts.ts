/** The events that a question is asked about, and what was worked out about them already. */
import type { BehaviourEvent } from './language.ts';

export type Facts = {
  /** In order: by timestamp, then id. */
  events: BehaviourEvent[];
  named: Map<string, BehaviourEvent[]> | null;
  /** Of matches and the like, by their key: equal parts of many questions are worked out once. */
  remembered: Map<string, unknown>;
};

const none: BehaviourEvent[] = [];

/** @param events in order @param remembered what is known of them already */
export function factsOf(events: BehaviourEvent[], remembered: Facts['remembered'] = new Map()): Facts {
  return { events, named: null, remembered };
}

/** Events of these names in order; null for any name. */
export function eventsNamed(facts: Facts, names: ReadonlySet<string> | null): BehaviourEvent[] {
  if (!names) return facts.events;
  if (names.size > 1) return facts.events.filter(({ event }) => names.has(event));
  facts.named ??= Map.groupBy(facts.events, ({ event }) => event);
  const [name] = names;
  return facts.named.get(name ?? '') ?? none;
}

export function remembered<T>(facts: Facts, key: string, work: () => T): T {
  const known = facts.remembered.get(key);
  if (known !== undefined) return known as T;
  const made = work();
  facts.remembered.set(key, made);
  return made;
}

export function isLater(a: BehaviourEvent, b: BehaviourEvent): boolean {
  return a.timestamp > b.timestamp || (a.timestamp === b.timestamp && a.id > b.id);
}

/** The first of these (in order) that is later than an event. */
export function firstLater(candidates: BehaviourEvent[], event: BehaviourEvent): BehaviourEvent | undefined {
  let [from, to] = [0, candidates.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    const candidate = candidates[middle];
    if (candidate && isLater(candidate, event)) to = middle;
    else from = middle + 1;
  }
  return candidates[from];
}

export function inOrder(a: BehaviourEvent, b: BehaviourEvent): number {
  return isLater(a, b) ? 1 : isLater(b, a) ? -1 : 0;
}

/** Strings, numbers and booleans among values, each once: what `same`, `per` and `distinct` compare. Objects and lists equal nothing. */
export function scalarsOf(values: unknown[]): (string | number | boolean)[] {
  const scalars = values.filter(
    (value) => typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean',
  );
  return scalars.length > 1 ? [...new Set(scalars)] : scalars;
}
