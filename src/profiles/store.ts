/** Table profile_counts. */
import type { Knex } from 'knex';
import type { Activity } from '../events/activity.ts';

export type Count = Omit<Activity, 'subject_id'>;

/** Of one sub, by channel, event and whether it counts. Names are the sender's, who may invent them (threat F17). */
export const mostCounts = 500;
/** The channel and the name under which the rest is counted together. */
export const others = '(other)';

/**
 * Adds to what is kept. Sorted by the key, so that two jobs at once wait for each other in one direction. A name that would be one too many
 * is counted with the others; two jobs that each bring new ones may get past that by a few.
 */
export async function addCounts(trx: Knex.Transaction, sums: Activity[]): Promise<void> {
  await trx.raw(
    `with known as (
       select r.*, p.subject_id is not null as is_known
         from json_to_recordset(:sums::json) as r (subject_id uuid, channel text, event text, counts boolean, n bigint,
                                                   first_at timestamptz, last_at timestamptz)
         left join profile_counts p using (subject_id, channel, event, counts)
     ), new_to as (
       select subject_id, (select count(*) from profile_counts p where p.subject_id = k.subject_id) as kept
         from (select distinct subject_id from known where not is_known) k
     ), named as (
       select k.*, is_known or kept + row_number() over (partition by k.subject_id, is_known order by channel, event, counts) <= :most as is_named
         from known k left join new_to using (subject_id)
     )
     insert into profile_counts as p (subject_id, channel, event, counts, n, first_at, last_at)
     select subject_id, case when is_named then channel else :others end, case when is_named then event else :others end, counts,
            sum(n), min(first_at), max(last_at)
       from named group by 1, 2, 3, 4 order by 1, 2, 3, 4
     on conflict (subject_id, channel, event, counts) do update
        set n = p.n + excluded.n, first_at = least(p.first_at, excluded.first_at), last_at = greatest(p.last_at, excluded.last_at)`,
    { sums: JSON.stringify(sums), most: mostCounts, others },
  );
}

/**
 * What is kept and what is still to be added, in one statement and so in one snapshot: the job moves rows from one to the other.
 * With `absorbed`, of all subs that lead to this subject. What is kept is bounded, and what is still to be added is cut to as many here.
 */
export async function readCounts(db: Knex, { sub, absorbed }: { sub: string; absorbed: boolean }): Promise<Count[]> {
  const { rows } = await db.raw(
    `with subs as (
       select m.member_id as sub from current_subjects c join subject_members m on m.subject_id = c.subject_id
        where c.requested_id = :sub::uuid and (:absorbed::boolean or m.member_id = c.subject_id)
     )
     , summed as (
       select channel, event, counts, sum(n) as n, min(first_at) as first_at, max(last_at) as last_at, bool_or(is_kept) as is_kept
         from (select *, true as is_kept from profile_counts where subject_id = any (array(select sub from subs))
               union all
               select *, false from pending_activity where subject_id = any (array(select sub from subs))) a
        group by channel, event, counts
     ), named as (
       select *, is_kept or row_number() over (order by is_kept desc, n desc, channel, event, counts) <= :most as is_named from summed
     )
     select case when is_named then channel else :others end as channel, case when is_named then event else :others end as event, counts,
            sum(n)::bigint as n, min(first_at) as first_at, max(last_at) as last_at
       from named group by 1, 2, 3 order by 1, 2`,
    { sub, absorbed, most: mostCounts, others },
  );
  return rows;
}
