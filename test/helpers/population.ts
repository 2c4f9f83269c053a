/** People with what they did, in the database, for questions about everybody. */

import type { BehaviourEvent } from '../../src/behaviour/language.ts';
import type { Database } from '../../src/database.ts';
import type { Node, Segment } from '../../src/segments/definition.ts';
import { compileToSql } from '../../src/segments/sql.ts';
import { day, now, segment } from './behaviour.ts';

let subs = 0;

/** A sub that sorts in the order of creation. */
export function newSub(): string {
  return `01900000-0000-7000-9000-${String(++subs).padStart(12, '0')}`;
}

export type Put = {
  sub: string;
  events?: BehaviourEvent[];
  status?: string;
  /** Marketing, in the version in force, unless said. */
  consents?: { purpose: string; version?: string; is_granted?: boolean; at?: Date }[];
  isPersonalised?: boolean;
  identities?: { kind: string; issuer: string }[];
  traits?: Record<string, unknown>;
  tags?: string[];
  /** Keys of segments that are lists. */
  lists?: string[];
};

export async function putPeople(db: Database, all: Put[]): Promise<void> {
  await db('subjects').insert(all.map(({ sub, status = 'active' }) => ({ id: sub, status })));
  const consents = all.flatMap(({ sub, consents = [{ purpose: 'marketing' }] }) =>
    consents.map((consent) => ({ subject_id: sub, version: '1', is_granted: true, channel: 'website', ...consent })),
  );
  if (consents.length) await db('consents').insert(consents);
  await putFacts(db, all);
  await putEvents(
    db,
    all.flatMap(({ sub, events = [] }) => events.map((event) => ({ ...event, subject_id: sub }))),
  );
}

async function putFacts(db: Database, all: Put[]): Promise<void> {
  const channel = 'website';
  const each = <T, Row>(of: (one: Put) => T[], row: (sub: string, item: T) => Row) =>
    all.flatMap((one) => of(one).map((item) => row(one.sub, item)));
  const put = async (table: string, rows: object[]) => {
    if (rows.length) await db(table).insert(rows);
  };
  await put(
    'personalisation_choices',
    each(
      ({ isPersonalised = true }) => (isPersonalised ? [] : [false]),
      (subject_id, is_on) => ({ subject_id, is_on, channel }),
    ),
  );
  await put(
    'identities',
    each(
      ({ identities = [] }) => identities,
      (subject_id, identity) => ({
        ...identity,
        subject_id,
        lookup: subject_id,
        verified_at: new Date(),
        last_used_at: new Date(),
      }),
    ),
  );
  await put(
    'profile_traits',
    each(
      ({ traits = {} }) => Object.entries(traits),
      (subject_id, [name, value]) => ({
        subject_id,
        name,
        value: JSON.stringify(value),
        at: new Date(),
        source: 'test',
      }),
    ),
  );
  await put(
    'profile_tags',
    each(
      ({ tags = [] }) => tags,
      (subject_id, tag) => ({ subject_id, tag, added_by: 'test' }),
    ),
  );
  const keys = new Set(all.flatMap(({ lists = [] }) => lists));
  const ids = new Map<string, number>();
  for (const key of keys) ids.set(key, await listOf(db, key));
  await put(
    'segment_list',
    each(
      ({ lists = [] }) => lists,
      (subject_id, key) => ({ subject_id, segment_id: ids.get(key), added_by: 'test' }),
    ),
  );
}

async function listOf(db: Database, key: string): Promise<number> {
  const known = await db('segments').where({ key }).first('id');
  if (known) return known.id;
  const now = new Date();
  const row = {
    key,
    name: key,
    kind: 'list',
    purpose: 'service',
    created_at: now,
    created_by: 'test',
    updated_at: now,
  };
  const [made] = await db('segments').insert(row).returning('id');
  return made.id;
}

export type PutEvent = BehaviourEvent & {
  subject_id: string | null;
  anonymous_id?: string;
  counts?: boolean;
  is_attributable?: boolean;
};

/** Received a second after they happened, or a minute before where a clock ran ahead. */
export async function putEvents(db: Database, events: PutEvent[]): Promise<void> {
  if (!events.length) return;
  const rows = events.map(({ properties, context, timestamp, consents, anonymous_id, ...event }) => ({
    ...event,
    anonymous_key: db.raw('id_key(?)', [anonymous_id ?? null]),
    anonymous_id: anonymous_id ?? null,
    purposes: consents.join(' '),
    timestamp: new Date(timestamp),
    received_at: new Date(Math.max(timestamp - 60_000, Math.min(timestamp + 1000, Date.now()))),
    properties: JSON.stringify(properties),
    context: JSON.stringify(context),
    source_id: 1,
    message_key: event.id,
    type: 'track',
  }));
  const months = new Set(rows.map(({ received_at }) => received_at.toISOString().slice(0, 7)));
  for (const month of months) await db.raw('select ensure_event_partition(?::timestamptz)', [`${month}-15T00:00:00Z`]);
  await db('events').insert(rows);
}

type Row = { subject_id: string; is_member: boolean; matched: unknown; due_at: Date | null };
export type Asked = { more?: Partial<Segment>; segments?: Segment[]; at?: number };

/** Asks this database about everybody. */
export function asking(db: Database) {
  /** All rows of the statement. */
  async function rowsOf(where: Node, { more = {}, segments = [], at = now }: Asked = {}): Promise<Row[]> {
    const segmentOf = (key: string) => segments.find((one) => one.key === key);
    const { sql, bindings } = compileToSql(segment(where, more), { at: new Date(at), segmentOf });
    const { rows } = await db.raw(sql, bindings);
    return rows;
  }
  /** New people by name, who are answered for among all others. */
  async function people<Name extends string>(put: Record<Name, Omit<Put, 'sub'>>) {
    const names = new Map((Object.keys(put) as Name[]).map((name) => [newSub(), name]));
    await putPeople(
      db,
      [...names].map(([sub, name]) => ({ sub, ...put[name] })),
    );
    return {
      subs: Object.fromEntries([...names].map(([sub, name]) => [name, sub])) as Record<Name, string>,
      /** `due` in days from the instant that is asked about. */
      async rows(where: Node, asked: Asked = {}) {
        const rows = await rowsOf(where, asked);
        return Object.fromEntries(
          rows.flatMap(({ subject_id, is_member, matched, due_at }) => {
            const name = names.get(subject_id);
            const due = due_at && Math.round(((due_at.getTime() - (asked.at ?? now)) / day) * 1000) / 1000;
            return name ? [[name, { is_member, matched, due }]] : [];
          }),
        );
      },
      /** Names in the order of the alphabet. */
      async members(where: Node, asked: Asked = {}): Promise<Name[]> {
        const rows = await rowsOf(where, asked);
        return rows.flatMap(({ subject_id, is_member }) => (is_member ? (names.get(subject_id) ?? []) : [])).sort();
      },
    };
  }
  const peopleWho = <Name extends string>(did: Record<Name, BehaviourEvent[]>) =>
    people(
      Object.fromEntries(Object.entries<BehaviourEvent[]>(did).map(([name, events]) => [name, { events }])) as Record<
        Name,
        Omit<Put, 'sub'>
      >,
    );
  return { rowsOf, people, peopleWho };
}
