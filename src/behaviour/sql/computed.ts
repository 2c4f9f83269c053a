/** Values worked out of what everybody did: computed.ts as SQL. */
import type { Knex } from 'knex';
import { limitTime } from '../../database.ts';
import { leastNumber, mostNumber, type ValueQuestion } from '../computed.ts';
import type { ComputedNode, Match, RatioNode, Scalar, ValueNode } from '../language.ts';
import { usualTimeZone } from '../parse-window.ts';
import { pathOf } from '../path.ts';
import { matches } from './conditions.ts';
import { eventColumns, eventsFrom, stands, untilCancelled } from './events.ts';
import { inTextOrder, told } from './per.ts';
import { and, createStatement, never, type Scope, type Statement } from './statement.ts';
import { baseOf, isList, isScalar, numberIn, valueAt, valuesFrom } from './values.ts';
import { type WindowSql, windowSql } from './windows.ts';

/** Selects subject_id, value (JSON) and due (infinity: never another by time alone), a subject once. */
export type ComputedSql = (q: Statement, scope: Scope) => string;

/** Whoever has no row has the value that the question has on nothing. @param tz of calendar windows and days */
export function computedSql(node: ComputedNode, tz: string): ComputedSql {
  return (outer, scope) => {
    const q = { ...outer, tz };
    return 'ratio' in node ? ratioSql(q, scope, node) : valueSql(q, scope, node);
  };
}

/** Of one subject and all that they did, for whatever purpose. @throws when it takes longer than `timeout` milliseconds (isTimedOut) */
export async function valueFor(
  db: Knex,
  { sql, question }: { sql: ComputedSql; question: Pick<ValueQuestion, 'onNothing'> },
  { sub, at, timeout }: { sub: string; at: Date; timeout: number },
): Promise<Scalar | null> {
  const q = createStatement({ at, tz: usualTimeZone, purpose: 'service' });
  const only = q.param(sub, 'uuid');
  const scope = { keys: [], among: { part: q.part(`select ${only} as subject_id`), keys: [] } };
  const statement = q.finish(`select value from (${sql(q, scope)}) v where subject_id = ${only}`);
  return db.transaction(async (trx) => {
    await limitTime(trx, timeout);
    const { rows } = await trx.raw(statement.sql, statement.bindings as never);
    return rows.length ? rows[0].value : question.onNothing;
  });
}

function valueSql(q: Statement, scope: Scope, node: ValueNode): string {
  const window = windowSql(q, node);
  const inside = window.within('e."timestamp"');
  const minus = node.sum?.minus;
  const rows = [rowsOf(q, scope, node, window, eventValue(q, node))];
  if (minus) rows.push(rowsOf(q, scope, minus, window, numbersUnder(q, minus.of, '-')));
  const due = `least(${window.leaves(`min(e."timestamp") filter (where ${inside})`)}, ${window.enters(`min(e."timestamp") filter (where not (${inside}))`)})`;
  const grouped = `select subject_id, ${aggregate(node, ` filter (where ${inside})`)} as value, ${due} as due
    from (${rows.join(' union all ')}) e group by subject_id`;
  const cancelled = [node, ...(minus ? [minus] : [])];
  return untilCancelled(q, { scope, outer: scope }, cancelled, grouped, 'value');
}

/** The values of an event: `v` of a FROM item that is joined to it, or an expression of its own columns. */
type Value = { v: string; join: string; where: string };

function rowsOf(q: Statement, scope: Scope, match: Match, { receivedAfter, begun }: WindowSql, value: Value): string {
  const where = and(
    matches(q, 'e', match),
    begun('e."timestamp"'),
    stands(q, scope, match, receivedAfter),
    value.where,
  );
  return `select ${eventColumns(scope)}, e."timestamp", e.id, ${value.v} as v
    ${eventsFrom(q, scope, { where, receivedAfter, join: value.join })}`;
}

function eventValue(q: Statement, node: ValueNode): Value {
  const still = (v: string): Value => ({ v, join: '', where: 'true' });
  if (node.days) return still(`(e."timestamp" at time zone ${q.param(q.tz, 'text')})::date`);
  const numeric = node.sum ?? node.avg ?? node.min ?? node.max;
  if (numeric) return numbersUnder(q, numeric.of);
  const edge = node.first ?? node.last;
  if (edge === true) {
    const format = q.param('YYYY-MM-DD"T"HH24:MI:SS.MS"Z"', 'text');
    return still(`to_jsonb(to_char(e."timestamp" at time zone 'UTC', ${format}))`);
  }
  const of = node.distinct ?? node.most_frequent ?? edge;
  return of ? scalarsUnder(q, of.of) : still('null::jsonb');
}

function valuesUnder(q: Statement, of: string): { value: string; join: string } {
  const path = pathOf(of);
  const base = baseOf('e', path);
  const value = q.alias();
  const source = isList(path.steps) ? valuesFrom(q, base, path.steps) : `(select ${valueAt(q, base, path.steps)} as v)`;
  return { value: `${value}.v`, join: ` cross join lateral ${source} as ${value}` };
}

function numbersUnder(q: Statement, of: string, sign = ''): Value {
  const { value, join } = valuesUnder(q, of);
  const number = numberIn(q, value);
  return { v: `${sign}(${number})`, join, where: `(${number}) is not null` };
}

/** An event that has a value twice has it once. */
function scalarsUnder(q: Statement, of: string): Value {
  const { value, join } = valuesUnder(q, of);
  return { v: value, join, where: isScalar(value) };
}

function aggregate(node: ValueNode, filter: string): string {
  if (node.days || node.distinct) return `to_jsonb(count(distinct v)${filter})`;
  if (node.sum) return number(`coalesce(sum(v)${filter}, 0)`);
  if (node.avg) return jsonOf(`${double(`sum(v)${filter}`)} / nullif(count(v)${filter}, 0)`);
  if (node.min) return number(`min(v)${filter}`);
  if (node.max) return number(`max(v)${filter}`);
  if (node.first) return told(`(array_agg(v order by e."timestamp", e.id, ${inTextOrder('v')})${filter})[1]`);
  if (node.last) return told(`(array_agg(v order by e."timestamp" desc, e.id desc, ${inTextOrder('v')})${filter})[1]`);
  if (node.most_frequent) return mostFrequent(filter);
  return `to_jsonb(count(*)${filter})`;
}

function mostFrequent(filter: string): string {
  return `(select ${told('u.v')} from unnest(array_agg(v)${filter}, array_agg(e.id)${filter}) as u (v, id)
     group by u.v order by count(distinct u.id) desc, ${inTextOrder('u.v')} limit 1)`;
}

/** The nearest double: what was summed exactly, as a number of JSON. Nothing where PostgreSQL would raise. */
function double(numeric: string): string {
  return `(select case when n = 0 or abs(n) between ${leastNumber} and ${mostNumber} then n::float8 end from (select ${numeric}) as d (n))`;
}

const jsonOf = (value: string) => `to_jsonb(${value})`;
const number = (numeric: string) => jsonOf(double(numeric));

function ratioSql(q: Statement, scope: Scope, { ratio: [above, below] }: RatioNode): string {
  // What is divided is a number of JSON, which a double holds.
  const part = (node: ValueNode, at: string) =>
    `(select subject_id, (value #>> '{}')::float8 as ${at}, due as ${at}_due from (${valueSql(q, scope, node)}) ${at}) ${at}_part`;
  const of = (node: ValueNode, at: string) => (isCounted(node) ? `coalesce(${at}, 0)` : at);
  return `select subject_id, to_jsonb(${of(above, 'a')} / nullif(${of(below, 'b')}, 0)) as value,
      least(coalesce(a_due, ${never}), coalesce(b_due, ${never})) as due
    from ${part(above, 'a')} full join ${part(below, 'b')} using (subject_id)`;
}

/** Nought on nothing. */
function isCounted({ count, days, distinct, sum }: ValueNode): boolean {
  return Boolean(count ?? days ?? distinct ?? sum);
}
