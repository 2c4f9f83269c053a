/** People with what they did, in the database, for questions about everybody. */

import type { BehaviourEvent } from '../../src/behaviour/language.ts';
import type { Database } from '../../src/database.ts';

let people = 0;

/** A sub that sorts in the order of creation. */
export function newSub(): string {
  return `01900000-0000-7000-9000-${String(++people).padStart(12, '0')}`;
}

export type Put = {
  sub: string;
  events?: BehaviourEvent[];
  status?: string;
  /** Marketing, in the version in force, unless said. */
  consents?: { purpose: string; version?: string; is_granted?: boolean }[];
};

export async function putPeople(db: Database, all: Put[]): Promise<void> {
  await db('subjects').insert(all.map(({ sub, status = 'active' }) => ({ id: sub, status })));
  const consents = all.flatMap(({ sub, consents = [{ purpose: 'marketing' }] }) =>
    consents.map((consent) => ({ subject_id: sub, version: '1', is_granted: true, channel: 'website', ...consent })),
  );
  if (consents.length) await db('consents').insert(consents);
  await putEvents(
    db,
    all.flatMap(({ sub, events = [] }) => events.map((event) => ({ ...event, subject_id: sub }))),
  );
}

export type PutEvent = BehaviourEvent & { subject_id: string | null; anonymous_id?: string; counts?: boolean };

/** Received a second after they happened, or a minute before where a clock ran ahead. */
export async function putEvents(db: Database, events: PutEvent[]): Promise<void> {
  if (!events.length) return;
  const rows = events.map(({ properties, context, timestamp, ...event }) => ({
    ...event,
    timestamp: new Date(timestamp),
    received_at: new Date(Math.max(timestamp - 60_000, Math.min(timestamp + 1000, Date.now()))),
    properties: JSON.stringify(properties),
    context: JSON.stringify(context),
    source_id: 1,
    message_id: event.id,
    type: 'track',
  }));
  const months = new Set(rows.map(({ received_at }) => received_at.toISOString().slice(0, 7)));
  for (const month of months) await db.raw('select ensure_event_partition(?::timestamptz)', [`${month}-15T00:00:00Z`]);
  await db('events').insert(rows);
}
