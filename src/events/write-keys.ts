/**
 * Write keys (table write_keys): who may send events, from which websites, for which clients. A `client` key is public and can only
 * write; a `server` key is secret and may name any person. Only a keyed hash of a key is stored.
 *
 * Also the numbers under which clients' access tokens are sources of their own (token_sources).
 */
import { randomBytes } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Knex } from 'knex';
import { type AuditEntry, recordAudit } from '../audit/audit.ts';
import type { Clock } from '../clock.ts';
import type { PurposeName } from '../consent/consent.ts';
import type { Database } from '../database.ts';
import { fail } from '../errors.ts';
import type { Seal } from '../seal.ts';
import type { CatalogueOverride } from './catalogue.ts';
import { usualPerMinute } from './quota.ts';
import { remembering } from './remembering.ts';
import type { Trust } from './trust.ts';

export type WriteKey = {
  /** The source within which a message id is unique. */
  id: number;
  kind: 'client' | 'server';
  name: string;
  client_ids: string[];
  origins: string[];
  channel: string | null;
  catalogue: CatalogueOverride;
  /** Null: the usual. */
  events_per_minute: number | null;
  /** Purposes under which its trackers collect, for events that say nothing of consent: who answers for it, since when. */
  declared_consents: PurposeName[];
  declared_by: string | null;
  declared_at: Date | null;
  is_enabled: boolean;
  source: 'operator' | 'sandbox';
  created_at: Date;
};

export type NewWriteKey = {
  /** Given: made or changed to this. Not given: a new random key. */
  key?: string | undefined;
  kind: WriteKey['kind'];
  name: string;
  client_ids?: string[] | undefined;
  origins?: string[] | undefined;
  channel?: string | null | undefined;
  catalogue?: Record<string, Trust> | undefined;
  events_per_minute?: number | null | undefined;
  source?: WriteKey['source'] | undefined;
};

/** What a key is told by (kind) and where it came from stay. */
const changeable = [
  'name',
  'client_ids',
  'origins',
  'channel',
  'catalogue',
  'events_per_minute',
  'is_enabled',
] as const satisfies (keyof WriteKey)[];
export type WriteKeyChange = { [Name in (typeof changeable)[number]]?: WriteKey[Name] | undefined };

const columns = [
  'id',
  'kind',
  ...changeable,
  'declared_consents',
  'declared_by',
  'declared_at',
  'source',
  'created_at',
];
type Actor = Omit<AuditEntry, 'action'>;

const hashOf = (seal: Seal, key: string) => seal.hash(key, 'write key');

/** The key is answered here and can never be read again. */
export async function createWriteKey(
  { db, seal }: { db: Knex; seal: Seal },
  wanted: NewWriteKey,
): Promise<{ id: number; key: string }> {
  const key = wanted.key ?? randomBytes(24).toString('base64url');
  const row = {
    key_hash: hashOf(seal, key),
    kind: wanted.kind,
    name: wanted.name,
    client_ids: wanted.client_ids ?? [],
    origins: wanted.origins ?? [],
    channel: wanted.channel ?? null,
    catalogue: JSON.stringify(wanted.catalogue ?? {}),
    events_per_minute: wanted.events_per_minute ?? null,
    source: wanted.source ?? 'operator',
    is_enabled: true,
  };
  const [stored] = await db('write_keys').insert(row).onConflict('key_hash').merge().returning('id');
  return { id: stored.id, key };
}

/** Made by somebody. What it was made of is on record, as what later becomes of it is; the key itself is not. */
export async function issueWriteKey(
  trx: Knex.Transaction,
  seal: Seal,
  wanted: NewWriteKey,
  actor: Actor,
): Promise<{ id: number; key: string }> {
  const made = await createWriteKey({ db: trx, seal }, wanted);
  const { key: _, ...settings } = wanted;
  await recordAudit(trx, { ...actor, action: 'write_key.created', details: { write_key_id: made.id, ...settings } });
  return made;
}

/**
 * In force within five seconds. The record holds what became of the settings that differ. Of the sandbox's keys nothing is changed: everybody
 * knows them, and the next start makes them anew. @throws not_found | conflict
 */
export async function changeWriteKey(
  trx: Knex.Transaction,
  id: number,
  wanted: WriteKeyChange,
  actor: Actor,
): Promise<WriteKey> {
  const before: WriteKey | undefined = await trx('write_keys').select(columns).where({ id }).forUpdate().first();
  if (!before) throw fail('not_found');
  if (before.source === 'sandbox') throw fail('conflict', { message: 'The keys of the sandbox are not changed.' });
  const differs = (name: keyof WriteKeyChange) =>
    wanted[name] !== undefined && !isDeepStrictEqual(wanted[name], before[name]);
  const changed = Object.fromEntries(changeable.filter(differs).map((name) => [name, wanted[name]]));
  if (!Object.keys(changed).length) return before;
  const row = { ...changed, ...(changed.catalogue !== undefined && { catalogue: JSON.stringify(changed.catalogue) }) };
  const [after] = await trx('write_keys').where({ id }).update(row).returning(columns);
  const { is_enabled, ...settings } = changed;
  const record = (action: string, details: object = {}) =>
    recordAudit(trx, { ...actor, action, details: { write_key_id: id, ...details } });
  if (Object.keys(settings).length) await record('write_key.changed', settings);
  if (is_enabled !== undefined) await record(is_enabled ? 'write_key.enabled' : 'write_key.disabled');
  return after;
}

/**
 * Under which purposes the trackers of a key collect, where they cannot say it with their events: what the banner of the website or the dialog
 * of the mini-program asks before it starts them. `by` answers for it. For events that arrive from then on. @throws not_found
 */
export async function declareConsents(
  trx: Knex.Transaction,
  id: number,
  { purposes, by }: { purposes: PurposeName[]; by: string },
  actor: Actor,
): Promise<WriteKey> {
  const declared = { declared_consents: [...new Set(purposes)], declared_by: by, declared_at: trx.fn.now() };
  const [key] = await trx('write_keys').where({ id }).update(declared).returning(columns);
  if (!key) throw fail('not_found');
  const details = { write_key_id: id, purposes, by };
  await recordAudit(trx, { ...actor, action: 'write_key.consents_declared', details });
  return key;
}

export async function listWriteKeys(db: Knex): Promise<WriteKey[]> {
  return db('write_keys').select(columns).orderBy('id');
}

/** @throws not_found */
export async function readWriteKey(db: Knex, id: number): Promise<WriteKey> {
  const key = await db('write_keys').select(columns).where({ id }).first();
  if (!key) throw fail('not_found');
  return key;
}

/** Called by a start without the sandbox: the demo's keys are known to everybody. */
export async function disableSandboxWriteKeys(db: Knex): Promise<void> {
  await db('write_keys').where({ source: 'sandbox' }).update({ is_enabled: false });
}

/** What a client's people's tokens may do besides: its keys' catalogue, channel and quota hold for them too. */
export type TokenSource = {
  id: number;
  channel: string | null;
  catalogue: CatalogueOverride;
  events_per_minute: number;
  origins: string[];
  declared_consents: PurposeName[];
};

export type WriteKeys = {
  find(key: string): Promise<WriteKey | undefined>;
  tokenSource(client_id: string): Promise<TokenSource>;
  /** Whether any key may be used from this website: all that can be asked of a preflight request, which carries no key. */
  isRegistered(origin: string): Promise<boolean>;
};

export function writeKeyReader({ db, seal, clock }: { db: Database; seal: Seal; clock: Clock }): WriteKeys {
  const find = remembering(clock, (key): Promise<WriteKey | undefined> => {
    const key_hash = hashOf(seal, key);
    return db('write_keys').select(columns).where({ key_hash, is_enabled: true }).first();
  });
  const isRegistered = remembering(clock, async (origin): Promise<true | undefined> => {
    const row = await db('write_keys')
      .select('id')
      .where('is_enabled', true)
      .andWhere(holds('origins', origin))
      .first();
    return row && true;
  });
  return {
    find: async (key) => (key.length <= 200 ? find(key) : undefined),
    tokenSource: remembering(clock, (client_id) => readTokenSource(db, client_id)),
    isRegistered: async (origin) => origin.length <= 300 && (await isRegistered(origin)) === true,
  };
}

const holds = (column: string, value: string) => (where: Knex.QueryBuilder) =>
  where.whereRaw('?? @> array[?]::text[]', [column, value]);

async function readTokenSource(db: Database, client_id: string): Promise<TokenSource> {
  const id = (await findTokenSource(db, client_id)) ?? (await addTokenSource(db, client_id));
  const keys: WriteKey[] = await db('write_keys')
    .select(columns)
    .where({ is_enabled: true, kind: 'client' })
    .andWhere(holds('client_ids', client_id))
    .orderBy('id');
  return {
    id,
    channel: keys.find(({ channel }) => channel)?.channel ?? null,
    catalogue: Object.fromEntries(keys.flatMap(({ catalogue }) => Object.entries(catalogue))),
    events_per_minute: keys.find((key) => key.events_per_minute)?.events_per_minute ?? usualPerMinute,
    origins: keys.flatMap(({ origins }) => origins),
    // Any of them may have brought the event: what all of them declare.
    declared_consents: (keys[0]?.declared_consents ?? []).filter((purpose) =>
      keys.every(({ declared_consents }) => declared_consents.includes(purpose)),
    ),
  };
}

async function findTokenSource(db: Database, client_id: string): Promise<number | undefined> {
  const row = await db('token_sources').select('id').where({ client_id }).first();
  return row?.id;
}

async function addTokenSource(db: Database, client_id: string): Promise<number> {
  await db('token_sources').insert({ client_id }).onConflict('client_id').ignore();
  return (await findTokenSource(db, client_id)) ?? 0;
}

/** Where events come from, by the number that stands with them: a write key, or the tokens of a client's people. */
export type Source = { id: number; kind: 'write_key' | 'token'; name: string; catalogue: CatalogueOverride };

export async function listSources(db: Knex): Promise<Source[]> {
  const keys = await db('write_keys').select('id', db.raw(`'write_key' as kind`), 'name', 'catalogue');
  const clients = await db('token_sources').select('id', db.raw(`'token' as kind`), 'client_id as name');
  return [...keys, ...clients.map((client) => ({ ...client, catalogue: {} }))];
}
