/** Table profile_counts. */
import type { Knex } from 'knex';
import type { Activity } from '../events/activity.ts';

export type Count = Omit<Activity, 'subject_id'>;

/** Adds to what is kept. Sorted by the key, so that two jobs at once wait for each other in one direction. */
export async function addCounts(trx: Knex.Transaction, sums: Activity[]): Promise<void> {
  await trx.raw(
    `insert into profile_counts as p (subject_id, channel, event, counts, n, first_at, last_at)
     select subject_id, channel, event, counts, n, first_at, last_at
       from json_to_recordset(?::json) as r (subject_id uuid, channel text, event text, counts boolean, n bigint,
                                             first_at timestamptz, last_at timestamptz)
      order by subject_id, channel, event, counts
     on conflict (subject_id, channel, event, counts) do update
        set n = p.n + excluded.n, first_at = least(p.first_at, excluded.first_at), last_at = greatest(p.last_at, excluded.last_at)`,
    [JSON.stringify(sums)],
  );
}

/**
 * What is kept and what is still to be added, in one statement and so in one snapshot: the job moves rows from one to the other.
 * With `absorbed`, of all subs that lead to this subject.
 */
export async function readCounts(db: Knex, { sub, absorbed }: { sub: string; absorbed: boolean }): Promise<Count[]> {
  const { rows } = await db.raw(
    `with subs as (
       select m.member_id as sub from current_subjects c join subject_members m on m.subject_id = c.subject_id
        where c.requested_id = :sub::uuid and (:absorbed::boolean or m.member_id = c.subject_id)
     )
     select channel, event, counts, sum(n)::bigint as n, min(first_at) as first_at, max(last_at) as last_at
       from (select * from profile_counts where subject_id = any (array(select sub from subs))
             union all
             select * from pending_activity where subject_id = any (array(select sub from subs))) a
      group by channel, event, counts order by channel, event`,
    { sub, absorbed },
  );
  return rows;
}
