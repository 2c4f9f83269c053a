/**
 * Table events and its partitions. How a batch is stored as a whole, with what goes with it, is store-once.ts; whoever reads events
 * elsewhere reads the view recorded_events.
 */
import type { Knex } from 'knex';
import type { StoredContext } from './contexts.ts';
import { type Copy, copyLine } from './copy.ts';
import type { IdentityKey } from './people.ts';
import { storableJson } from './storable.ts';
import type { Trust } from './trust.ts';

/** The fields are the columns. */
export type EventRow = {
  id: string;
  received_at: Date;
  source_id: number;
  /** Milliseconds since 1970. */
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

export type StoredRow = EventRow & { divided: StoredContext };

/** How far back a message id is recognised; also how long held events wait and a binding stands idle. */
export const horizonDays = 30;

/**
 * Part of the question that comes before storing ($1 to $4: their source_id, their message_id, and the horizon): which of them, from 0, are
 * there already. Of two processes that are asking at the same instant the unique index of the month decides.
 */
export const knownSql = `known as (
    select k.n - 1 as n
      from known_messages(array(
        select message_key(source_id, message_id)
          from unnest((select $1::int[]), (select $2::text[])) with ordinality as m (source_id, message_id, n) order by n), $3, $4) as k (n)
  )`;

/** In the order of the unique index: rows that others are storing too are waited for in one direction, and nobody deadlocks. */
export function copyEvents(rows: StoredRow[]): Copy {
  const sorted = rows.toSorted((a, b) => a.source_id - b.source_id || (a.message_id < b.message_id ? -1 : 1));
  return {
    sql: `copy events (id, received_at, "timestamp", original_timestamp, subject_id, source_id, counts, is_attributable, message_id,
      type, event, original_event, channel, trust, anonymous_id, claimed_user_id, consents, properties, context, context_id, page_id) from stdin`,
    lines: sorted.map(eventLine).join(''),
  };
}

const eventLine = (row: StoredRow): string =>
  copyLine([
    row.id,
    row.received_at,
    new Date(row.timestamp),
    row.original_timestamp === null ? null : new Date(row.original_timestamp),
    row.subject_id,
    row.source_id,
    row.counts,
    row.is_attributable,
    row.message_id,
    row.type,
    row.event,
    row.original_event,
    row.channel,
    row.trust,
    row.anonymous_id,
    row.claimed_user_id,
    row.consents,
    storableJson(row.properties),
    row.divided.context,
    row.divided.context_id,
    row.divided.page_id,
  ]);

/** Part of a statement: gives events that have none the subject_id of the row of `from` that has their source_id, message_id and received_at. */
export const giveSubject = (from: string) => `
      update events e set subject_id = f.subject_id from ${from} f
       where message_key(e.source_id, e.message_id) = message_key(f.source_id, f.message_id) and e.received_at = f.received_at
         and e.subject_id is null
      returning e.subject_id, e.channel, e.event, e.counts, e."timestamp"`;

/** Part of a statement: those of `from` go that nobody has and no anonymous id keeps. */
export const removeNobodys = (from: string) => `
      delete from events e using ${from} l
       where message_key(e.source_id, e.message_id) = message_key(l.source_id, l.message_id) and e.received_at = l.received_at
         and e.subject_id is null and e.anonymous_id is null
      returning e.source_id, e.message_id`;

/**
 * PostgreSQL counts the months by itself, and never the table as a whole: without these figures it takes a statement about everybody
 * for one about a few, and plans it so (a backfill took several times as long).
 */
export async function countForPlanning(db: Knex): Promise<void> {
  await db.raw('analyze events');
}

export async function ensurePartition(db: Knex, at: Date): Promise<void> {
  await db.raw('select ensure_event_partition(?)', [at]);
}
