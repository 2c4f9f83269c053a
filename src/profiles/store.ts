/** Table profile_counts. */
import type { Knex } from 'knex';
import type { Activity } from '../events/activity.ts';
import { builtin, builtinChannels } from '../events/builtin-catalogue.ts';

export type Count = Omit<Activity, 'subject_id'>;

/**
 * Of one sub, by channel, event and whether it counts. Names are the sender's, who may invent them (threat F17): so many and no more,
 * besides the defined events on our channels (built in, or declared by a write key or a client), which no invention of a person may hide.
 */
export const mostCounts = 500;
/** The channel under which the rest is counted together, and the name of those that nobody defined. */
export const others = '(other)';

/** Parts of a statement, after which these are the names that are defined, and the channels that are ours (:channels are builtinChannels). */
const wordsSql = `words as (select unnest(:events::text[]) as name union select name from defined_events)`;
export const ourChannelsSql = `our_channels as (select unnest(:channels::text[]) as name union select name from declared_channels)`;
const namesSql = `${wordsSql}, ${ourChannelsSql}`;
/** For what a row says. */
const isDefined = 'event in (select name from words)';
const isOurs = `channel in (select name from our_channels) and ${isDefined}`;
const ours = { events: builtin.map(({ name }) => name), channels: builtinChannels };

/**
 * Adds to what is kept. Sorted by the key, so that two jobs at once wait for each other in one direction. What would be one too many
 * is counted with the others; two jobs that each bring new ones may get past that by a few.
 */
export async function addCounts(trx: Knex.Transaction, sums: Activity[]): Promise<void> {
  await trx.raw(
    `with ${namesSql}, known as (
       select r.*, p.subject_id is not null or ${isOurs} as has_place
         from json_to_recordset(:sums::json) as r (subject_id uuid, channel text, event text, counts boolean, n bigint,
                                                   first_at timestamptz, last_at timestamptz)
         left join profile_counts p using (subject_id, channel, event, counts)
     ), new_to as (
       select subject_id, (select count(*) from profile_counts p where p.subject_id = k.subject_id and not (${isOurs})) as kept
         from (select distinct subject_id from known where not has_place) k
     ), named as (
       select k.*, has_place or kept + row_number() over (partition by k.subject_id, has_place order by channel, event, counts) <= :most as is_named
         from known k left join new_to using (subject_id)
     )
     insert into profile_counts as p (subject_id, channel, event, counts, n, first_at, last_at)
     select subject_id, case when is_named then channel else :others end, case when is_named or ${isDefined} then event else :others end, counts,
            sum(n), min(first_at), max(last_at)
       from named group by 1, 2, 3, 4 order by 1, 2, 3, 4
     on conflict (subject_id, channel, event, counts) do update
        set n = p.n + excluded.n, first_at = least(p.first_at, excluded.first_at), last_at = greatest(p.last_at, excluded.last_at)`,
    { sums: JSON.stringify(sums), most: mostCounts, others, ...ours },
  );
}

/**
 * What is kept and what is still to be added, in one statement and so in one snapshot: the job moves rows from one to the other.
 * With `absorbed`, of all subs that lead to this subject. What is kept is bounded, and what is still to be added is cut to as many here.
 */
export async function readCounts(db: Knex, { sub, absorbed }: { sub: string; absorbed: boolean }): Promise<Count[]> {
  const { rows } = await db.raw(
    `with ${namesSql}, subs as (
       select m.member_id as sub from current_subjects c join subject_members m on m.subject_id = c.subject_id
        where c.requested_id = :sub::uuid and (:absorbed::boolean or m.member_id = c.subject_id)
     ), summed as (
       select channel, event, counts, sum(n) as n, min(first_at) as first_at, max(last_at) as last_at, bool_or(is_kept) as is_kept,
              ${isOurs} as is_ours
         from (select *, true as is_kept from profile_counts where subject_id = any (array(select sub from subs))
               union all
               select *, false from pending_activity where subject_id = any (array(select sub from subs))) a
        group by channel, event, counts
     ), named as (
       select *, is_kept or is_ours or row_number() over (partition by is_ours order by is_kept desc, n desc, channel, event, counts) <= :most as is_named from summed
     )
     select case when is_named then channel else :others end as channel,
            case when is_named or ${isDefined} then event else :others end as event, counts,
            sum(n)::bigint as n, min(first_at) as first_at, max(last_at) as last_at
       from named group by 1, 2, 3 order by 1, 2`,
    { sub, absorbed, most: mostCounts, others, ...ours },
  );
  return rows;
}
