/**
 * Values worked out of what one person did, from events in hand. The same for everybody in SQL is sql/computed.ts; a test holds the two
 * against each other.
 */
import { present } from './aggregates.ts';
import { earliest, isPresent, type Presence } from './answer.ts';
import { calendarOf } from './calendar.ts';
import { readerOf } from './conditions.ts';
import { add, compare, type Decimal, decimalOf, negate, toNumber, zero } from './decimal.ts';
import { type Facts, scalarsOf } from './facts.ts';
import { keyOf } from './key.ts';
import type { BehaviourEvent, ComputedNode, RatioNode, Scalar, ValueNode } from './language.ts';
import { compileMatch } from './match.ts';
import { pathsIn } from './path.ts';
import { byText } from './per.ts';
import type { Question } from './question.ts';
import { compileWindow } from './windows.ts';

export type ComputedValue = {
  /** Null: there is none. A moment is RFC 3339 in UTC. */
  value: Scalar | null;
  /** Milliseconds since 1970: until then it is no other by time alone. Null: never. */
  dueAt: number | null;
};

export type ValueQuestion = Pick<Question, 'key' | 'matchers' | 'paths' | 'since'> & {
  /** @param at milliseconds since 1970; facts after it may be among the facts */
  value(facts: Facts, at: number): ComputedValue;
  /** Of whoever did nothing that matches. */
  onNothing: Scalar | null;
};

/** @param node validated @param tz of calendar windows and days */
export function compileComputed(node: ComputedNode, tz: string): ValueQuestion {
  return 'ratio' in node ? compileRatio(node, tz) : compileValue(node, tz);
}

/** An event with what it adds. */
type Term = { event: BehaviourEvent; values: unknown[] };
type Aggregate = { read(event: BehaviourEvent): unknown[]; of(terms: Term[]): Scalar | null };

function compileValue(node: ValueNode, tz: string): ValueQuestion {
  const window = compileWindow(node, tz);
  const { read, of } = aggregateOf(node, tz);
  const terms = [{ match: compileMatch(node), read }];
  const minus = node.sum?.minus;
  if (minus) {
    const readMinus = numbersAt(minus.of);
    terms.push({ match: compileMatch(minus), read: (event) => readMinus(event).map(negate) });
  }
  return {
    key: `${keyOf(node)}${tz}`,
    matchers: terms.map(({ match }) => match),
    paths: pathsIn(node),
    since: window.since,
    onNothing: of([]),
    value(facts, at) {
      const found = terms.flatMap(({ match, read }) =>
        match.occurrences(facts).map((occurrence): Presence<Term> => {
          const { event } = occurrence;
          return { value: { event, values: read(event) }, ...present(occurrence, window) };
        }),
      );
      return {
        value: of(found.filter((presence) => isPresent(presence, at)).map(({ value }) => value)),
        dueAt: nextChange(found, at),
      };
    },
  };
}

function nextChange(presences: Presence<unknown>[], at: number): number | null {
  let next = Infinity;
  for (const { from, until } of presences) {
    if (from >= until) continue;
    if (from > at) next = Math.min(next, from);
    else if (until > at) next = Math.min(next, until);
  }
  return next === Infinity ? null : next;
}

function aggregateOf(node: ValueNode, tz: string): Aggregate {
  if (node.days) {
    const { dayAt } = calendarOf(tz);
    return { read: ({ timestamp }) => [dayAt(timestamp)], of: different };
  }
  if (node.distinct) return { read: scalarsAt(node.distinct.of), of: different };
  if (node.most_frequent) return { read: scalarsAt(node.most_frequent.of), of: mostFrequent };
  const edge = node.first ?? node.last;
  if (edge) {
    const read = edge === true ? ({ timestamp }: BehaviourEvent) => [momentText(timestamp)] : scalarsAt(edge.of);
    const has = ({ values }: Term) => values.length > 0;
    return { read, of: (terms) => firstValue(node.first ? terms.find(has) : terms.findLast(has)) };
  }
  if (node.sum) return { read: numbersAt(node.sum.of), of: (terms) => numberOf(total(terms)) };
  if (node.avg) {
    const count = (terms: Term[]) => terms.reduce((sum, { values }) => sum + values.length, 0);
    return { read: numbersAt(node.avg.of), of: (terms) => quotient(numberOf(total(terms)), count(terms)) };
  }
  if (node.min) return { read: numbersAt(node.min.of), of: (terms) => extreme(terms, -1) };
  if (node.max) return { read: numbersAt(node.max.of), of: (terms) => extreme(terms, 1) };
  return { read: () => [], of: (terms) => terms.length };
}

function scalarsAt(path: string): (event: BehaviourEvent) => Scalar[] {
  const read = readerOf(path);
  return (event) => scalarsOf(read(event));
}

function numbersAt(path: string): (event: BehaviourEvent) => Decimal[] {
  const read = readerOf(path);
  return (event) =>
    read(event)
      .map(decimalOf)
      .filter((value) => value !== null);
}

function momentText(timestamp: number): string {
  return new Date(timestamp).toISOString();
}

function different(terms: Term[]): number {
  return new Set(terms.flatMap(({ values }) => values)).size;
}

/** Of several values of one event the first in the order of their text. */
function firstValue(term: Term | undefined): Scalar | null {
  return (term?.values as Scalar[] | undefined)?.toSorted(byText)[0] ?? null;
}

/** How many events have it. Of several that are equal in this, the first in the order of their text. */
function mostFrequent(terms: Term[]): Scalar | null {
  const times = new Map<Scalar, number>();
  for (const { values } of terms) {
    for (const value of values as Scalar[]) times.set(value, (times.get(value) ?? 0) + 1);
  }
  const most = Math.max(...times.values());
  const found = [...times].filter(([, count]) => count === most).map(([value]) => value);
  return found.toSorted(byText)[0] ?? null;
}

function total(terms: Term[]): Decimal {
  let sum = zero;
  for (const { values } of terms) for (const value of values as Decimal[]) sum = add(sum, value);
  return sum;
}

/** @param sign 1 for the greatest, -1 for the least */
function extreme(terms: Term[], sign: 1 | -1): number | null {
  let best: Decimal | null = null;
  for (const { values } of terms) {
    for (const value of values as Decimal[]) if (!best || compare(value, best) * sign > 0) best = value;
  }
  return best && numberOf(best);
}

/** Beyond these a number is none: dividing two of them stays within what a double holds, and PostgreSQL raises beyond that. */
export const [leastNumber, mostNumber] = [1e-150, 1e150];

/** What was summed exactly, as the nearest double: the number of JSON. */
function numberOf(decimal: Decimal): number | null {
  const number = toNumber(decimal);
  const size = Math.abs(number);
  return decimal.units === 0n || (size >= leastNumber && size <= mostNumber) ? number : null;
}

function quotient(above: Scalar | null, below: Scalar | null): number | null {
  return typeof above === 'number' && typeof below === 'number' && below !== 0 ? above / below : null;
}

function compileRatio({ ratio }: RatioNode, tz: string): ValueQuestion {
  const [above, below] = ratio.map((part) => compileValue(part, tz)) as [ValueQuestion, ValueQuestion];
  return combined([above, below], ([a = null, b = null]) => ({ value: quotient(a, b), dueAt: null }));
}

/** A value of values. `join` says, besides, when it turns by time while they stay what they are. */
export function combined(
  parts: ValueQuestion[],
  join: (values: (Scalar | null)[], at: number) => ComputedValue,
  name = 'ratio',
): ValueQuestion {
  return {
    key: `${name} ${parts.map(({ key }) => key).join(' ')}`,
    matchers: parts.flatMap(({ matchers }) => matchers),
    paths: parts.flatMap(({ paths }) => paths),
    since(at) {
      const sinces = parts.map(({ since }) => since(at));
      return sinces.every((since) => since !== null) ? Math.min(...sinces) : null;
    },
    onNothing: join(
      parts.map(({ onNothing }) => onNothing),
      0,
    ).value,
    value(facts, at) {
      const found = parts.map((part) => part.value(facts, at));
      const joined = join(
        found.map(({ value }) => value),
        at,
      );
      return { value: joined.value, dueAt: found.reduce((due, { dueAt }) => earliest(due, dueAt), joined.dueAt) };
    },
  };
}
