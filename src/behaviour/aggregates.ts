/** One Event node: an aggregate over the matches in a window. */
import { isPresent, type Presence, sweep, type Tally, walk } from './answer.ts';
import { calendarOf } from './calendar.ts';
import { orders, readerOf } from './conditions.ts';
import { add, compare, type Decimal, decimalOf, negate, times, toNumber, zero } from './decimal.ts';
import { type Facts, inOrder, scalarsOf } from './facts.ts';
import { keyOf } from './key.ts';
import {
  type Answer,
  type BehaviourEvent,
  type Comparison,
  comparisons,
  type EventNode,
  type Path,
} from './language.ts';
import { compileMatch, type Matcher, type Occurrence } from './match.ts';
import { pathsIn } from './path.ts';
import type { Question } from './question.ts';
import { type CompiledWindow, compileWindow } from './windows.ts';

/** @param tz of calendar windows and `days` */
export function compileEvent(node: EventNode, tz: string): Question {
  const window = compileWindow(node, tz);
  const match = compileMatch(node);
  const key = `${keyOf(node)}${node.calendar || node.days ? tz : ''}`;
  const paths = pathsIn(node);
  if (node.first || node.last) return { ...extreme(match, window, node.first ? 'first' : 'last'), key, paths };
  const { read, tally } = aggregate(node, tz);
  const terms = [{ match, read }];
  const minus = node.sum?.minus;
  if (minus) {
    const readMinus = readerOf(minus.of);
    terms.push({ match: compileMatch(minus), read: (event) => numbers(readMinus(event)).map(negate) });
  }
  const presences = (facts: Facts) =>
    terms.flatMap(({ match, read }) =>
      match.occurrences(facts).map((occurrence): Presence<Term> => {
        const { event } = occurrence;
        return { value: { event, counted: read(event) }, ...present(occurrence, window) };
      }),
    );
  return {
    key,
    matchers: terms.map(({ match }) => match),
    paths,
    since: window.since,
    holdsOnNothing: tally().holds(),
    answer: (facts, at) => sweep(presences(facts), tally(), at),
    account: (facts, at) => {
      const found = presences(facts).filter((presence) => isPresent(presence, at));
      const told = tally();
      for (const { value } of found) told.add(value);
      return { observed: told.observed(), events: found.map(({ value }) => value.event).sort(inOrder) };
    },
  };
}

/** When a match lies in the window and is not cancelled. */
export function present({ event, until }: Occurrence, window: CompiledWindow): { from: number; until: number } {
  return { from: window.enters(event.timestamp), until: Math.min(until, window.leaves(event.timestamp)) };
}

/** What an event adds to an aggregate. */
type Term = { event: BehaviourEvent; counted: unknown[] };
type Aggregate = Tally<Term> & { observed(): number | null };
type CompiledAggregate = { read(event: BehaviourEvent): unknown[]; tally(): Aggregate };

function aggregate(node: EventNode, tz: string): CompiledAggregate {
  if (node.days) {
    const { dayAt } = calendarOf(tz);
    return { read: ({ timestamp }) => [dayAt(timestamp)], tally: differentTally(node.days) };
  }
  if (node.distinct) {
    const read = readerOf(node.distinct.of);
    return { read: (event) => scalarsOf(read(event)), tally: differentTally(node.distinct) };
  }
  const numeric = (path: Path) => {
    const read = readerOf(path);
    return (event: BehaviourEvent) => numbers(read(event));
  };
  if (node.sum) return { read: numeric(node.sum.of), tally: totalTally(node.sum, 'sum') };
  if (node.avg) return { read: numeric(node.avg.of), tally: totalTally(node.avg, 'avg') };
  if (node.min) return { read: numeric(node.min.of), tally: extremeTally(node.min, -1) };
  if (node.max) return { read: numeric(node.max.of), tally: extremeTally(node.max, 1) };
  return { read: () => [], tally: countTally(node.count ?? { gte: 1 }) };
}

function numbers(values: unknown[]): Decimal[] {
  return values.map(decimalOf).filter((value) => value !== null);
}

function countTally(comparison: Comparison): () => Aggregate {
  const meets = compileComparison(comparison);
  return () => {
    let count = 0;
    return {
      add: () => void count++,
      remove: () => void count--,
      holds: () => meets(count),
      observed: () => count,
    };
  };
}

function differentTally(comparison: Comparison): () => Aggregate {
  const meets = compileComparison(comparison);
  return () => {
    const times = new Map<unknown, number>();
    return {
      add: ({ counted }) => {
        for (const value of counted) times.set(value, (times.get(value) ?? 0) + 1);
      },
      remove: ({ counted }) => {
        for (const value of counted) {
          const left = (times.get(value) ?? 0) - 1;
          if (left > 0) times.set(value, left);
          else times.delete(value);
        }
      },
      holds: () => meets(times.size),
      observed: () => times.size,
    };
  };
}

/** An average is compared by its sum, multiplied out: a division would round. */
function totalTally(comparison: Comparison, what: 'sum' | 'avg'): () => Aggregate {
  const meets = compileDecimalComparison(comparison);
  return () => {
    let total = zero;
    let count = 0;
    return {
      add: ({ counted }) => {
        for (const value of counted as Decimal[]) total = add(total, value);
        count += counted.length;
      },
      remove: ({ counted }) => {
        for (const value of counted as Decimal[]) total = add(total, negate(value));
        count -= counted.length;
      },
      holds: () => (what === 'sum' ? meets(total, 1) : count > 0 && meets(total, count)),
      observed: () => (what === 'sum' ? toNumber(total) : count > 0 ? toNumber(total) / count : null),
    };
  };
}

/**
 * How the greatest value compares with a number is told by how many are greater and how many equal: nothing has to be looked for again
 * when the greatest one leaves. @param sign 1 for the greatest, -1 for the least
 */
function extremeTally(comparison: Comparison, sign: 1 | -1): () => Aggregate {
  const all = decimalBounds(comparison);
  return () => {
    const present = new Set<Term>();
    const bounds = all.map((bound) => ({ ...bound, beyond: 0, equal: 0 }));
    let size = 0;
    const change = ({ counted }: Term, by: 1 | -1) => {
      size += by * counted.length;
      for (const bound of bounds) {
        for (const value of counted as Decimal[]) {
          const order = compare(value, bound.wanted) * sign;
          if (order > 0) bound.beyond += by;
          else if (order === 0) bound.equal += by;
        }
      }
    };
    return {
      add: (term) => {
        present.add(term);
        change(term, 1);
      },
      remove: (term) => {
        present.delete(term);
        change(term, -1);
      },
      holds: () =>
        size > 0 && bounds.every(({ meets, beyond, equal }) => meets(beyond > 0 ? sign : equal > 0 ? 0 : -sign)),
      observed: () => {
        const values = [...present].flatMap(({ counted }) => counted as Decimal[]);
        return size > 0 ? toNumber(values.reduce((a, b) => (compare(b, a) * sign > 0 ? b : a))) : null;
      },
    };
  };
}

function bounds(comparison: Comparison): { meets: (order: number) => boolean; wanted: number }[] {
  return comparisons.flatMap((op) => {
    const wanted = comparison[op];
    return wanted === undefined ? [] : [{ meets: orders[op], wanted }];
  });
}

function compileComparison(comparison: Comparison): (value: number) => boolean {
  const all = bounds(comparison);
  return (value) => all.every(({ meets, wanted }) => meets(value - wanted));
}

function decimalBounds(comparison: Comparison) {
  return bounds(comparison).map(({ meets, wanted }) => ({ meets, wanted: decimalOf(wanted) ?? zero }));
}

/** Of `total` with the wanted number taken `count` times. */
function compileDecimalComparison(comparison: Comparison): (total: Decimal, count: number) => boolean {
  const all = decimalBounds(comparison);
  return (total, count) => all.every(({ meets, wanted }) => meets(compare(total, times(wanted, count))));
}

/** Whether the earliest or latest match up to an instant lies in the window of that instant. */
function extreme(match: Matcher, window: CompiledWindow, which: 'first' | 'last'): Omit<Question, 'key' | 'paths'> {
  const pick = (occurrences: Occurrence[], at: number) => {
    const stands = ({ event, until }: Occurrence) => event.timestamp <= at && at < until;
    return which === 'first' ? occurrences.find(stands) : occurrences.findLast(stands);
  };
  const step = (occurrences: Occurrence[], at: number): Answer => {
    const picked = pick(occurrences, at);
    const span = picked && present(picked, window);
    const next = occurrences.find(({ event }) => event.timestamp > at);
    const changes = [picked?.until, span?.from, span?.until, next?.event.timestamp].filter(
      (change) => change !== undefined && change > at && change !== Infinity,
    );
    return {
      holds: span !== undefined && isPresent(span, at),
      dueAt: changes.reduce((least: number | null, change) => Math.min(least ?? Infinity, change ?? Infinity), null),
    };
  };
  return {
    matchers: [match],
    // The latest match lies in the window when any does that nothing follows; the earliest may be older than all windows.
    since: which === 'first' ? () => null : window.since,
    holdsOnNothing: false,
    answer: (facts, at) => walk(at, (moment) => step(match.occurrences(facts), moment)),
    account: (facts, at) => {
      const picked = pick(match.occurrences(facts), at);
      const isIn = picked && isPresent(present(picked, window), at);
      return { observed: isIn ? 1 : 0, events: picked ? [picked.event] : [] };
    },
  };
}
