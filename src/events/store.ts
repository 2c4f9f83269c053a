/**
 * Table events and its partitions. How a batch is stored as a whole, with what goes with it, is store-once.ts; whoever reads events
 * elsewhere reads the view recorded_events.
 */
import type { Knex } from 'knex';
import type { IdentityKey } from './people.ts';
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
 * Parts of the statement that stores a batch. `known`: message ids that this source used in another month within the horizon (one pass
 * over each month's index). `stored`: the others; within a month the partition's unique index decides, also between two processes at
 * the same instant. Sorted, so that overlapping batches wait for each other in one direction and never deadlock.
 */
export const storedSql = `known as (
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
  )`;

/** Part of a statement: gives events that have none the subject_id of the row of `from` that has their source_id, message_id and received_at. */
export const giveSubject = (from: string) => `
      update events e set subject_id = f.subject_id from ${from} f
       where e.source_id = f.source_id and e.message_id = f.message_id and e.received_at = f.received_at and e.subject_id is null
      returning e.subject_id, e.channel, e.event, e.counts, e."timestamp"`;

/** Part of a statement: those of `from` go that nobody has and no anonymous id keeps. */
export const removeNobodys = (from: string) => `
      delete from events e using ${from} l
       where e.source_id = l.source_id and e.message_id = l.message_id and e.received_at = l.received_at
         and e.subject_id is null and e.anonymous_id is null
      returning e.source_id, e.message_id`;

/** Held for the length of a transaction by batches near midnight of the month: see store-once.ts. */
export async function lockSource(trx: Knex.Transaction, source_id: number): Promise<void> {
  await trx.raw('select pg_advisory_xact_lock(hashtextextended(?, 3))', [`event source ${source_id}`]);
}

export async function ensurePartition(db: Knex, at: Date): Promise<void> {
  await db.raw('select ensure_event_partition(?)', [at]);
}
