/** Which events a Match means, and until when: one that a later event cancels is left out from that moment on. */
import { reaches } from '../events/trust.ts';
import { compileConditions, compileItem, type EventTest, readerOf } from './conditions.ts';
import { eventsNamed, type Facts, firstLater, remembered, scalarsOf } from './facts.ts';
import { keyOf } from './key.ts';
import type { BehaviourEvent, Match } from './language.ts';

/** A match that exists from its event's timestamp (included) to `until` (excluded). */
export type Occurrence = { event: BehaviourEvent; until: number };

export type Matcher = {
  /** Equal for equal matches; what they find is remembered under it. */
  key: string;
  /** In order. Those after the instant that is asked about are among them. */
  occurrences(facts: Facts): Occurrence[];
  /** Names that can make or cancel a match; null: any. */
  names: ReadonlySet<string> | null;
  /** Whether an event of this name on this channel can make or cancel a match. */
  isTouchedBy(name: string, channel: string): boolean;
  /** Whether any match can be cancelled. */
  hasUnless: boolean;
};

export function compileMatch(match: Match): Matcher {
  const { event, channel, trust, where, item, unless } = match;
  const names = namesOf(event);
  const channels = channel === undefined ? null : new Set([channel].flat());
  const test = testOf({ channels, trust, where, item });
  const cancelled = unless && compileUnless(unless);
  const key = `match ${keyOf({ event, channel, trust, where, item, unless })}`;
  return {
    key,
    names: cancelled ? union(names, cancelled.names) : names,
    hasUnless: Boolean(cancelled),
    isTouchedBy: (name, of) =>
      (isAmong(names, name) && (!channels || channels.has(of))) || Boolean(cancelled && isAmong(cancelled.names, name)),
    occurrences: (facts) =>
      remembered(facts, key, () => {
        const found = eventsNamed(facts, names).filter(test);
        const until = cancelled?.within(facts);
        return found.map((event) => ({ event, until: until ? until(event) : Infinity }));
      }),
  };
}

function testOf({
  channels,
  trust,
  where,
  item,
}: Pick<Match, 'trust' | 'where' | 'item'> & { channels: Set<string> | null }): EventTest {
  const meets = where && compileConditions(where);
  const hasItem = item && compileItem(item);
  return (event) =>
    (!channels || channels.has(event.channel)) &&
    (!trust || reaches(event.trust, trust)) &&
    (!meets || meets(event)) &&
    (!hasItem || hasItem(event));
}

function compileUnless({ event, same, where }: NonNullable<Match['unless']>) {
  const names = namesOf(event);
  const meets = where && compileConditions(where);
  const read = readerOf(same);
  return {
    names,
    /** When an event is cancelled first: by the earliest later one that shares a value. */
    within(facts: Facts): (event: BehaviourEvent) => number {
      const candidates = eventsNamed(facts, names);
      const cancelling = new Map<unknown, BehaviourEvent[]>();
      for (const candidate of meets ? candidates.filter(meets) : candidates) {
        for (const value of scalarsOf(read(candidate))) {
          const known = cancelling.get(value);
          if (known) known.push(candidate);
          else cancelling.set(value, [candidate]);
        }
      }
      return (event) => {
        let until = Infinity;
        for (const value of scalarsOf(read(event))) {
          const first = firstLater(cancelling.get(value) ?? [], event);
          if (first && first.timestamp < until) until = first.timestamp;
        }
        return until;
      };
    },
  };
}

function namesOf(event: string | string[]): ReadonlySet<string> | null {
  return event === '*' ? null : new Set([event].flat());
}

function isAmong(names: ReadonlySet<string> | null, name: string): boolean {
  return !names || names.has(name);
}

export function union(a: ReadonlySet<string> | null, b: ReadonlySet<string> | null): ReadonlySet<string> | null {
  return a && b && a.union(b);
}
