/** Conditions on one event. Null stands for false here: nothing negates a condition. */
import { storableJson } from '../../events/storable.ts';
import { trusts } from '../../events/trust.ts';
import type { Condition, ConditionOp, Match, Scalar } from '../language.ts';
import { listOf, pathOf } from '../path.ts';
import { and, type Statement } from './statement.ts';
import { baseOf, isList, isThere, numberIn, numeric, valueAt, valuesFrom } from './values.ts';

/** That the event under this alias is one of the Match; the cheap columns first. `unless` is not looked at. */
export function matches(q: Statement, event: string, match: Omit<Match, 'unless'>): string {
  const tests = [named(q, event, match.event)];
  if (match.channel !== undefined) tests.push(`${event}.channel = any (${q.param([match.channel].flat(), 'text[]')})`);
  if (match.trust) {
    const enough = trusts.slice(trusts.indexOf(match.trust));
    tests.push(`${event}.trust = any (${q.param(enough, 'text[]')})`);
  }
  for (const condition of match.where ?? []) tests.push(holdsOf(q, event, condition));
  if (match.item?.length) tests.push(itemHolds(q, event, match.item));
  return and(...tests);
}

function named(q: Statement, event: string, name: string | string[]): string {
  return name === '*' ? 'true' : `${event}.event = any (${q.param([name].flat(), 'text[]')})`;
}

/** That the event was collected for the purpose. */
export function collectedFor(q: Statement, event: string): string {
  return q.purpose === 'service' ? 'true' : `${event}.consents @> ${q.param([q.purpose], 'text[]')}`;
}

function holdsOf(q: Statement, event: string, condition: Condition): string {
  return conditionHolds(q, condition, (property) => {
    const path = pathOf(property);
    return { base: baseOf(event, path), steps: path.steps };
  });
}

type Place = { base: string; steps: string[] };

function conditionHolds(q: Statement, condition: Condition, placeOf: (path: string) => Place): string {
  if ('any' in condition)
    return `(${condition.any.map((one) => conditionHolds(q, one, placeOf)).join(' or ') || 'false'})`;
  const { base, steps } = placeOf(condition.property);
  const { op, value } = condition;
  const isAbsence = op === 'exists' && value === false;
  const test = (v: string) => (op === 'exists' ? isThere(v) : valueHolds(q, v, op, value));
  const holds = isList(steps)
    ? `exists (select from ${valuesFrom(q, base, steps)} as c where ${test('c.v')})`
    : `(${test(`(${valueAt(q, base, steps)})`)})`;
  return isAbsence ? `(${holds} is not true)` : holds;
}

function itemHolds(q: Statement, event: string, conditions: Condition[]): string {
  const list = firstList(conditions);
  const element = q.alias();
  const all = valueAt(q, baseOf(event, list), list.steps);
  const tests = conditions.map((condition) =>
    conditionHolds(q, condition, (property) => ({
      base: `${element}.v`,
      steps: listOf(pathOf(property))?.rest ?? [],
    })),
  );
  return `exists (select from jsonb_array_elements(case jsonb_typeof(${all}) when 'array' then ${all} end) as ${element} (v)
    where ${tests.join(' and ')})`;
}

function firstList(conditions: Condition[]): NonNullable<ReturnType<typeof listOf>>['list'] {
  for (const condition of conditions) {
    if ('any' in condition) {
      if (condition.any.length) return firstList(condition.any);
      continue;
    }
    const found = listOf(pathOf(condition.property));
    if (found) return found.list;
  }
  throw new Error('an item has no list');
}

/** That one JSON value, which may be missing, meets the condition. Not of `exists`. */
export function valueHolds(q: Statement, v: string, op: ConditionOp, value: Scalar | Scalar[]): string {
  switch (op) {
    case 'eq':
    case 'in':
      return equalsOneOf(q, v, [value].flat());
    case 'ne':
    case 'nin':
      return `(${isThere(v)} and (${equalsOneOf(q, v, [value].flat())}) is not true)`;
    case 'gt':
    case 'gte':
    case 'lt':
    case 'lte':
      return typeof value === 'number' ? `${numberIn(q, v)} ${comparators[op]} ${numeric(q, value)}` : 'false';
    case 'contains':
      return Array.isArray(value) ? 'false' : containsValue(q, v, value);
    case 'starts_with':
      return typeof value === 'string'
        ? `(jsonb_typeof(${v}) = 'string' and starts_with(${v} #>> '{}', ${q.param(value, 'text')}))`
        : 'false';
    case 'exists':
      return value === false ? `${isThere(v)} is not true` : isThere(v);
  }
}

export const comparators = { gt: '>', gte: '>=', lt: '<', lte: '<=', eq: '=' } as const;

function equalsOneOf(q: Statement, v: string, values: Scalar[]): string {
  const numbers = values.filter((value) => typeof value === 'number').map(String);
  const others = values.filter((value) => typeof value !== 'number').map(storableJson);
  const tests: string[] = [];
  if (others.length === 1) tests.push(`${v} = ${q.param(others[0], 'jsonb')}`);
  if (others.length > 1) tests.push(`${v} = any (${q.param(others, 'jsonb[]')})`);
  if (numbers.length === 1) tests.push(`${numberIn(q, v)} = ${q.param(numbers[0], 'numeric')}`);
  if (numbers.length > 1) tests.push(`${numberIn(q, v)} = any (${q.param(numbers, 'numeric[]')})`);
  return tests.length === 1 ? (tests[0] ?? '') : `(${tests.join(' or ') || 'false'})`;
}

function containsValue(q: Statement, v: string, value: Scalar): string {
  const element = q.alias();
  const inList = `(jsonb_typeof(${v}) = 'array' and exists (
    select from jsonb_array_elements(case jsonb_typeof(${v}) when 'array' then ${v} end) as ${element} (v)
     where ${equalsOneOf(q, `${element}.v`, [value])}))`;
  if (typeof value !== 'string') return inList;
  return `(jsonb_typeof(${v}) = 'string' and position(${q.param(value, 'text')} in ${v} #>> '{}') > 0 or ${inList})`;
}
