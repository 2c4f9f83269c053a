/**
 * Event questions. Those over the same stretch of time are answered by one scan, each by aggregates of its own with a FILTER: reading the
 * events costs more than everything else.
 */
import type { AggregateOf, Comparison, EventNode, Match } from '../language.ts';
import { pathOf } from '../path.ts';
import { comparators, matches } from './conditions.ts';
import { eventsFrom, untilCancelled } from './events.ts';
import { and, keyColumns, never, type Relation, type Scope, type Statement } from './statement.ts';
import { baseOf, isList, numberIn, numeric, valueAt, valuesFrom } from './values.ts';
import { type WindowSql, windowSql } from './windows.ts';

export type EventQuestion = { node: EventNode; isNegated: boolean };

/** Columns that aggregate events, and the answer out of them. */
export type Tally = { columns: string[]; holds: string; due: string };

/** Whether it can share a scan: what a later event cancels, and what counts values, is grouped in ways of its own. */
export function sharesScan({ unless, days, distinct, sum }: EventNode): boolean {
  return !unless && !days && !distinct && !sum?.minus;
}

/** How far back it looks, in milliseconds. */
export function reachOf(q: Statement, node: EventNode): number {
  return node.first ? Number.POSITIVE_INFINITY : windowSql(q, node).reach;
}

/** The answer for whoever has no event. */
export function withoutEvents({ count, days, distinct, sum }: EventNode): boolean {
  const comparison = count ?? days ?? distinct ?? sum;
  if (!comparison) return false;
  const { gt = -1, gte = 0, lt = 1, lte = 0, eq = 0 } = comparison;
  return 0 > gt && 0 >= gte && 0 < lt && 0 <= lte && eq === 0;
}

/** That all of these hold, which share a scan. */
export function allOfEvents(q: Statement, scope: Scope, questions: EventQuestion[]): Relation {
  const leaves = questions.map(({ node, isNegated }, at) => {
    const window = windowSql(q, node);
    const match = matches(q, 'e', node);
    const where = and(match, looksAt(window, node));
    const tally = tallyOf(q, node, window, { name: `t${at}`, where: questions.length > 1 ? where : 'true' });
    return { ...tally, node, where, window, isNegated, reach: reachOf(q, node) };
  });
  const widest = leaves.reduce((wide, leaf) => (leaf.reach > wide.reach ? leaf : wide));
  const scan = eventsFrom(q, scope, {
    where: leaves.length > 1 ? `(${leaves.map(({ where }) => `(${where})`).join(' or ')})` : widest.where,
    receivedAfter: widest.node.first ? null : widest.window.receivedAfter,
  });
  const keys = keyColumns(scope).join(', ');
  const grouped = `select ${keys}, ${leaves.flatMap(({ columns }) => columns).join(', ')} ${scan} group by ${keys}`;
  return answers(q, scope, grouped, leaves);
}

type Answered = Tally & EventQuestion;

/** The relation of the questions whose columns `grouped` selects for each key. `cancelled` are matches that a later event may cancel. */
export function answers(
  q: Statement,
  scope: Scope,
  grouped: string,
  leaves: Answered[],
  cancelled: Match[] = [],
): Relation {
  const keys = keyColumns(scope).join(', ');
  const each = leaves.map(
    ({ holds, due, isNegated }, at) => `(${holds}) is ${isNegated ? 'not ' : ''}true as h${at}, ${due} as d${at}`,
  );
  const all = leaves.map((_, at) => `h${at}`).join(' and ');
  const failing = leaves.map((_, at) => `case when not h${at} then d${at} end`);
  const due =
    leaves.length > 1
      ? `case when ${all} then least(${leaves.map((_, at) => `d${at}`).join(', ')}) else greatest(${failing.join(', ')}) end`
      : 'd0';
  const otherwise = leaves.every(({ node, isNegated }) => withoutEvents(node) !== isNegated);
  const answered = `select ${keys}, ${all} as holds, ${due} as due from (
    select ${keys}, ${each.join(', ')} from (${grouped}) a) b`;
  const name = q.part(
    `select * from (${untilCancelled(q, { scope, outer: scope }, cancelled, answered)}) c where holds <> ${otherwise} or due < ${never}`,
  );
  return { name, otherwise };
}

/** Which events of a Match a question looks at. */
export function looksAt(window: WindowSql, { first, last }: EventNode): string {
  if (first) return 'true';
  return last ? window.since('e."timestamp"') : window.begun('e."timestamp"');
}

/** `where` says which of the events it is about, if the scan has others too. */
export function tallyOf(
  q: Statement,
  node: EventNode,
  window: WindowSql,
  { name, where }: { name: string; where: string },
): Tally {
  const filter = (...tests: string[]) => ` filter (where ${and(where, ...tests)})`;
  const parts = { name, filter };
  if (node.first || node.last) return edgeOf(q, node, window, parts);
  if (node.sum) return sumOf(q, node.sum, window, { ...parts, value: numberOf(q, node.sum.of, 'sum') });
  if (node.avg) return averageOf(q, node.avg, window, parts);
  if (node.min) return extremeOf(q, node.min, window, { ...parts, which: 'min' });
  if (node.max) return extremeOf(q, node.max, window, { ...parts, which: 'max' });
  const comparison = node.count ?? { gte: 1 };
  const holds = meets(q, `${name}_n`, comparison);
  const { columns, falls, rises } = movesOf(window, parts, isMere(comparison) ? 'max' : 'min');
  const count = `count(*)${filter(window.within('e."timestamp"'))} as ${name}_n`;
  return { columns: [count, ...columns], holds, due: dueOf(comparison, holds, { falls, rises }) };
}

type Parts = { name: string; filter: (...tests: string[]) => string };

/** When an event leaves the window, and when one comes into it. @param out the first that leaves, or the last */
function movesOf(window: WindowSql, { name, filter }: Parts, out: 'min' | 'max') {
  const inside = window.within('e."timestamp"');
  return {
    columns: [
      `${out}(e."timestamp")${filter(inside)} as ${name}_out`,
      `min(e."timestamp")${filter(`not (${inside})`)} as ${name}_next`,
    ],
    falls: window.leaves(`${name}_out`),
    rises: window.enters(`${name}_next`),
  };
}

/** Compared by the sum: a division would round. */
function averageOf(q: Statement, { of, ...comparison }: AggregateOf, window: WindowSql, parts: Parts): Tally {
  const { name, filter } = parts;
  const inside = filter(window.within('e."timestamp"'));
  const { columns, falls, rises } = movesOf(window, parts, 'min');
  return {
    columns: [
      `sum(${numberOf(q, of, 'sum')})${inside} as ${name}_v`,
      `sum(${numberOf(q, of, 'count')})${inside} as ${name}_n`,
      ...columns,
    ],
    holds: `${name}_n > 0 and ${meets(q, `${name}_v`, comparison, (limit) => `${limit} * ${name}_n`)}`,
    due: `least(${falls}, ${rises})`,
  };
}

function extremeOf(
  q: Statement,
  { of, ...comparison }: AggregateOf,
  window: WindowSql,
  { which, ...parts }: Parts & { which: 'min' | 'max' },
): Tally {
  const { name, filter } = parts;
  const holds = meets(q, `${name}_v`, comparison);
  const { columns, falls, rises } = movesOf(window, parts, 'min');
  // What enters can only make a maximum of at least so much true, and what leaves only false.
  const isOneWay = which === 'max' ? !hasCeiling(comparison) : !hasFloor(comparison);
  return {
    columns: [`${which}(${numberOf(q, of, which)})${filter(window.within('e."timestamp"'))} as ${name}_v`, ...columns],
    holds,
    due: isOneWay ? `case when ${holds} then ${falls} else ${rises} end` : `least(${falls}, ${rises})`,
  };
}

/** One is enough, so that only the last to leave matters. */
export function isMere({ gt, gte, lt, lte, eq }: Comparison): boolean {
  return (
    (gte === 1 || gt === 0) &&
    (gte ?? 1) <= 1 &&
    (gt ?? 0) <= 0 &&
    lt === undefined &&
    lte === undefined &&
    eq === undefined
  );
}

/** What a number that only rises and falls at these moments makes of the comparison. */
export function dueOf(
  comparison: Comparison,
  holds: string,
  { falls, rises }: { falls: string; rises: string },
): string {
  if (hasFloor(comparison) && hasCeiling(comparison)) return `least(${falls}, ${rises})`;
  return hasFloor(comparison)
    ? `case when ${holds} then ${falls} else ${rises} end`
    : `case when ${holds} then ${rises} else ${falls} end`;
}

function hasFloor({ gt, gte, eq }: Comparison): boolean {
  return gt !== undefined || gte !== undefined || eq !== undefined;
}

function hasCeiling({ lt, lte, eq }: Comparison): boolean {
  return lt !== undefined || lte !== undefined || eq !== undefined;
}

export function meets(q: Statement, value: string, comparison: Comparison, bound = (number: string) => number): string {
  const tests = (['gt', 'gte', 'lt', 'lte', 'eq'] as const).flatMap((op) => {
    const limit = comparison[op];
    return limit === undefined ? [] : [`${value} ${comparators[op]} ${bound(numeric(q, limit))}`];
  });
  return tests.length ? `(${tests.join(' and ')})` : 'true';
}

/** The number of an event under a path; of several, their sum (and so on). */
export function numberOf(q: Statement, of: string, together: 'sum' | 'min' | 'max' | 'count'): string {
  const path = pathOf(of);
  const base = baseOf('e', path);
  if (isList(path.steps)) {
    const element = q.alias();
    return `(select ${together}(${numberIn(q, `${element}.v`)}) from ${valuesFrom(q, base, path.steps)} as ${element})`;
  }
  const value = numberIn(q, valueAt(q, base, path.steps));
  return together === 'count' ? `case when (${value}) is not null then 1 else 0 end` : value;
}

/** What was added may be less than nothing: leaving then makes the sum rise. */
export function sumOf(
  q: Statement,
  comparison: Comparison,
  window: WindowSql,
  { name, filter, value }: Parts & { value: string },
): Tally {
  const inside = window.within('e."timestamp"');
  const earliest = (...tests: string[]) => `min(e."timestamp")${filter(...tests)}`;
  const holds = meets(q, `coalesce(${name}_v, 0)`, comparison);
  return {
    columns: [
      `sum(${value})${filter(inside)} as ${name}_v`,
      `${earliest(inside, `${value} > 0`)} as ${name}_out`,
      `${earliest(inside, `${value} < 0`)} as ${name}_out_less`,
      `${earliest(`not (${inside})`, `${value} > 0`)} as ${name}_next`,
      `${earliest(`not (${inside})`, `${value} < 0`)} as ${name}_next_less`,
    ],
    holds,
    due: dueOf(comparison, holds, {
      falls: `least(${window.leaves(`${name}_out`)}, ${window.enters(`${name}_next_less`)})`,
      rises: `least(${window.leaves(`${name}_out_less`)}, ${window.enters(`${name}_next`)})`,
    }),
  };
}

/** `first` and `last`: one event, which lies in the window or not. */
function edgeOf(q: Statement, node: EventNode, window: WindowSql, { name, filter }: Parts): Tally {
  const now = q.param(q.at, 'timestamptz');
  const edge = `${name}_edge`;
  const holds = and(window.begun(edge), window.within(edge));
  const moves = `case when ${holds} then ${window.leaves(edge)} when ${window.begun(edge)} then ${window.enters(edge)} else ${never} end`;
  const next = `coalesce(${name}_next, ${never})`;
  return {
    columns: [
      `${node.first ? 'min' : 'max'}(e."timestamp")${filter(`e."timestamp" <= ${now}`)} as ${edge}`,
      `min(e."timestamp")${filter(`e."timestamp" > ${now}`)} as ${name}_next`,
    ],
    holds,
    due: node.first ? `case when ${edge} is null then ${next} else ${moves} end` : `least(${moves}, ${next})`,
  };
}
