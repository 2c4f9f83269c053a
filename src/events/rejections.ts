/** What was refused and why (table event_rejections): kept seven days for the key's owner. */
import type { Knex } from 'knex';
import { batched } from '../database.ts';

/** Part of a statement: `from` selects source_id, message_id, code, message. */
export const addRejections = (from: string) => `
      insert into event_rejections (source_id, message_id, code, message, received_at)
      select r.*, now() from (${from}) r`;

export type Rejection = { message_id: string | null; code: string; message: string; sample: string | null };

export type Rejected = { source_id: number; received_at: Date; rejections: Rejection[] };

/** Those of requests that are served at the same time travel together. */
export const insertRejections = batched(async (db, asked: Rejected[]) => {
  const rows = asked.flatMap(({ rejections, ...of }) => rejections.map((rejection) => ({ ...of, ...rejection })));
  await db('event_rejections').insert(rows);
  return asked.map(() => undefined);
});

/** @returns how many went; so many at most, so that no statement holds locks for long */
export async function deleteOldRejections(db: Knex, limit: number): Promise<number> {
  const { rowCount } = await db.raw(
    `delete from event_rejections where ctid = any (array(
       select ctid from event_rejections where received_at < now() - interval '7 days' limit ?))`,
    [limit],
  );
  return rowCount;
}
