/** Reads what people did, through the views of events/ and subjects/. */
import type { Knex } from 'knex';
import type { BehaviourEvent } from './language.ts';

/**
 * The events of these subjects that count, each in order; of subs that a subject absorbed too, where these read as one. `names` leaves
 * out other events, `since` older ones (milliseconds since 1970).
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
       join attributed_events e on e.recorded_sub = m.member_id
      where m.subject_id = any (:subs::uuid[])
        and (:names::text[] is null or e.event = any (:names::text[]))
        and (:since::timestamptz is null or e."timestamp" > :since::timestamptz)
      order by m.subject_id, e."timestamp", e.id`,
    { subs, names: names === '*' ? null : names, since: since === null ? null : new Date(since) },
  );
  const found = new Map<string, BehaviourEvent[]>(subs.map((sub) => [sub, []]));
  for (const { subject_id, timestamp, ...event } of rows)
    found.get(subject_id)?.push({ ...event, timestamp: Number(timestamp) });
  return found;
}
