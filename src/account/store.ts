/** Tables pending_removals and notices_sent. */
import type { Knex } from 'knex';

export type PendingRemoval = { identity_id: string; subject_id: string; asked_at: Date; due_at: Date };

export async function pendingRemovals(db: Knex, subject_id: string): Promise<PendingRemoval[]> {
  return db('pending_removals').where({ subject_id });
}

/** Asked twice, it is the first time that counts: unless it was asked for by somebody whose account it is no more. */
export async function insertRemoval(
  trx: Knex,
  { identity_id, subject_id, seconds }: { identity_id: string; subject_id: string; seconds: number },
): Promise<void> {
  await trx.raw(
    `insert into pending_removals (identity_id, subject_id, due_at) values (?, ?, now() + make_interval(secs => ?))
     on conflict (identity_id) do update
       set subject_id = excluded.subject_id, asked_at = excluded.asked_at, due_at = excluded.due_at
     where pending_removals.subject_id <> excluded.subject_id`,
    [identity_id, subject_id, seconds],
  );
}

export async function deleteRemovals(trx: Knex, subject_id: string, identity_ids: string[]): Promise<number> {
  return trx('pending_removals').where({ subject_id }).whereIn('identity_id', identity_ids).delete();
}

/** Takes one that is due: of several processes one gets it. */
export async function takeDueRemoval(trx: Knex.Transaction): Promise<PendingRemoval | undefined> {
  const { rows } = await trx.raw(
    `delete from pending_removals where identity_id = (
       select identity_id from pending_removals where due_at <= now() order by due_at limit 1 for update skip locked)
     returning *`,
  );
  return rows[0];
}

export async function wasSent(db: Knex, key: string): Promise<boolean> {
  return (await db('notices_sent').where({ key }).first('key')) !== undefined;
}

export async function markSent(db: Knex, key: string): Promise<void> {
  await db.raw(
    `with gone as (delete from notices_sent where sent_at < now() - interval '7 days')
     insert into notices_sent (key) values (?) on conflict do nothing`,
    [key],
  );
}
