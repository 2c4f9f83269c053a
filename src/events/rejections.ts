/** What was refused and why (table event_rejections): kept seven days for the key's owner. */
import type { Knex } from 'knex';

/** Part of a statement: `from` selects source_id, message_id, code, message. */
export const addRejections = (from: string) => `
      insert into event_rejections (source_id, message_id, code, message, received_at)
      select r.*, now() from (${from}) r`;

export type Rejection = { message_id: string | null; code: string; message: string; sample: string | null };

export async function insertRejections(
  db: Knex,
  { source_id, received_at, rejections }: { source_id: number; received_at: Date; rejections: Rejection[] },
): Promise<void> {
  await db('event_rejections').insert(rejections.map((rejection) => ({ source_id, received_at, ...rejection })));
}

/** @returns how many went; so many at most, so that no statement holds locks for long */
export async function deleteOldRejections(db: Knex, limit: number): Promise<number> {
  const { rowCount } = await db.raw(
    `delete from event_rejections where ctid = any (array(
       select ctid from event_rejections where received_at < now() - interval '7 days' limit ?))`,
    [limit],
  );
  return rowCount;
}
