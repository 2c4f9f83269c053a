/**
 * A server's events about somebody nobody knows yet (tables held_events, held_event_identities): attributed when the identity appears
 * within 30 days, else dropped and counted.
 */
import type { Knex } from 'knex';
import { addActivity } from './activity.ts';
import { CopiedRows, type Copy } from './copy.ts';
import { addRejections } from './rejections.ts';
import { type EventRow, giveSubject, horizonDays, removeNobodys } from './store.ts';

/** Of rows that are about to be stored, those that wait for their person. */
export function copyHeld(rows: EventRow[]): Copy[] {
  const events = new CopiedRows();
  const identities = new CopiedRows();
  for (const { id, source_id, message_id, received_at, held } of rows) {
    if (!held) continue;
    events.row(4).uuid(id).integer32(source_id).text(message_id).time(received_at.getTime());
    const different = new Map(held.map((key) => [`${key.kind} ${key.issuer} ${key.lookup}`, key]));
    for (const { kind, issuer, lookup } of different.values())
      identities.row(4).text(kind).text(issuer).text(lookup).uuid(id);
  }
  return [
    { sql: 'copy held_events (event_id, source_id, message_id, received_at)', rows: events },
    { sql: 'copy held_event_identities (kind, issuer, lookup, event_id)', rows: identities },
  ];
}

/**
 * Gives held events to their person: of one subject when it signs in, of all in the background. A subject who was deleted gets
 * nothing. The event keeps its place in time, and its profile counts it from now on.
 */
export async function claimHeld(db: Knex, sub: string | null): Promise<number> {
  const { rows } = await db.raw(
    `with found as (
       select distinct on (h.event_id) h.event_id, e.source_id, e.message_id, e.received_at, i.subject_id
         from held_event_identities h
         join identity_issuers s on s.kind = h.kind and (h.issuer = '' or s.issuer = h.issuer)
         join identity_subjects i on i.kind = h.kind and i.issuer = s.issuer and i.lookup = h.lookup
         join held_events e on e.event_id = h.event_id
        where i.status <> 'deleted' and (?::uuid is null or i.subject_id = ?::uuid)
        order by h.event_id, i.subject_id
        limit 10000
     ), released as (
       delete from held_events where event_id in (select event_id from found) returning event_id
     ), claimed as (
       ${giveSubject('(select f.* from found f join released r on r.event_id = f.event_id)')}
     ), activity as (
       ${addActivity('claimed')}
     )
     select count(*) as n from claimed`,
    [sub, sub],
  );
  return rows[0].n;
}

/**
 * After 30 days nobody has come: the event goes, unless an anonymous id keeps it, and the key's owner finds it counted among the
 * rejections.
 */
export async function dropUnclaimed(db: Knex, limit: number): Promise<number> {
  const { rows } = await db.raw(
    `with late as (
       delete from held_events where event_id in (
         select event_id from held_events where received_at < now() - interval '${horizonDays} days' limit ? for update skip locked)
       returning source_id, message_id, received_at
     ), dropped as (
       ${removeNobodys('late')}
     ), counted as (
       ${addRejections(`select source_id, message_id, 'person_unknown', 'Nobody with these ids appeared within ${horizonDays} days.' from dropped`)}
     )
     select count(*) as n from late`,
    [limit],
  );
  return rows[0].n;
}
