/** Table profile_traits: of each trait the word that counts, by sub. */
import type { Knex } from 'knex';
import type { Activity } from '../events/activity.ts';

export type Word = { subject_id: string; name: string; value: unknown; source: string; at: Date; id: string };
type Said = Pick<Word, 'subject_id' | 'at' | 'id'> & {
  event: string;
  properties: Record<string, unknown>;
  trust: 'token' | 'server';
  source_id: number;
};

/** Of one person, name and trust: nobody's flood is read into memory as a whole, and a person's takes no place of the company's (threat F17). */
const newest = 500;

/** The events of these sums in which somebody speaks of a person and is believed, in order; of who was deleted none. */
export async function readWords(trx: Knex, sums: Activity[]): Promise<Said[]> {
  const { rows } = await trx.raw(
    `select r.subject_id, e.id, e."timestamp" as at, e.event, e.properties, e.trust, e.source_id
       from json_to_recordset(?::json) as r (subject_id uuid, event text, first_at timestamptz, last_at timestamptz)
       join current_subjects c on c.requested_id = r.subject_id and c.status <> 'deleted'
       cross join unnest(array['token', 'server']) as t (trust)
       cross join lateral (
         select * from recorded_events e
          where e.subject_id = r.subject_id and e."timestamp" between r.first_at and r.last_at and e.event = r.event
            and e.trust = t.trust and e.counts
          order by e."timestamp" desc limit ${newest}) e
      order by e."timestamp", e.id`,
    [JSON.stringify(sums)],
  );
  return rows;
}

/**
 * Keeps the newest word of each trait, the person's own after all others. What would be more than `most` traits of a person is not kept;
 * two who say something new at once may get past that by a few.
 */
export async function sayWords(trx: Knex, words: Word[], most: number): Promise<void> {
  if (!words.length) return;
  await trx.raw(
    `with said as (
       select distinct on (subject_id, name) *
         from json_to_recordset(:words::json) as r (subject_id uuid, name text, value jsonb, source text, at timestamptz, id uuid)
        order by subject_id, name, source = 'self', at desc, id desc
     ), numbered as (
       select s.*, k.name is not null as is_known, count(*) filter (where k.name is null)
                over (partition by s.subject_id order by s.name rows unbounded preceding)
              + (select count(*) from profile_traits c where c.subject_id = s.subject_id) as position
         from said s left join profile_traits k on k.subject_id = s.subject_id and k.name = s.name
     )
     insert into profile_traits as t (subject_id, name, value, source, at, id)
     select subject_id, name, coalesce(value, 'null'), source, at, id from numbered
      where is_known or position <= :most order by subject_id, name
     on conflict (subject_id, name) do update
        set value = excluded.value, source = excluded.source, at = excluded.at, id = excluded.id
      where (excluded.source <> 'self', excluded.at, excluded.id) > (t.source <> 'self', t.at, t.id)`,
    { words: JSON.stringify(words), most },
  );
}

/** Words that count whatever was said before. @returns how many traits there are then */
export async function setWords(trx: Knex, subject_id: string, words: Omit<Word, 'id'>[]): Promise<number> {
  await trx.raw(
    `insert into profile_traits as t (subject_id, name, value, source, at)
     select subject_id, name, coalesce(value, 'null'), source, at
       from json_to_recordset(?::json) as r (subject_id uuid, name text, value jsonb, source text, at timestamptz)
      order by name
     on conflict (subject_id, name) do update
        set value = excluded.value, source = excluded.source, id = excluded.id,
            at = greatest(excluded.at, t.at + interval '1 millisecond')`,
    [JSON.stringify(words)],
  );
  const row = await trx('profile_traits').where({ subject_id }).count({ n: '*' }).first();
  return Number(row?.n ?? 0);
}
