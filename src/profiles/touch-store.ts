/** Table profile_touches: by sub and channel. */
import type { Knex } from 'knex';
import type { Activity } from '../events/activity.ts';
import { builtinChannels } from '../events/builtin-catalogue.ts';
import { ourChannelsSql } from './store.ts';

export type Touch = {
  source?: string;
  medium?: string;
  campaign?: string;
  term?: string;
  content?: string;
  scene?: string;
  /** Host of the page that led here. */
  referrer?: string;
  /** `paid_search`, `wechat_share` and the like. */
  channel_group?: string;
};

type Between<Of> = { subject_id: string; channel: string; first_at: Date; first: Of; last_at: Date; last: Of };

/** One event and no list of them: whoever sent much in between has the evaluators of everybody wait for no more than one (threat F17). */
const saying = (order: 'asc' | 'desc') => `
         select "timestamp", context from attributed_events e
          where e.recorded_sub = a.subject_id and e.channel = a.channel and e."timestamp" between a.first_at and a.last_at
            and context ->> 'channel_group' not in ('direct', 'wechat_recent') and context -> 'bot' is null
          order by "timestamp" ${order}, id ${order} limit 1`;

/**
 * The contexts of the first and the last event of each subject and channel, between the moments of these sums, that say from where
 * the person came. Somebody who just came, or came back, says nothing of it, and a crawler is nobody.
 */
export async function readSources(trx: Knex, sums: Activity[]): Promise<Between<Record<string, unknown>>[]> {
  const { rows } = await trx.raw(
    `with asked as (
       select subject_id, channel, min(first_at) as first_at, max(last_at) as last_at
         from json_to_recordset(?::json) as r (subject_id uuid, channel text, first_at timestamptz, last_at timestamptz)
        group by 1, 2
     )
     select a.subject_id, a.channel, f."timestamp" as first_at, f.context as first, l."timestamp" as last_at, l.context as last
       from asked a cross join lateral (${saying('asc')}) f cross join lateral (${saying('desc')}) l`,
    [JSON.stringify(sums)],
  );
  return rows;
}

/** Of one sub, besides our channels. A channel is what the sender calls it; of one too many nothing is kept (threat F17). */
const mostChannels = 100;

/** The same touch again moves nothing: `last_at` is when the person came that way. */
export async function writeTouches(trx: Knex, touches: Between<Touch>[]): Promise<void> {
  if (!touches.length) return;
  await trx.raw(
    `with ${ourChannelsSql}, known as (
       select r.*, k.subject_id is not null or r.channel in (select name from our_channels) as has_place
         from json_to_recordset(:touches::json) as r (subject_id uuid, channel text, first_at timestamptz, first jsonb,
                                                      last_at timestamptz, last jsonb)
         left join profile_touches k using (subject_id, channel)
     ), numbered as (
       select k.*, row_number() over (partition by subject_id, has_place order by channel)
              + (select count(*) from profile_touches c where c.subject_id = k.subject_id and c.channel not in (select name from our_channels)) as position
         from known k
     )
     insert into profile_touches as t (subject_id, channel, first_at, first, last_at, last)
     select subject_id, channel, first_at, first, last_at, last
       from numbered where has_place or position <= :most
      order by subject_id, channel
     on conflict (subject_id, channel) do update
        set first_at = least(t.first_at, excluded.first_at),
            first = case when excluded.first_at < t.first_at then excluded.first else t.first end,
            last_at = case when excluded.last_at > t.last_at and excluded.last <> t.last then excluded.last_at else t.last_at end,
            last = case when excluded.last_at > t.last_at then excluded.last else t.last end
      where excluded.first_at < t.first_at or (excluded.last_at > t.last_at and excluded.last <> t.last)`,
    { touches: JSON.stringify(touches), most: mostChannels, channels: builtinChannels },
  );
}
