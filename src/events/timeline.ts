/** What a person did, on all channels, newest first. */
import type { Knex } from 'knex';
import { fail } from '../errors.ts';
import { readTimeline } from './store.ts';
import type { Trust } from './trust.ts';

export type EventItem = {
  id: string;
  message_id: string;
  type: string;
  event: string;
  /** The name it was sent with, where ours differs. */
  original_event: string | null;
  channel: string;
  timestamp: string;
  received_at: string;
  properties: Record<string, unknown>;
  trust: Trust;
  /** False: shown, but trusted too little to count for anything. */
  counts: boolean;
  consents: string[];
  /** The sub it was recorded under; null when it came through the person's anonymous id. */
  recorded_sub: string | null;
};

export type Timeline = { data: EventItem[]; next_cursor: string | null };

/** @throws invalid_fields for a cursor that is none of ours */
export async function timeline(
  db: Knex,
  sub: string,
  { limit = 100, cursor }: { limit?: number | undefined; cursor?: string | undefined } = {},
): Promise<Timeline> {
  const before = cursor === undefined ? end : readCursor(cursor);
  const rows = await readTimeline(db, { sub, before, limit: limit + 1 });
  const data = rows.slice(0, limit).map((row) => ({
    ...row,
    timestamp: row.timestamp.toISOString(),
    received_at: row.received_at.toISOString(),
  }));
  const last = data.at(-1);
  const more = last !== undefined && rows.length > limit;
  return { data, next_cursor: more ? Buffer.from(`${last.timestamp} ${last.id}`).toString('base64url') : null };
}

const end = { timestamp: 'infinity', id: 'ffffffff-ffff-ffff-ffff-ffffffffffff' };
const position = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

function readCursor(cursor: string): typeof end {
  const [, timestamp, id] = position.exec(Buffer.from(cursor, 'base64url').toString()) ?? [];
  if (!timestamp || !id || Number.isNaN(Date.parse(timestamp)))
    throw fail('invalid_fields', { fields: { cursor: 'This is not a cursor of this list.' } });
  return { timestamp, id };
}
