/**
 * What was recorded about subjects since it was last taken (table subject_activity): written with the events, in one transaction, and
 * folded into whatever is kept per subject. Whoever reads before that reads the view `pending_activity` besides.
 */
import type { Knex } from 'knex';
import { CopiedRows, type Copy } from './copy.ts';
import type { EventRow } from './store.ts';

/** Part of a statement: sums what `from` gave or recorded, with its subject_id, channel, event, counts and "timestamp". */
export const addActivity = (from: string) => `
      insert into subject_activity (subject_id, channel, event, counts, n, first_at, last_at)
      select subject_id, channel, event, counts, count(*), min("timestamp"), max("timestamp")
        from ${from} where subject_id is not null group by 1, 2, 3, 4`;

/** The same of rows that are about to be stored. */
export function copyActivity(rows: EventRow[]): Copy {
  const sums = new Map<string, { row: EventRow; n: number; first: number; last: number }>();
  for (const row of rows) {
    if (row.subject_id === null) continue;
    const name = `${row.subject_id} ${row.counts} ${row.channel} ${row.event}`;
    const sum = sums.get(name) ?? { row, n: 0, first: row.timestamp, last: row.timestamp };
    sums.set(name, sum);
    sum.n++;
    sum.first = Math.min(sum.first, row.timestamp);
    sum.last = Math.max(sum.last, row.timestamp);
  }
  const copied = new CopiedRows();
  for (const { row, n, first, last } of sums.values())
    copied
      .row(7)
      .uuid(row.subject_id)
      .text(row.channel)
      .text(row.event)
      .boolean(row.counts)
      .integer64(n)
      .time(first)
      .time(last);
  return { sql: 'copy subject_activity (subject_id, channel, event, counts, n, first_at, last_at)', rows: copied };
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

/**
 * Takes so many rows out, summed, in a transaction that keeps what is made of them: taken and kept, or neither. What another process is
 * taking is left to it.
 *
 * @param sub of this subject alone; else of all that are not set aside
 */
export async function takeActivity(
  trx: Knex.Transaction,
  limit: number,
  sub?: string,
): Promise<{ taken: number; sums: Activity[] }> {
  const whose = sub === undefined ? 'not in (select subject_id from subjects_set_aside)' : '= :sub::uuid';
  const { rows } = await trx.raw(
    `with taken as (
       delete from subject_activity where ctid = any (array(
         select ctid from subject_activity where subject_id ${whose} limit :limit for update skip locked))
       returning *
     )
     select subject_id, channel, event, counts, sum(n)::bigint as n, min(first_at) as first_at, max(last_at) as last_at,
            count(*) as rows
       from taken group by 1, 2, 3, 4 order by 1, 2, 3, 4`,
    { limit, sub: sub ?? null },
  );
  const taken = rows.reduce((sum: number, row: { rows: number }) => sum + row.rows, 0);
  return { taken, sums: rows.map(({ rows: _, ...sum }: Activity & { rows: number }) => sum) };
}
