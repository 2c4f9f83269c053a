/**
 * Tables events, held_events, held_event_identities, event_rejections, anonymous_bindings, subject_activity. The one statement
 * that makes events durable is storeEvents.
 */
import type { Knex } from 'knex';
import type { IdentityKey } from './people.ts';
import { storableJson } from './storable.ts';
import type { Trust } from './trust.ts';

/** As JSON to the database: the fields are the columns. */
export type EventRow = {
  id: string;
  /** Milliseconds since 1970: faster to write and to read than a text. */
  timestamp: number;
  original_timestamp: number | null;
  subject_id: string | null;
  counts: boolean;
  is_attributable: boolean;
  message_id: string;
  type: string;
  event: string;
  original_event: string | null;
  channel: string;
  trust: Trust;
  anonymous_id: string | null;
  claimed_user_id: string | null;
  consents: string[];
  properties: Record<string, unknown>;
  context: Record<string, unknown>;
  /** Set for an event that waits for its person: the identities it may find it by. */
  held?: IdentityKey[] | undefined;
};

/** How far back a message id is recognised; also how long held events wait and a binding stands idle. */
export const horizonDays = 30;

/**
 * Stores a batch once and durably, in one statement and one round trip:
 *
 *   batch     the rows, as one JSON text (twice as fast as an array a column: the driver quotes nothing, PostgreSQL parses once)
 *   bound     which of them a bound anonymous id gives a subject, by the moment they happened
 *   known     message ids that this source used in another month within the horizon (one pass over each month's index)
 *   stored    the others. Within a month the partition's unique index decides, also between two processes at the same instant.
 *             Sorted, so that overlapping batches wait for each other in one direction and never deadlock
 *   activity  what the profiles of their subjects have to count
 *   seen      keeps the bindings that were used from idling out; once an hour is enough, and a row that another batch holds is left
 *             to it
 *
 * An answer of 200 follows this commit: a database whose default is not to wait for the disk is told to wait. A stricter default stays.
 */
const storeSql = (holding: boolean) => `
  with durable as materialized (
    select case when current_setting('synchronous_commit') = 'off' then set_config('synchronous_commit', 'on', true) end
  ), batch as (
    select r.*, to_timestamp(r."timestamp" / 1000.0) as at from durable, json_to_recordset(:rows::json) as r (
      id uuid, "timestamp" float8, original_timestamp float8, subject_id uuid, counts boolean, is_attributable boolean,
      message_id text, type text, event text, original_event text, channel text, trust text, anonymous_id text,
      claimed_user_id text, consents text[], properties jsonb, context jsonb${holding ? ', held json' : ''})
  ), visitors as (
    select anonymous_id, min(at) as first_at, max(at) as last_at
      from batch where subject_id is null and is_attributable and anonymous_id is not null group by anonymous_id
  ), bindings as (
    select a.* from visitors v cross join lateral (
      select id, anonymous_id, subject_id, looks_back_to, bound_at,
             least(coalesce(ends_at, 'infinity'), last_seen_at + interval '${horizonDays} days') as until,
             ends_at is null and last_seen_at < :received_at::timestamptz - interval '1 hour' as is_stale
        from anonymous_bindings where anonymous_id = v.anonymous_id
    ) a
     where a.looks_back_to <= v.last_at and a.until > v.first_at
       and exists (select from current_subjects c where c.requested_id = a.subject_id and c.status <> 'deleted')
  ), bound as (
    select distinct on (b.id) b.id, a.subject_id
      from batch b join bindings a on a.anonymous_id = b.anonymous_id and a.looks_back_to <= b.at and a.until > b.at
     where b.subject_id is null and b.is_attributable
     order by b.id, a.bound_at desc
  ), known as (
    select message_id from events
     where source_id = :source_id::int and message_id = any (array(select message_id from batch))
       and received_at >= :received_at::timestamptz - interval '${horizonDays} days' and received_at < :month::timestamptz
    union all
    select message_id from events
     where source_id = :source_id::int and message_id = any (array(select message_id from batch))
       and received_at >= :next_month::timestamptz and received_at < :received_at::timestamptz + interval '1 day'
  ), stored as (
    insert into events (id, received_at, "timestamp", original_timestamp, subject_id, source_id, counts, is_attributable, message_id,
                        type, event, original_event, channel, trust, anonymous_id, claimed_user_id, consents, properties, context)
    select b.id, :received_at::timestamptz, b.at, to_timestamp(b.original_timestamp / 1000.0), coalesce(b.subject_id, bound.subject_id),
           :source_id::int, b.counts, b.is_attributable, b.message_id, b.type, b.event, b.original_event, b.channel,
           case when bound.subject_id is not null and b.trust = 'claimed' then 'bound' else b.trust end,
           b.anonymous_id, b.claimed_user_id, b.consents, b.properties, b.context
      from batch b
      left join bound on bound.id = b.id
     where b.message_id not in (select message_id from known)
     order by b.message_id, b.id
    on conflict do nothing
    returning id, message_id, subject_id, anonymous_id, trust, channel, event, "timestamp", counts
  ), activity as (
    insert into subject_activity (subject_id, channel, event, counts, n, first_at, last_at)
    select subject_id, channel, event, counts, count(*), min("timestamp"), max("timestamp")
      from stored where subject_id is not null group by 1, 2, 3, 4
  ), seen as (
    update anonymous_bindings set last_seen_at = :received_at::timestamptz
     where id in (select id from anonymous_bindings where id in (select id from bindings where is_stale) for update skip locked)
  )${
    holding
      ? `, held as (
    insert into held_events (event_id, source_id, message_id, received_at)
    select s.id, :source_id::int, s.message_id, :received_at::timestamptz
      from stored s join batch b on b.id = s.id where b.held is not null
  ), held_by as (
    insert into held_event_identities (kind, issuer, lookup, event_id)
    select k.kind, k.issuer, k.lookup, s.id from stored s join batch b on b.id = s.id,
           json_to_recordset(b.held) as k (kind text, issuer text, lookup text)
    on conflict do nothing
  )`
      : ''
  }
  select count(*) as n from stored`;
const storeOnly = storeSql(false);
const storeAndHold = storeSql(true);

export type StoreInput = { source_id: number; received_at: Date; rows: EventRow[] };

/** How many were new. The statement is prepared once a connection: planning it takes longer than running it. */
export async function storeEvents(db: Knex, { source_id, received_at, rows }: StoreInput): Promise<number> {
  const [year, month] = [received_at.getUTCFullYear(), received_at.getUTCMonth()];
  const holding = rows.some((row) => row.held !== undefined);
  const { rows: answer } = await db
    .raw(holding ? storeAndHold : storeOnly, {
      rows: storableJson(rows),
      received_at,
      source_id,
      month: new Date(Date.UTC(year, month)),
      next_month: new Date(Date.UTC(year, month + 1)),
    })
    .options({ name: holding ? 'events.store_and_hold' : 'events.store' })
    .timeout(10_000);
  return answer[0].n;
}

/** Held for the length of a transaction by batches near midnight of the month: see store-once.ts. */
export async function lockSource(trx: Knex.Transaction, source_id: number): Promise<void> {
  await trx.raw('select pg_advisory_xact_lock(hashtextextended(?, 3))', [`event source ${source_id}`]);
}

export async function ensurePartition(db: Knex, at: Date): Promise<void> {
  await db.raw('select ensure_event_partition(?)', [at]);
}

/**
 * Gives held events to their person: of one subject when it signs in, of all in the background. A subject who was deleted gets
 * nothing. The event keeps its place in time, and its profile counts it from now on.
 */
export async function claimHeld(db: Knex, sub: string | null): Promise<number> {
  const { rows } = await db.raw(
    `with found as (
       select distinct on (h.event_id) h.event_id, e.source_id, e.message_id, e.received_at, i.subject_id
         from held_event_identities h
         join identity_issuers s on s.kind = h.kind and (h.issuer = '' or s.issuer = h.issuer)
         join identity_subjects i on i.kind = h.kind and i.issuer = s.issuer and i.lookup = h.lookup
         join held_events e on e.event_id = h.event_id
        where i.status <> 'deleted' and (?::uuid is null or i.subject_id = ?::uuid)
        order by h.event_id, i.subject_id
        limit 10000
     ), released as (
       delete from held_events where event_id in (select event_id from found) returning event_id
     ), claimed as (
       update events e set subject_id = f.subject_id
         from found f join released r on r.event_id = f.event_id
        where e.source_id = f.source_id and e.message_id = f.message_id and e.received_at = f.received_at and e.subject_id is null
       returning e.subject_id, e.channel, e.event, e.counts, e."timestamp"
     ), activity as (
       insert into subject_activity (subject_id, channel, event, counts, n, first_at, last_at)
       select subject_id, channel, event, counts, count(*), min("timestamp"), max("timestamp") from claimed group by 1, 2, 3, 4
     )
     select count(*) as n from claimed`,
    [sub, sub],
  );
  return rows[0].n;
}

/**
 * After 30 days nobody has come: the event goes, unless an anonymous id keeps it, and the key's owner finds it counted among the
 * rejections.
 */
export async function dropUnclaimed(db: Knex, limit: number): Promise<number> {
  const { rows } = await db.raw(
    `with late as (
       delete from held_events where event_id in (
         select event_id from held_events where received_at < now() - interval '${horizonDays} days' limit ? for update skip locked)
       returning source_id, message_id, received_at
     ), dropped as (
       delete from events e using late l
        where e.source_id = l.source_id and e.message_id = l.message_id and e.received_at = l.received_at
          and e.subject_id is null and e.anonymous_id is null
       returning e.source_id, e.message_id
     ), counted as (
       insert into event_rejections (source_id, received_at, message_id, code, message)
       select source_id, now(), message_id, 'person_unknown', 'Nobody with these ids appeared within ${horizonDays} days.' from dropped
     )
     select count(*) as n from late`,
    [limit],
  );
  return rows[0].n;
}

export type Rejection = { message_id: string | null; code: string; message: string; sample: string | null };

export async function insertRejections(
  db: Knex,
  { source_id, received_at, rejections }: { source_id: number; received_at: Date; rejections: Rejection[] },
): Promise<void> {
  await db('event_rejections').insert(rejections.map((rejection) => ({ source_id, received_at, ...rejection })));
}

export async function deleteOldRejections(db: Knex, limit: number): Promise<number> {
  const { rowCount } = await db.raw(
    `delete from event_rejections where ctid = any (array(
       select ctid from event_rejections where received_at < now() - interval '7 days' limit ?))`,
    [limit],
  );
  return rowCount;
}

/** Orders the binds of one anonymous id over all processes. */
export async function lockAnonymous(trx: Knex.Transaction, anonymous_id: string): Promise<void> {
  await trx.raw('select pg_advisory_xact_lock(hashtextextended(?, 4))', [anonymous_id]);
}

export type LatestBinding = { id: string; subject_id: string; is_active: boolean; until: Date };

/** `until`: for an active one when it began, since another subject may end it at any moment after. */
export async function latestBinding(trx: Knex, anonymous_id: string): Promise<LatestBinding | undefined> {
  const { rows } = await trx.raw(
    `select id, subject_id, ends > clock_timestamp() as is_active,
            case when ends > clock_timestamp() then bound_at else ends end as until
       from (select *, least(coalesce(ends_at, 'infinity'), last_seen_at + interval '${horizonDays} days') as ends
               from anonymous_bindings where anonymous_id = ?) b
      order by bound_at desc, created_at desc limit 1`,
    [anonymous_id],
  );
  return rows[0];
}

export async function keepBinding(trx: Knex, id: string, grant_id: string | null): Promise<void> {
  await trx('anonymous_bindings')
    .where({ id })
    .update({ last_seen_at: trx.fn.now(), ...(grant_id !== null && { grant_id }) });
}

type NewBinding = {
  anonymous_id: string;
  subject_id: string;
  method: string;
  grant_id?: string | undefined;
  at?: Date | undefined;
  looks_back: boolean;
  not_before: Date | null;
};

/**
 * The proof's moment counts, not its arrival, but ten minutes back at most (an ID token is valid no longer): further back is a
 * look-back, which needs consent. Where an active binding is replaced, both it and the look-back end at that moment. The clock is read
 * after the lock was had: now() is when the transaction began, before those it waited for.
 */
export async function insertBinding(trx: Knex, binding: NewBinding): Promise<string> {
  const { rows } = await trx.raw(
    `with moment as (
       select greatest(least(:at::timestamptz, now), now - interval '10 minutes', :not_before::timestamptz) as at, now
         from clock_timestamp() as now
     )
     insert into anonymous_bindings (anonymous_id, subject_id, method, grant_id, bound_at, created_at, last_seen_at, looks_back_to)
     select :anonymous_id, :subject_id::uuid, :method, :grant_id, at, now, greatest(at, now),
            case when :looks_back::boolean and not exists (
                   select from anonymous_bindings where anonymous_id = :anonymous_id
                      and least(coalesce(ends_at, 'infinity'), last_seen_at + interval '${horizonDays} days') > now)
                 then greatest(at - interval '${horizonDays} days', :not_before::timestamptz) else at end
       from moment
     returning id`,
    { ...binding, grant_id: binding.grant_id ?? null, at: binding.at ?? null },
  );
  return rows[0].id;
}

/** Ends one binding where the next begins. */
export async function endBinding(trx: Knex, id: string, next: string): Promise<void> {
  await trx('anonymous_bindings')
    .where({ id })
    .update({ ends_at: trx('anonymous_bindings').select('bound_at').where({ id: next }) });
}

export async function endBindingsOfGrants(db: Knex, grant_ids: string[]): Promise<void> {
  await db('anonymous_bindings')
    .whereIn('grant_id', grant_ids)
    .whereNull('ends_at')
    .update({ ends_at: db.raw('greatest(bound_at, clock_timestamp())') });
}

export type TimelineRow = Pick<
  EventRow,
  'id' | 'message_id' | 'type' | 'event' | 'original_event' | 'channel' | 'trust' | 'counts' | 'consents' | 'properties'
> & { timestamp: Date; received_at: Date; recorded_sub: string | null };

/**
 * A person's events, newest first: recorded under any of their subs, and those of their anonymous ids within the look-back of a
 * binding. Each of these streams is read from its index no further than the page, in every partition, so that the cost follows the
 * page and not the history. Left to itself the planner reads all and sorts, since it takes everybody for a person with few events:
 * a limit it cannot see makes it expect a part of the rows, and a lower bound written as a row is not paired with the upper one to a
 * range, of which it would expect next to nothing. Of 1 million events, 10 thousand of them one person's: 10 ms instead of 110.
 */
export async function readTimeline(
  db: Knex,
  { sub, before, limit }: { sub: string; before: { timestamp: string; id: string }; limit: number },
): Promise<TimelineRow[]> {
  const columns = `e.id, e.message_id, e.type, e.event, e.original_event, e.channel, e."timestamp", e.received_at, e.properties,
                   e.counts, e.consents, e.subject_id as recorded_sub`;
  const page = `e."timestamp" <= :timestamp::timestamptz and (e."timestamp", e.id) < (:timestamp::timestamptz, :id::uuid)
                order by e."timestamp" desc, e.id desc limit (select :limit::int)`;
  const { rows } = await db.raw(
    `with subs as (
       select m.member_id as sub from current_subjects c join subject_members m on m.subject_id = c.subject_id
        where c.requested_id = :sub::uuid
     )
     select * from (
       select e.* from subs cross join lateral (
         select ${columns}, e.trust from events e where e.subject_id = subs.sub and ${page}) e
       union all
       select e.* from subs join binding_lookbacks b on b.subject_id = subs.sub cross join lateral (
         select ${columns}, case when e.trust = 'claimed' then 'bound' else e.trust end as trust
           from events e
          where e.subject_id is null and e.anonymous_id = b.anonymous_id and e.is_attributable
            and (e."timestamp", e.id) >= (b.from_at, '00000000-0000-0000-0000-000000000000'::uuid)
            and e."timestamp" < b.until_at and ${page}) e
     ) e order by e."timestamp" desc, e.id desc limit :limit::int`,
    { sub, ...before, limit },
  );
  return rows;
}

export type Activity = {
  subject_id: string;
  channel: string;
  event: string;
  counts: boolean;
  n: number;
  first_at: Date;
  last_at: Date;
};

/** Takes so many rows out, summed; what another process is taking is left to it. */
export async function takeActivity(trx: Knex.Transaction, limit: number): Promise<{ taken: number; sums: Activity[] }> {
  const { rows } = await trx.raw(
    `with taken as (
       delete from subject_activity where ctid = any (array(select ctid from subject_activity limit ? for update skip locked))
       returning *
     )
     select subject_id, channel, event, counts, sum(n)::bigint as n, min(first_at) as first_at, max(last_at) as last_at,
            count(*) as rows
       from taken group by 1, 2, 3, 4 order by 1, 2, 3, 4`,
    [limit],
  );
  const taken = rows.reduce((sum: number, row: { rows: number }) => sum + row.rows, 0);
  return { taken, sums: rows.map(({ rows: _, ...sum }: Activity & { rows: number }) => sum) };
}

/**
 * Counts what bindings look back to, once, when nothing can be added to it any more: a batch that was being stored when the binding
 * was made did not see it and leaves its events without subject. Such a transaction began in the first minute at the latest.
 */
export async function countLookbacks(db: Knex, limit: number): Promise<number> {
  const { rows } = await db.raw(
    `with settled as (
       update anonymous_bindings set is_counted = true where id in (
         select id from anonymous_bindings b
          where not is_counted and created_at < now() - interval '1 minute'
            and not exists (select from pg_stat_activity a where a.datname = current_database() and a.pid <> pg_backend_pid()
                               and a.xact_start < b.created_at + interval '1 minute')
          order by created_at limit ? for update skip locked)
       returning id
     ), activity as (
       insert into subject_activity (subject_id, channel, event, counts, n, first_at, last_at)
       select b.subject_id, e.channel, e.event, e.counts, count(*), min(e."timestamp"), max(e."timestamp")
         from settled join binding_lookbacks b on b.binding_id = settled.id
         join events e on e.anonymous_id = b.anonymous_id and e.subject_id is null and e.is_attributable
                      and e."timestamp" >= b.from_at and e."timestamp" < b.until_at
        group by 1, 2, 3, 4
     )
     select count(*) as n from settled`,
    [limit],
  );
  return rows[0].n;
}
