/** Reads everything that a definition may ask about people, a hundred as fast as one. */
import type { Knex } from 'knex';
import { readBehaviour } from '../behaviour/history.ts';
import type { Needs } from '../behaviour/needs.ts';
import { currentVersion, type PurposeName, purposes } from '../consent/consent.ts';
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

/** By sub; a sub that nobody has is left out. An absorbed one is somebody who is not active. */
export async function readPeople(db: Knex, subs: string[], needs: Needs): Promise<Map<string, Person>> {
  const { rows } = await db.raw(
    `select c.requested_id as sub, c.subject_id = c.requested_id and c.status = 'active' as is_active,
            (select json_agg(json_build_object('purpose', k.purpose, 'version', k.version))
               from current_consents k where k.subject_id = c.requested_id and k.is_granted) as agreed,
            (select is_on from current_personalisation p where p.subject_id = c.requested_id) as is_personalised,
            (select json_agg(json_build_object('kind', i.kind, 'issuer', i.issuer))
               from member_identities i where i.subject_id = c.requested_id) as identities,
            (select json_agg(tag) from current_tags t where t.subject_id = c.requested_id) as tags,
            (select json_object_agg(t.name, t.value) from current_traits t where t.subject_id = c.requested_id) as traits,
            (select json_agg(segment_key) from segment_list_members l where l.subject_id = c.requested_id) as lists
       from current_subjects c where c.requested_id = any (?::uuid[])`,
    [subs],
  );
  const facts: FactRow[] = rows;
  const events = await readBehaviour(
    db,
    facts.filter(({ is_active }) => is_active).map(({ sub }) => sub),
    needs,
  );
  return new Map(facts.map((row) => [row.sub, personOf(row, events.get(row.sub) ?? [])]));
}

function personOf(row: FactRow, events: Person['events']): Person {
  const traits = new Map(Object.entries(row.traits ?? {}));
  return {
    sub: row.sub,
    isActive: row.is_active,
    agreed: new Set(['service', ...(row.agreed ?? []).filter(isInForce).map(({ purpose }) => purpose)]),
    isPersonalised: row.is_personalised ?? true,
    identities: row.identities ?? [],
    tags: new Set(row.tags ?? []),
    lists: new Set(row.lists ?? []),
    trait: (name) => ({ value: traits.get(name) ?? undefined, dueAt: null }),
    events,
  };
}

/** A changed policy is asked for again: agreement to another version is none. */
function isInForce({ purpose, version }: { purpose: string; version: string }): boolean {
  return Object.hasOwn(purposes, purpose) && version === currentVersion(purpose as PurposeName);
}
