/** What a path reaches in a JSON document, as SQL that raises on nothing: F10, whatever was sent under that name. */
import { each, type ParsedPath } from '../path.ts';
import type { Statement } from './statement.ts';

/** A document: `e.properties`, or an element of a list. */
export type Base = string;

export function baseOf(event: string, { root }: ParsedPath): Base {
  return `${event}.${root}`;
}

export function isList(steps: string[]): boolean {
  return steps.includes(each);
}

/** The value at the end of steps without a list; SQL null, or JSON null, where there is none. */
export function valueAt(q: Statement, base: Base, steps: string[]): string {
  return steps.reduce((value, step) => `${value} -> ${q.param(step, 'text')}`, base);
}

/** A FROM item with a column v for each value that the steps reach through lists; JSON nulls are among them. */
export function valuesFrom(q: Statement, base: Base, steps: string[]): string {
  const sources: string[] = [];
  let value = base;
  let rest = steps;
  for (let at = rest.indexOf(each); at >= 0; at = rest.indexOf(each)) {
    const list = valueAt(q, value, rest.slice(0, at));
    const element = q.alias();
    sources.push(`jsonb_array_elements(case jsonb_typeof(${list}) when 'array' then ${list} end) as ${element} (v)`);
    value = `${element}.v`;
    rest = rest.slice(at + 1);
  }
  return `(select ${valueAt(q, value, rest)} as v from ${sources.join(' cross join ')})`;
}

/** Digits of money, as shops send them in strings. */
const plainDecimal = '^-?[0-9]{1,20}(\\.[0-9]{1,10})?$';

/** The decimal value of a number or of a plain decimal string; null of anything else. */
export function numberIn(q: Statement, value: string): string {
  const text = `(${value}) #>> '{}'`;
  return `case jsonb_typeof(${value}) when 'number' then (${value})::numeric
    when 'string' then case when ${text} ~ ${q.param(plainDecimal, 'text')} then (${text})::numeric end end`;
}

/** A number of a definition, exactly as it is written. */
export function numeric(q: Statement, value: number): string {
  return q.param(String(value), 'numeric');
}

export function isThere(value: string): string {
  return `(${value} is not null and jsonb_typeof(${value}) <> 'null')`;
}

/**
 * Objects and lists equal nothing, so they are no values to group by. Said by what it is not: PostgreSQL expects nearly all rows to differ
 * from a constant, and hardly any to equal one.
 */
export function isScalar(value: string): string {
  return `jsonb_typeof(${value}) not in ('object', 'array', 'null')`;
}
