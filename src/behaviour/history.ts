/** Reads what people did, through the views of events/ and subjects/. */
import type { Knex } from 'knex';
import type { BehaviourEvent } from './language.ts';

/**
 * The events of these subjects that count, each in order; of subs that a subject absorbed too, where these read as one. `names` leaves
 * out other events, `since` older ones (milliseconds since 1970).
 *
 * `offset 0` keeps the lateral join one: as a plain join PostgreSQL reads all events there are, not those of these subjects by index.
 */
export async function readBehaviour(
  db: Knex,
  subs: string[],
  { names, since }: { names: string[] | '*'; since: number | null },
): Promise<Map<string, BehaviourEvent[]>> {
  const { rows } = await db.raw(
    `select m.subject_id, e.id, extract(epoch from e."timestamp") * 1000 as "timestamp", e.event, e.channel, e.trust, e.consents,
            e.properties, e.context
       from behaviour_members m
       cross join lateral (
         select * from attributed_events e
          where e.recorded_sub = m.member_id
            and (:names::text[] is null or e.event = any (:names::text[]))
            and (:since::timestamptz is null or e."timestamp" > :since::timestamptz)
         offset 0) e
      where m.subject_id = any (:subs::uuid[])
      order by m.subject_id, e."timestamp", e.id`,
    { subs, names: names === '*' ? null : names, since: since === null ? null : new Date(since) },
  );
  const found = new Map<string, BehaviourEvent[]>(subs.map((sub) => [sub, []]));
  for (const { subject_id, timestamp, ...event } of rows)
    found.get(subject_id)?.push({ ...event, timestamp: Number(timestamp) });
  return found;
}
