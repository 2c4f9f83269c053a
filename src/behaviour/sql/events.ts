/** The events a question sees, as FROM and WHERE: of everybody by one scan, or of those among whom it asks by their index. */
import type { Match } from '../language.ts';
import { pathOf } from '../path.ts';
import { collectedFor, matches, named } from './conditions.ts';
import { and, keyColumns, type Scope, type Statement } from './statement.ts';
import { baseOf, isList, isScalar, valueAt, valuesFrom } from './values.ts';
import { moment, mostAhead } from './windows.ts';

export type Selection = {
  /** Names that any of the tests asks for; `*` for all. */
  names: string | string[];
  /** A condition on the event `e`. */
  where: string;
  /** Windows may begin this early: partitions of what was received before are not looked at. */
  receivedAfter: string | null;
  /** Further FROM items, each with its join. */
  join?: string;
};

/**
 * `from … where …` with the events as `e` and the columns of the scope's keys in reach. An event is there once for each value that it has
 * of a key.
 */
export function eventsFrom(q: Statement, scope: Scope, { names, where, receivedAfter, join = '' }: Selection): string {
  const from = [`${peopleFrom(scope)} e`];
  const tests = [
    named(q, 'e', names),
    receivedAfter ? `e.received_at > ${receivedAfter}` : 'true',
    collectedFor(q, 'e'),
    where,
  ];
  for (const { column, path } of scope.keys) {
    const base = baseOf('e', path);
    const isOfList = isList(path.steps);
    // Named like its column, so that a condition inside another query can say which one it means.
    from.push(
      isOfList
        ? `(select distinct v as ${column} from ${valuesFrom(q, base, path.steps)} as l where ${isScalar('v')}) as ${column}`
        : `(select ${valueAt(q, base, path.steps)} as ${column}) as ${column}`,
    );
    if (!isOfList) tests.push(isScalar(`${column}.${column}`));
  }
  return `from ${from.join(' cross join lateral ')}${join} where ${and(...tests)}`;
}

const columns = 'e.id, e."timestamp", e.received_at, e.event, e.channel, e.trust, e.consents, e.properties, e.context';

/**
 * Two joins beside each other: PostgreSQL takes the index of a partition by nested loops only where it joins the events themselves, and
 * hashes them where there are many people.
 */
function peopleFrom({ among, keys }: Scope): string {
  if (!among) return 'everybodys_events';
  const people = keys.length ? `(select distinct subject_id from ${among})` : among;
  const members = `(select p.subject_id, p.subject_id as member_id from ${people} p
     union all select a.subject_id, a.member_id from ${people} p join behaviour_aliases a on a.subject_id = p.subject_id) m`;
  return `(select m.subject_id, ${columns} from ${members} join subject_events e on e.recorded_sub = m.member_id
     union all select m.subject_id, ${columns} from ${members} join looked_back_events e on e.recorded_sub = m.member_id)`;
}

/** The names that any of these asks for. */
export function namesOf(matchList: Pick<Match, 'event'>[]): string | string[] {
  const all = [...new Set(matchList.flatMap(({ event }) => event))];
  return all.includes('*') ? '*' : all;
}

/**
 * That nothing cancels the event `e`: no later one of `unless`, up to now, that shares a value with it. An anti join; where the value is
 * an element of a list, it joins on the person and compares.
 */
export function stands(q: Statement, scope: Scope, { unless }: Match, receivedAfter: string | null): string {
  if (!unless) return 'true';
  const path = pathOf(unless.same);
  const u = q.alias();
  const column = q.alias();
  const cancelling = eventsFrom(
    q,
    { ...scope, keys: [...scope.keys, { column, path }] },
    {
      names: unless.event,
      where: and(matches(q, 'e', unless), `e."timestamp" <= ${q.param(q.at, 'timestamptz')}`),
      receivedAfter,
    },
  );
  const keys = keyColumns(scope);
  const same = keys.map((key) => `${u}.${key} = ${key === 'subject_id' ? 'e.subject_id' : `${key}.${key}`}`);
  const base = baseOf('e', path);
  const value = q.alias();
  const shared = isList(path.steps)
    ? `exists (select from ${valuesFrom(q, base, path.steps)} as ${value} where ${value}.v = ${u}.${column})`
    : `${u}.${column} = ${valueAt(q, base, path.steps)}`;
  return `not exists (select from (select ${keys.join(', ')}, ${column}, e."timestamp", e.id ${cancelling}) as ${u}
    where ${[...same, shared].join(' and ')} and (${u}."timestamp", ${u}.id) > (e."timestamp", e.id))`;
}

/**
 * The answers that `sql` selects, due no later than when an event that is later than now cancels one of the matches. `outer` is the scope in
 * which one cancels: the same, or without the last key.
 */
export function untilCancelled(
  q: Statement,
  { scope, outer }: { scope: Scope; outer: Scope },
  matchList: Match[],
  sql: string,
  answer = 'holds',
): string {
  const cancelling = matchList.flatMap(({ unless }) => unless ?? []);
  if (!cancelling.length) return sql;
  const rows = cancelling.map(
    (match) =>
      `select ${eventColumns(outer)}, e."timestamp" ${eventsFrom(q, outer, {
        names: match.event,
        where: and(matches(q, 'e', match), `e."timestamp" > ${q.param(q.at, 'timestamptz')}`),
        receivedAfter: moment(q, q.at.getTime() - mostAhead),
      })}`,
  );
  const keys = keyColumns(outer).join(', ');
  return `select ${keyColumns(scope).join(', ')}, ${answer}, least(due, cancels) as due from (${sql}) answers
    left join (select ${keys}, min("timestamp") as cancels from (${rows.join(' union all ')}) u group by ${keys}) c using (${keys})`;
}

/** The key columns where the events are selected. */
export function eventColumns(scope: Scope): string {
  return ['e.subject_id', ...scope.keys.map(({ column }) => column)].join(', ');
}
