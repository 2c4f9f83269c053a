/** Tables subjects and identities. What merges add is merge-store.ts, cases case-store.ts, devices devices.ts. */
import type { Knex } from 'knex';
import type { IdentityKind } from '../connectors/contract.ts';
import { batched, prepared } from '../database.ts';

export type IdentityKey = { kind: IdentityKind; issuer: string; lookup: string };
export type OwnedIdentity = IdentityKey & {
  id: string;
  subject_id: string;
  status: string;
  used_recently: boolean;
  is_quiet: boolean;
};
export type IdentityRow = IdentityKey & {
  id: string;
  subject_id: string;
  sealed: string | null;
  verified_at: Date;
  last_used_at: Date;
  created_at: Date;
  superseded_at: Date | null;
  is_vouched: boolean;
};

/** Carriers give a number away again after about 90 days (threat B17). */
const quietDays = 90;

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
    `select i.id, i.kind, i.issuer, i.lookup, c.subject_id, c.status,
            i.last_used_at > now() - interval '10 minutes' and not i.is_vouched as used_recently,
            i.kind = 'phone' and i.issuer = '' and i.last_used_at < now() - interval '${quietDays} days' as is_quiet
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

/**
 * Held by whoever changes what belongs to a person: a merge, a link and a sign-in that links wait for each other here. In one
 * order over all processes, and always after the locks of identities. Foreign keys to these rows do not wait.
 */
export async function lockSubjects(trx: Knex.Transaction, subs: string[]): Promise<void> {
  await trx.raw('select id from subjects where id = any (?::uuid[]) order by id for no key update', [subs]);
}

export async function insertSubject(trx: Knex, profile: { nickname?: string; picture?: string }): Promise<string> {
  const [row] = await trx('subjects')
    .insert({ id: trx.raw('uuid_v7()'), nickname: profile.nickname ?? null, picture: profile.picture ?? null })
    .returning('id');
  return row.id;
}

export async function setStatus(trx: Knex, sub: string, status: SubjectRow['status']): Promise<void> {
  await trx('subjects').where({ id: sub }).update({ status });
}

export type ProfileFields = { nickname?: string | null; picture?: string | null; locale?: string | null };

export async function setProfile(trx: Knex, sub: string, fields: ProfileFields): Promise<void> {
  if (Object.keys(fields).length) await trx('subjects').where({ id: sub }).update(fields);
}

/** Of this very row, also when another subject stands for it. */
export async function ownProfile(db: Knex, sub: string): Promise<ProfileFields> {
  return (await db('subjects').where({ id: sub }).first('nickname', 'picture', 'locale')) ?? {};
}

/** What they have by now is theirs. */
export async function fillProfile(db: Knex, sub: string, { nickname, picture }: ProfileFields): Promise<void> {
  await db.raw(
    `update subjects set nickname = coalesce(nickname, :nickname), picture = coalesce(picture, :picture)
      where id = :sub and ((nickname is null and :nickname::text is not null) or (picture is null and :picture::text is not null))`,
    { sub, nickname: nickname ?? null, picture: picture ?? null },
  );
}

/**
 * The moment is that of the insert, under the subject's lock, not the transaction's beginning: a link that waited for a merge came after
 * it, and stays when that is undone.
 */
export async function insertIdentity(
  trx: Knex,
  identity: IdentityKey & { subject_id: string; sealed: string | null; is_vouched: boolean },
): Promise<string> {
  const [row] = await trx('identities')
    .insert({
      ...identity,
      verified_at: trx.fn.now(),
      last_used_at: trx.fn.now(),
      created_at: trx.raw('clock_timestamp()'),
    })
    .returning('id');
  return row.id;
}

export async function deleteIdentity(trx: Knex, id: string): Promise<void> {
  await trx('identities').where({ id }).delete();
}

/** Gives all that `from` holds, or only those named, to `to`; returns their ids. */
export async function moveIdentities(
  trx: Knex,
  { from, to, only }: { from: string; to: string; only?: string[] },
): Promise<string[]> {
  const moving = trx('identities').where({ subject_id: from });
  if (only) moving.whereIn('id', only);
  const rows = await moving.update({ subject_id: to }).returning('id');
  return rows.map(({ id }) => id);
}

export async function supersede(trx: Knex, ids: string[]): Promise<void> {
  if (ids.length) await trx('identities').whereIn('id', ids).update({ superseded_at: trx.fn.now() });
}

/**
 * Of each kind and issuer that a subject holds one is current. Where the current one left, by an undo or because it was taken away,
 * what was put second last is current again: until then it was.
 */
export async function settleCurrent(trx: Knex.Transaction, subs: string[]): Promise<void> {
  await trx.raw(
    `with held as (
       select id, superseded_at, bool_or(superseded_at is null) over same as has_current, max(superseded_at) over same as latest
         from identities where subject_id = any (?::uuid[])
       window same as (partition by subject_id, kind, issuer)
     )
     update identities i set superseded_at = null
       from held h where h.id = i.id and not h.has_current and h.superseded_at = h.latest`,
    [subs],
  );
}

/** Both times are read by the rule for numbers that changed hands, so every sign-in writes them (within ten minutes once). */
export async function touch(db: Knex, subject_id: string, keys: IdentityKey[]): Promise<void> {
  await db.raw(
    `with used as (
       update identities i set last_used_at = now(), verified_at = now(), is_vouched = false
         from unnest(?::text[], ?::text[], ?::text[]) as k (kind, issuer, lookup)
        where i.kind = k.kind and i.issuer = k.issuer and i.lookup = k.lookup
     )
     update subjects set last_sign_in_at = now() where id = ?`,
    [...columns(keys), subject_id],
  );
}

export async function identitiesOfSubject(db: Knex, subject_id: string): Promise<IdentityRow[]> {
  return db('identities')
    .select(
      'id',
      'subject_id',
      'kind',
      'issuer',
      'lookup',
      'sealed',
      'verified_at',
      'last_used_at',
      'created_at',
      'superseded_at',
      'is_vouched',
    )
    .where({ subject_id })
    .orderBy(['created_at', 'id']);
}

/** Of any app or platform: an external id may be searched for without knowing whose it is. By one probe of the index per issuer. */
export async function findByLookup(
  db: Knex,
  lookups: { kind: IdentityKind; lookup: string }[],
): Promise<{ kind: IdentityKind; issuer: string; subject_id: string }[]> {
  const { rows } = await db.raw(
    `select i.kind, i.issuer, i.subject_id
       from unnest(?::text[], ?::text[]) as k (kind, lookup)
       join identity_issuers s on s.kind = k.kind
       join identities i on i.kind = k.kind and i.issuer = s.issuer and i.lookup = k.lookup
      limit 50`,
    [lookups.map(({ kind }) => kind), lookups.map(({ lookup }) => lookup)],
  );
  return rows;
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

/** Who stands for each of these today. */
export async function currentSubs(db: Knex, subs: string[]): Promise<Map<string, string>> {
  const rows = await db('current_subjects').select('requested_id', 'subject_id').whereIn('requested_id', subs);
  return new Map(rows.map(({ requested_id, subject_id }) => [requested_id, subject_id]));
}

/** Staff never come together with anybody by a rule: who is merged with an administrator signs in as one (threat D17). */
export async function isStaff(db: Knex, subs: string[]): Promise<boolean> {
  return (await db('staff_subjects').whereIn('subject_id', subs).first('subject_id')) !== undefined;
}
