/**
 * Table events and its partitions. How a batch is stored as a whole, with what goes with it, is store-once.ts; whoever reads events
 * elsewhere reads the view recorded_events.
 */
import { hash } from 'node:crypto';
import type { Knex } from 'knex';
import type { StoredContext } from './contexts.ts';
import { CopiedRows, type Copy } from './copy.ts';
import type { IdentityKey } from './people.ts';
import { storableJson, storableText } from './storable.ts';
import type { Trust } from './trust.ts';
import { leftOfPurposes } from './withdrawn.ts';

/** The fields are the columns of recorded_events. */
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

export type StoredRow = EventRow & { message_key: string; divided: StoredContext };

/** How far back a message id is recognised; also how long held events wait and a binding stands idle. */
export const horizonDays = 30;

/**
 * Part of the question that comes before storing ($1 to $4: their source_id, their message_key, and the horizon): which of them, from 0, are
 * there already. Of two processes that are asking at the same instant the unique index of the month decides.
 */
export const knownSql = `known as (select k.n - 1 as n from known_messages($1, $2, $3, $4) as k (n))`;

/** In one order for all: rows that others are storing too are waited for in one direction, and nobody deadlocks. */
export function copyEvents(rows: StoredRow[]): Copy {
  const sorted = rows.toSorted((a, b) =>
    a.message_key === b.message_key ? a.source_id - b.source_id : a.message_key < b.message_key ? -1 : 1,
  );
  const copied = new CopiedRows();
  for (const row of sorted) addEvent(copied, row);
  return {
    sql: `copy events (id, received_at, "timestamp", original_timestamp, context_id, page_id, source_id, counts, is_attributable,
      subject_id, message_key, anonymous_key, type, event, channel, trust, purposes, message_id, anonymous_id, claimed_user_id,
      original_event, properties, context)`,
    rows: copied,
  };
}

function addEvent(copied: CopiedRows, row: StoredRow): void {
  const { message_id, message_key, anonymous_id, consents, divided } = row;
  const anonymous_key = anonymous_id === null ? null : idKey(anonymous_id);
  copied
    .row(23)
    .uuid(row.id)
    .time(row.received_at.getTime())
    .time(row.timestamp)
    .time(row.original_timestamp)
    .integer64(divided.context_id)
    .integer64(divided.page_id)
    .integer32(row.source_id)
    .boolean(row.counts)
    .boolean(row.is_attributable)
    .uuid(row.subject_id)
    .uuid(message_key)
    .uuid(anonymous_key)
    .text(row.type)
    .text(row.event)
    .text(row.channel)
    .text(row.trust)
    .text(consents.length > 1 ? consents.join(' ') : null)
    .text(message_id === message_key ? null : message_id)
    .text(anonymous_id === anonymous_key ? null : anonymous_id)
    .text(row.claimed_user_id)
    .text(row.original_event)
    .jsonb(storableJson(row.properties))
    .jsonb(divided.context);
}

/** Of any version but 15, which nobody makes. */
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-e][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/**
 * As the function id_key of the database: a UUID is itself, any other text its MD5 with the version 15. So nobody writes as a UUID what
 * another text is found by (threats F3, F5); whoever makes two texts with one MD5 meets events of their own.
 */
export function idKey(id: string): string {
  if (id.length === 36 && uuid.test(id)) return id;
  const md5 = hash('md5', storableText(id), 'hex');
  return `${md5.slice(0, 12)}f${md5.slice(13)}`;
}

/**
 * Part of a statement: gives events that have none the subject_id of the row of `from` that has their source_id, message_id and received_at,
 * without the purposes that this person had taken back.
 */
export const giveSubject = (from: string) => `
      update events e set subject_id = f.subject_id, (purposes, context) = (${leftOfPurposes('f.subject_id')}) from ${from} f
       where e.message_key = id_key(f.message_id) and e.source_id = f.source_id and e.received_at = f.received_at
         and e.subject_id is null
      returning e.subject_id, e.channel, e.event, e.counts, e."timestamp"`;

/** Part of a statement: those of `from` go that nobody has and no anonymous id keeps. */
export const removeNobodys = (from: string) => `
      delete from events e using ${from} l
       where e.message_key = id_key(l.message_id) and e.source_id = l.source_id and e.received_at = l.received_at
         and e.subject_id is null and e.anonymous_key is null
      returning l.source_id, l.message_id`;

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
