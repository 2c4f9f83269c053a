/** The same for one value of a path: every part of the question is about a subject and a value, and one value is enough. */
import type { Match, PerNode } from '../language.ts';
import { pathOf } from '../path.ts';
import { mostValues } from '../question.ts';
import { matches } from './conditions.ts';
import { eventColumns, eventsFrom, stands, untilCancelled } from './events.ts';
import { allOf, anyValue, narrowest, otherwiseOf, type Term, type Unit } from './relations.ts';
import { sequenceUnit } from './sequence.ts';
import { and, keyColumns, never, type Relation, type Statement } from './statement.ts';

/** Its relation has a column `matched` besides: the values that satisfy it, in the order of their text. */
export function perUnit(q: Statement, node: PerNode): Unit {
  const terms = node.all.map((member): Term => {
    if ('not' in member) return { node: member.not, isNegated: true };
    return 'sequence' in member ? sequenceUnit(q, member) : { node: member, isNegated: false };
  });
  if (!node.all.some((member, at) => showsValue(member, terms[at]))) terms.push(seenUnit(q, node));
  return {
    otherwise: false,
    reach: narrowest(q, terms),
    relation(scope) {
      const column = `k${scope.keys.length + 1}`;
      const values = allOf(q, { ...scope, keys: [...scope.keys, { column, path: pathOf(node.per) }] }, terms);
      const matched = firstValues(column, 'filter (where holds)');
      return anyValue(q, scope, values, `, ${matched} as matched, min(due) as values_due`);
    },
  };
}

/** An aggregate of values as they are told: in the order of their text, a number in its shortest form, a hundred at most. */
export function firstValues(value: string, filter = ''): string {
  return `(array_agg(${told(value)} order by ${inTextOrder(value)}) ${filter})[1:${mostValues}]`;
}

/** A number in its shortest form. */
export function told(value: string): string {
  return `case jsonb_typeof(${value}) when 'number' then to_jsonb(trim_scale(${value}::numeric)) else ${value} end`;
}

/** For ORDER BY: by text, as code points are ordered. */
export function inTextOrder(value: string): string {
  return `((${told(value)}) #>> '{}') collate "C", jsonb_typeof(${value})`;
}

/** That a value was seen at all: what a question needs that is true of values without events. */
function seenUnit(q: Statement, node: PerNode): Unit {
  return {
    otherwise: false,
    reach: Number.POSITIVE_INFINITY,
    relation(scope) {
      const outer = { ...scope, keys: scope.keys.slice(0, -1) };
      const keys = keyColumns(scope).join(', ');
      const all = node.all.flatMap(matchesOf);
      const rows = all.map((match) => {
        const where = and(matches(q, 'e', match), stands(q, outer, match, null));
        return `select ${eventColumns(scope)}, e."timestamp" ${eventsFrom(q, scope, { where, receivedAfter: null })}`;
      });
      const now = q.param(q.at, 'timestamptz');
      const answer = `select ${keys}, min("timestamp") <= ${now} as holds,
          coalesce(min("timestamp") filter (where "timestamp" > ${now}), ${never}) as due
        from (${rows.join(' union all ')}) a group by ${keys}`;
      const name = q.part(untilCancelled(q, { scope, outer }, all, answer));
      return { name, otherwise: false } satisfies Relation;
    },
  };
}

/** Whether a value for which the member holds was seen for certain. What is cancelled among the events of a value may stand among all, or the other way round. */
function showsValue(member: PerNode['all'][number], term: Term | undefined): boolean {
  return term !== undefined && !otherwiseOf([term]) && !matchesOf(member).some(({ unless }) => unless);
}

function matchesOf(member: PerNode['all'][number]): Match[] {
  if ('sequence' in member) return member.sequence.map((step) => ('no' in step ? step.no : step));
  const event = 'not' in member ? member.not : member;
  return [event, ...(event.sum?.minus ? [event.sum.minus] : [])];
}
