/** Who there is, and everything that definitions ask about them: a hundred people are read as fast as one. */
import type { Knex } from 'knex';
import { readBehaviour, readBehaviours } from '../behaviour/history.ts';
import { currentVersion, type PurposeName, purposes } from '../consent/consent.ts';
import type { Needs } from './needs.ts';
import type { Person } from './person.ts';

type FactRow = {
  sub: string;
  is_active: boolean;
  agreed: { purpose: string; version: string }[] | null;
  is_personalised: boolean | null;
  identities: { kind: string; issuer: string }[] | null;
  tags: string[] | null;
  traits: Record<string, unknown> | null;
  lists: string[] | null;
};

/** `isTooLong`: their events are not there, because they are more than can be held. */
type Read = { person: Person; isTooLong: boolean };

/** Undefined of a sub that nobody has. An absorbed one is somebody who is not active. */
export async function readPerson(db: Knex, sub: string, needs: Needs): Promise<Read | undefined> {
  const [facts] = await readFacts(db, [sub], needs);
  if (!facts) return undefined;
  const events = facts.is_active ? await readBehaviour(db, sub, needs) : [];
  return { person: personOf(facts, events ?? []), isTooLong: events === null };
}

/** One person after the other, so that memory does not grow with how many they are. A sub that nobody has is passed over. */
export async function* readPeople(trx: Knex.Transaction, subs: string[], needs: Needs): AsyncGenerator<Read> {
  const facts = new Map((await readFacts(trx, subs, needs)).map((row) => [row.sub, row]));
  const active = [...facts.values()].filter(({ is_active }) => is_active).map(({ sub }) => sub);
  const asked = needs.names.length ? active : [];
  if (asked.length) {
    for await (const { sub, events } of readBehaviours(trx, asked, needs)) {
      const row = facts.get(sub);
      if (row) yield { person: personOf(row, events ?? []), isTooLong: events === null };
      facts.delete(sub);
    }
  }
  for (const row of facts.values()) yield { person: personOf(row, []), isTooLong: false };
}

async function readFacts(db: Knex, subs: string[], { traits }: Needs): Promise<FactRow[]> {
  const { rows } = await db.raw(
    `select c.requested_id as sub, c.subject_id = c.requested_id and c.status = 'active' as is_active,
            (select json_agg(json_build_object('purpose', k.purpose, 'version', k.version))
               from current_consents k where k.subject_id = c.requested_id and k.is_granted) as agreed,
            (select is_on from current_personalisation p where p.subject_id = c.requested_id) as is_personalised,
            (select json_agg(json_build_object('kind', i.kind, 'issuer', i.issuer))
               from member_identities i where i.subject_id = c.requested_id) as identities,
            (select json_agg(tag) from current_tags t where t.subject_id = c.requested_id) as tags,
            (select json_object_agg(t.name, t.value) from current_traits t
              where t.subject_id = c.requested_id and (:traits::text[] is null or t.name = any (:traits::text[]))) as traits,
            (select json_agg(segment_key) from segment_list_members l where l.subject_id = c.requested_id) as lists
       from current_subjects c where c.requested_id = any (:subs::uuid[])`,
    { subs, traits: traits === '*' ? null : traits },
  );
  return rows;
}

function personOf(row: FactRow, events: Person['events']): Person {
  return {
    sub: row.sub,
    isActive: row.is_active,
    agreed: new Set(['service', ...(row.agreed ?? []).filter(isInForce).map(({ purpose }) => purpose)]),
    isPersonalised: row.is_personalised ?? true,
    identities: row.identities ?? [],
    tags: new Set(row.tags ?? []),
    lists: new Set(row.lists ?? []),
    traits: new Map(Object.entries(row.traits ?? {})),
    events,
  };
}

/** A changed policy is asked for again: agreement to another version is none. */
function isInForce({ purpose, version }: { purpose: string; version: string }): boolean {
  return Object.hasOwn(purposes, purpose) && version === currentVersion(purpose as PurposeName);
}

/** So many people who may be members, in the order of their subs. */
export async function standingAfter(db: Knex, after: string | null, limit: number): Promise<string[]> {
  const rows: { subject_id: string }[] = await db('standing_subjects')
    .select('subject_id')
    .modify((query) => void (after !== null && query.where('subject_id', '>', after)))
    .orderBy('subject_id')
    .limit(limit);
  return rows.map(({ subject_id }) => subject_id);
}

/** Each sub with the one that stands for it today. */
export async function standingSubs(db: Knex, subs: string[]): Promise<Map<string, string>> {
  const { rows } = await db.raw(
    'select requested_id, subject_id from current_subjects where requested_id = any (?::uuid[])',
    [subs],
  );
  return new Map(rows.map((row: { requested_id: string; subject_id: string }) => [row.requested_id, row.subject_id]));
}
