/** The events a question sees, as FROM and WHERE: of everybody by one scan, or of those among whom it asks by their index. */
import { mostAheadMs } from '../../events/event-time.ts';
import type { Match } from '../language.ts';
import { pathOf } from '../path.ts';
import { collectedFor, matches } from './conditions.ts';
import { and, keyColumns, type Scope, type Statement } from './statement.ts';
import { baseOf, isList, isScalar, valueAt, valuesFrom } from './values.ts';
import { moment } from './windows.ts';

export type Selection = {
  /** A condition on the event `e`. */
  where: string;
  /** When what it looks for was received at the earliest (milliseconds since 1970): older partitions are not looked at. */
  receivedAfter: number | null;
  /** Further FROM items, each with its join. */
  join?: string;
};

/**
 * `from … where …` with the events as `e` and the columns of the scope's keys in reach. An event is there once for each value that it has
 * of a key.
 */
export function eventsFrom(q: Statement, scope: Scope, { where, receivedAfter, join = '' }: Selection): string {
  const from = [`${peopleFrom(scope)} e`];
  const tests = [receivedAfter === null ? 'true' : received(q, receivedAfter), collectedFor(q, 'e'), where];
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
    if (scope.among?.keys.includes(column)) tests.push(`e.${askedKey(column)} = ${column}.${column}`);
  }
  return `from ${from.join(' cross join lateral ')}${join} where ${and(...tests)}`;
}

/**
 * By whole months, as the partitions are: a bound within one would say nothing that the timestamp does not, and the planner, who takes
 * the two for independent, would expect a thirtieth of a thirtieth.
 */
function received(q: Statement, after: number): string {
  const at = new Date(after);
  return `e.received_at >= ${moment(q, Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), 1))}`;
}

const columns = 'e.id, e."timestamp", e.received_at, e.event, e.channel, e.trust, e.consents, e.properties, e.context';

/**
 * Two joins beside each other: PostgreSQL takes the index of a partition by nested loops only where it joins the events themselves, and
 * hashes them where there are many people. Who is asked about with several values is joined with each of them, not made distinct first: of
 * a distinct it expects two hundred, however many there are, and takes the index for a hundred thousand.
 */
function peopleFrom({ among }: Scope): string {
  if (!among) return 'everybodys_events';
  const { part, keys } = among;
  const [asked, of] = [keys.map((key) => `, p.${key} as ${askedKey(key)}`), keys.map((key) => `m.${askedKey(key)}, `)];
  const members = `(select p.subject_id, p.subject_id as member_id${asked.join('')} from ${part} p
     union all select a.subject_id, a.member_id${asked.join('')} from ${part} p join behaviour_aliases a on a.subject_id = p.subject_id) m`;
  const select = `select m.subject_id, ${of.join('')}${columns} from ${members}`;
  return `(${select} join subject_events e on e.recorded_sub = m.member_id
     union all ${select} join looked_back_events e on e.recorded_sub = m.member_id)`;
}

/** The column of a value that is asked about, beside that of the event. */
function askedKey(key: string): string {
  return `asked_${key}`;
}

/**
 * The same of the events of a Match that nothing cancels. One scan reads both, and each event looks at those of its value that are later;
 * the anti join that one would write first is nested loops after a wrong guess. `since` bounds what cancels.
 */
export function standingFrom(q: Statement, scope: Scope, match: Match, asked: Selection & { since: string }): string {
  const { unless } = match;
  const { where, since, receivedAfter, join = '' } = asked;
  const isMatch = and(matches(q, 'e', match), where);
  const path = unless && pathOf(unless.same);
  if (!unless || !path || isList(path.steps)) {
    return eventsFrom(q, scope, { where: and(isMatch, stands(q, scope, match, receivedAfter)), receivedAfter, join });
  }
  const value = valueAt(q, baseOf('e', path), path.steps);
  const now = `e."timestamp" <= ${q.param(q.at, 'timestamptz')}`;
  const cancels = and(matches(q, 'e', unless), since, now, isScalar(value));
  const partition = ['e.subject_id', ...scope.keys.map(({ column }) => `${column}.${column}`), value].join(', ');
  return `from (
      select ${eventColumns(scope)}, e.id, e."timestamp", e.properties, e.context, (${isMatch}) as is_match,
             bool_or(${cancels}) over (partition by ${partition} order by e."timestamp" desc, e.id desc
               groups between unbounded preceding and 1 preceding) as is_cancelled
      ${eventsFrom(q, scope, { where: `((${isMatch}) or (${cancels}))`, receivedAfter })}) e${join}
    where is_match and is_cancelled is not true`;
}

/**
 * That nothing cancels the event `e`: no later one of `unless`, up to now, that shares a value with it. An anti join; where the value is
 * an element of a list, it joins on the person and compares.
 */
export function stands(q: Statement, scope: Scope, { unless }: Match, receivedAfter: number | null): string {
  if (!unless) return 'true';
  const path = pathOf(unless.same);
  const u = q.alias();
  const column = q.alias();
  const cancelling = eventsFrom(
    q,
    { ...scope, keys: [...scope.keys, { column, path }] },
    {
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
        where: and(matches(q, 'e', match), `e."timestamp" > ${q.param(q.at, 'timestamptz')}`),
        receivedAfter: q.at.getTime() - mostAheadMs,
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
