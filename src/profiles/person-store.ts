/** What is kept of a person besides counts, through views. */
import type { Knex } from 'knex';
import { prepared } from '../database.ts';
import type { Touch } from './touch-store.ts';

export type KeptFacts = {
  traits: { name: string; value: unknown; source: string; at: string }[];
  /** By whom: staff:<sub>, client:<client id>, rule:<segment key>. */
  tags: { tag: string; source: string; at: string }[];
  touches: { channel: string; first_at: string; first: Touch; last_at: string; last: Touch }[];
  locale: string | null;
};

/** A language is said with most events: looking further back than these would be for nothing. */
const lately = 20;

/**
 * Traits and tags are of all subs of a person; where they came from, as all behaviour, of those that read as one. The moments of JSON are
 * written as all others of an answer are. Kept prepared: planning it takes twice as long as running it.
 */
export async function readFacts(db: Knex, sub: string): Promise<KeptFacts> {
  const at = (moment: string) => `to_char(${moment} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
  const [facts] = await prepared<KeptFacts>(
    db,
    'profiles.facts',
    `with members as (select member_id from behaviour_members where subject_id = $1::uuid)
     select (select coalesce(json_agg(json_build_object('name', name, 'value', value, 'source', source, 'at', ${at('at')}) order by name), '[]')
               from current_traits where subject_id = $1::uuid and source <> 'system' and value <> 'null') as traits,
            (select coalesce(json_agg(json_build_object('tag', tag, 'source', source, 'at', ${at('at')}) order by tag, source), '[]')
               from (select tag, min(added_by) as source, min(added_at) as at from tag_words where subject_id = $1::uuid group by tag
                     union all
                     select tag, 'rule:' || segment_key, entered_at from rule_tags where subject_id = $1::uuid) g) as tags,
            (select coalesce(json_agg(json_build_object('channel', channel, 'first_at', ${at('first_at')}, 'first', first,
                                                        'last_at', ${at('last_at')}, 'last', last) order by channel), '[]')
               from (select channel, min(first_at) as first_at, (array_agg(first order by first_at))[1] as first,
                            max(last_at) as last_at, (array_agg(last order by last_at desc))[1] as last
                       from sub_touches where subject_id = any (array(select member_id from members)) group by channel) t) as touches,
            (select l.locale from members m cross join lateral (
               select e."timestamp", e.context ->> 'locale' as locale from recorded_events e
                where e.subject_id = m.member_id and e.counts order by e."timestamp" desc limit (select ${lately}::int)) l
              where l.locale is not null order by l."timestamp" desc limit 1) as locale`,
    [sub],
  );
  if (!facts) throw new Error('a statement without FROM has one row');
  return facts;
}
