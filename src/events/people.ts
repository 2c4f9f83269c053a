/**
 * The people whom a server's events name, by sub or by external ids; read through views of the folder that knows who a person is.
 */
import type { Knex } from 'knex';
import type { Identity, IdentityKind } from '../connectors/contract.ts';
import { parseEmail } from '../connectors/email-address.ts';
import { parsePhone } from '../connectors/phone-number.ts';
import { batched, prepared } from '../database.ts';
import { AppError } from '../errors.ts';
import type { ExternalId, Incoming } from './normalise.ts';

/** An identity as it is stored and found again. */
export type IdentityKey = { kind: string; issuer: string; lookup: string };

/** Given by subjects/, which seals phone numbers and addresses. */
export type KeyOf = (identity: Identity) => IdentityKey;

export type Known = {
  /** Status by sub. */
  subjects: Map<string, string>;
  keysOf(external: ExternalId): IdentityKey[];
  subjectOf(key: IdentityKey): string | undefined;
};
export const nobody: Known = { subjects: new Map(), keysOf: () => [], subjectOf: () => undefined };

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export async function lookUp({ db, keyOf }: { db: Knex; keyOf: KeyOf }, batch: Incoming[]): Promise<Known> {
  const subs = new Set(batch.flatMap(({ user_id }) => user_id?.toLowerCase() ?? []).filter((id) => uuid.test(id)));
  const subjects = subs.size ? await findSubjects(db, [...subs]) : [];
  const named = new Map<ExternalId, IdentityKey[]>();
  for (const external of batch.flatMap(({ external_ids }) => external_ids)) {
    const identity = identityOf(external);
    named.set(external, identity ? [keyOf(identity)] : []);
  }
  const owners = await findOwners(db, [...named.values()].flat());
  return {
    subjects: new Map(subjects.map(({ sub, status }) => [sub, status])),
    keysOf: (external) => named.get(external) ?? [],
    subjectOf: (key) => owners.get(nameOf(key)),
  };
}

const nameOf = ({ kind, issuer, lookup }: IdentityKey) => `${kind}|${issuer}|${lookup}`;

/** An id that came without its app is looked for in all of them; should two people have it, it is nobody's (threat C8). */
async function findOwners(db: Knex, keys: IdentityKey[]): Promise<Map<string, string>> {
  const owners = new Map<string, string>();
  if (!keys.length) return owners;
  const issuers = keys.some(ofAnyIssuer) ? await findIssuers(db, 'all') : [];
  const wanted = keys.flatMap((key) =>
    ofAnyIssuer(key)
      ? issuers.filter(({ kind }) => kind === key.kind).map(({ issuer }) => ({ ...key, issuer }))
      : [key],
  );
  const people = new Map<string, Set<string>>();
  for (const { status, sub, ...key } of await findIdentities(db, wanted)) {
    if (status === 'deleted') continue;
    for (const name of [nameOf(key), nameOf({ ...key, issuer: '' })])
      people.set(name, (people.get(name) ?? new Set()).add(sub));
  }
  for (const key of keys) {
    const [sub, ...others] = people.get(nameOf(key)) ?? [];
    if (sub !== undefined && !others.length) owners.set(nameOf(key), sub);
  }
  return owners;
}

const withIssuer = new Set(['wechat_openid', 'wechat_unionid']);
const ofAnyIssuer = ({ kind, issuer }: IdentityKey) => issuer === '' && withIssuer.has(kind);

const kinds: Record<string, IdentityKind> = {
  phone: 'phone',
  email: 'email',
  wechat_openid: 'wechat_openid',
  wechat_unionid: 'wechat_unionid',
  member_no: 'member_no',
};

/** One spelling, as sign-in stored it. Undefined for a type we do not know and for what is no number or address. */
function identityOf({ type, id, issuer }: ExternalId): Identity | undefined {
  const kind = Object.hasOwn(kinds, type) ? kinds[type] : undefined;
  if (!kind) return undefined;
  if (kind !== 'phone' && kind !== 'email')
    return { kind, issuer: withIssuer.has(kind) ? issuer : '', external_id: id.trim() };
  try {
    return { kind, issuer: '', external_id: kind === 'phone' ? parsePhone(id) : parseEmail(id) };
  } catch (error) {
    if (error instanceof AppError) return undefined;
    throw error;
  }
}

type KnownSubject = { sub: string; status: string };

const findSubjects = batched(async (db, asked: string[][]): Promise<KnownSubject[][]> => {
  const text = `select requested_id as sub, status from current_subjects where requested_id = any ($1::uuid[])`;
  const rows = await prepared<KnownSubject>(db, 'events.subjects', text, [[...new Set(asked.flat())]]);
  const found = new Map(rows.map((row) => [row.sub, row]));
  return asked.map((subs) => subs.flatMap((sub) => found.get(sub) ?? []));
});

type KnownIdentity = IdentityKey & KnownSubject;

const findIdentities = batched(async (db, asked: IdentityKey[][]): Promise<KnownIdentity[][]> => {
  const keys = asked.flat();
  const rows = await prepared<KnownIdentity>(
    db,
    'events.identities',
    `select distinct i.kind, i.issuer, i.lookup, i.subject_id as sub, i.status
       from unnest($1::text[], $2::text[], $3::text[]) as k (kind, issuer, lookup)
       join identity_subjects i on i.kind = k.kind and i.issuer = k.issuer and i.lookup = k.lookup`,
    [keys.map(({ kind }) => kind), keys.map(({ issuer }) => issuer), keys.map(({ lookup }) => lookup)],
  );
  const found = Map.groupBy(rows, nameOf);
  return asked.map((wanted) => [...new Set(wanted.map(nameOf))].flatMap((name) => found.get(name) ?? []));
});

/** The few apps, platforms and providers that identities are of. */
const findIssuers = batched(async (db, asked: 'all'[]): Promise<{ kind: string; issuer: string }[][]> => {
  const rows = await db('identity_issuers').select('kind', 'issuer');
  return asked.map(() => rows);
});
