/**
 * What was recorded about subjects since it was last taken (table subject_activity): written with the events, in one transaction, and
 * folded into whatever is kept per subject. Whoever reads before that reads the view `pending_activity` besides.
 */
import type { Knex } from 'knex';
import type { Database } from '../database.ts';

/** Part of a statement: sums what `from` gave or recorded, with its subject_id, channel, event, counts and "timestamp". */
export const addActivity = (from: string) => `
      insert into subject_activity (subject_id, channel, event, counts, n, first_at, last_at)
      select subject_id, channel, event, counts, count(*), min("timestamp"), max("timestamp")
        from ${from} where subject_id is not null group by 1, 2, 3, 4`;

export type Activity = {
  subject_id: string;
  channel: string;
  event: string;
  counts: boolean;
  n: number;
  first_at: Date;
  last_at: Date;
};

/** Hands over so many rows inside a transaction that keeps what is made of them: taken and kept, or neither. @returns how many were taken */
export async function foldActivity(
  db: Database,
  limit: number,
  keep: (trx: Knex.Transaction, sums: Activity[]) => Promise<void>,
): Promise<number> {
  return db.transaction(async (trx) => {
    const { taken, sums } = await takeActivity(trx, limit);
    if (sums.length) await keep(trx, sums);
    return taken;
  });
}

/** Takes so many rows out, summed; what another process is taking is left to it. */
async function takeActivity(trx: Knex.Transaction, limit: number): Promise<{ taken: number; sums: Activity[] }> {
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
