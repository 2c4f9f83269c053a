/** Tables subjects, subject_aliases, identities, link_cases. */
import type { Knex } from 'knex';
import type { IdentityKind } from '../connectors/contract.ts';
import { batched, prepared } from '../database.ts';

export type IdentityKey = { kind: IdentityKind; issuer: string; lookup: string };
export type OwnedIdentity = IdentityKey & { subject_id: string; status: string; used_recently: boolean };
export type IdentityRow = IdentityKey & {
  id: string;
  subject_id: string;
  sealed: string | null;
  verified_at: Date;
  last_used_at: Date;
};

const columns = (keys: IdentityKey[]) => [
  keys.map((key) => key.kind),
  keys.map((key) => key.issuer),
  keys.map((key) => key.lookup),
];

/** Who holds these identities today, through the view that follows merges. */
export const findOwners = batched(async (db, asked: IdentityKey[][]) => {
  const rows = await prepared<OwnedIdentity>(
    db,
    'subjects_find_owners',
    `select i.kind, i.issuer, i.lookup, c.subject_id, c.status,
            i.last_used_at > now() - interval '10 minutes' as used_recently
       from unnest($1::text[], $2::text[], $3::text[]) as k (kind, issuer, lookup)
       join identities i on i.kind = k.kind and i.issuer = k.issuer and i.lookup = k.lookup
       join current_subjects c on c.requested_id = i.subject_id`,
    columns(asked.flat()),
  );
  const isSame = (a: IdentityKey, b: IdentityKey) =>
    a.kind === b.kind && a.issuer === b.issuer && a.lookup === b.lookup;
  return asked.map((keys) => keys.flatMap((key) => rows.find((row) => isSame(row, key)) ?? []));
});

/**
 * Serialises first sign-ins of one person over all processes: the locks are taken in one order (no deadlock) and end with
 * the transaction. Without them fifty parallel first logins would find nobody fifty times.
 */
export async function lockIdentities(trx: Knex.Transaction, keys: IdentityKey[]): Promise<void> {
  const names = keys.map((key) => `${key.kind}|${key.issuer}|${key.lookup}`).sort();
  await trx.raw(
    `select pg_advisory_xact_lock(hashtextextended(name, 1)) from unnest(?::text[]) with ordinality as n (name, at) order by at`,
    [names],
  );
}

export async function insertSubject(trx: Knex, profile: { nickname?: string; picture?: string }): Promise<string> {
  const [row] = await trx('subjects')
    .insert({ id: trx.raw('uuid_v7()'), nickname: profile.nickname ?? null, picture: profile.picture ?? null })
    .returning('id');
  return row.id;
}

export async function insertIdentity(
  trx: Knex,
  identity: IdentityKey & { subject_id: string; sealed: string | null },
): Promise<string> {
  const [row] = await trx('identities')
    .insert({ ...identity, verified_at: trx.fn.now(), last_used_at: trx.fn.now() })
    .returning('id');
  return row.id;
}

/** Both times are read by the rule for numbers that changed hands, so every sign-in writes them (within ten minutes once). */
export async function touch(db: Knex, subject_id: string, keys: IdentityKey[]): Promise<void> {
  await db.raw(
    `with used as (
       update identities i set last_used_at = now(), verified_at = now()
         from unnest(?::text[], ?::text[], ?::text[]) as k (kind, issuer, lookup)
        where i.kind = k.kind and i.issuer = k.issuer and i.lookup = k.lookup
     )
     update subjects set last_sign_in_at = now() where id = ?`,
    [...columns(keys), subject_id],
  );
}

export async function identityKeysOf(db: Knex, subject_id: string): Promise<IdentityKey[]> {
  return db('identities').select('kind', 'issuer', 'lookup').where({ subject_id });
}

export async function identitiesOfSubject(db: Knex, subject_id: string): Promise<IdentityRow[]> {
  return db('identities')
    .select('id', 'subject_id', 'kind', 'issuer', 'lookup', 'sealed', 'verified_at', 'last_used_at')
    .where({ subject_id })
    .orderBy(['created_at', 'id']);
}

/** One open case per pair and kind of identity: the next sign-in with the same contradiction counts up instead of piling up. */
export async function openCase(
  trx: Knex,
  found: { reason: string; subject_id: string; other_subject_id: string } & IdentityKey,
): Promise<{ id: string; is_new: boolean }> {
  const { rows } = await trx.raw(
    `insert into link_cases (reason, subject_id, other_subject_id, identity_kind, identity_issuer, identity_lookup)
     values (?, ?, ?, ?, ?, ?)
     on conflict (subject_id, other_subject_id, identity_kind, identity_issuer) where status = 'open'
     do update set times_seen = link_cases.times_seen + 1, last_seen_at = now()
     returning id, times_seen = 1 as is_new`,
    [found.reason, found.subject_id, found.other_subject_id, found.kind, found.issuer, found.lookup],
  );
  return rows[0];
}

export type SubjectRow = {
  requested_id: string;
  subject_id: string;
  status: 'active' | 'suspended' | 'deleted' | 'absorbed';
  merge_id: string | null;
  created_at: Date;
  last_sign_in_at: Date | null;
  nickname: string | null;
  picture: string | null;
  locale: string | null;
};

export async function readSubject(db: Knex, sub: string): Promise<SubjectRow | undefined> {
  const { rows } = await db.raw(
    `select c.requested_id, c.subject_id, c.status, c.merge_id,
            s.created_at, s.last_sign_in_at, s.nickname, s.picture, s.locale
       from current_subjects c join subjects s on s.id = c.subject_id
      where c.requested_id = ?`,
    [sub],
  );
  return rows[0];
}
