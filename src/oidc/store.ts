/** Tables oidc_artifacts, clients, signing_keys. */
import type { Knex } from 'knex';
import { batched, prepared } from '../database.ts';
import { lifetimes } from './lifetimes.ts';

export type ArtifactRow = {
  model: string;
  id: string;
  payload_sealed: string;
  grant_id: string | null;
  uid: string | null;
  user_code_hash: string | null;
  subject_id: string | null;
  client_id: string | null;
  /** Seconds from now, by the database's clock. */
  ttl_seconds: number;
};
export type FoundArtifact = { id: string; payload_sealed: string; consumed: number | null };
export type FoundToken = FoundArtifact & {
  just_consumed: boolean | null;
  successor_sealed: string | null;
  grant_id: string | null;
  grant_payload_sealed: string | null;
  subject_id: string | null;
  subject_stands: boolean | null;
};
/** What is marked as used, in the statement that writes what it was used for. */
export type Spend = { model: string; id: string; successor_sealed?: string };

const found = 'id, payload_sealed, extract(epoch from consumed_at)::integer as consumed';

/** A device code stays findable after its end: the client is told `expired_token`, not `invalid_grant` (RFC 8628 section 3.5). */
export async function findArtifact(db: Knex, model: string, id: string): Promise<FoundArtifact | undefined> {
  const { rows } = await db.raw(
    `select ${found} from oidc_artifacts where model = ? and id = ? and (expires_at > now() or model = 'DeviceCode')`,
    [model, id],
  );
  return rows[0];
}

export async function findArtifactBy(
  db: Knex,
  model: string,
  column: 'uid' | 'user_code_hash',
  value: string,
): Promise<FoundArtifact | undefined> {
  const { rows } = await db.raw(
    `select ${found} from oidc_artifacts where model = ? and ${column} = ? and expires_at > now()`,
    [model, value],
  );
  return rows[0];
}

/**
 * A code or token with its grant and with whether its person still stands, in one round trip: the engine asks for the three
 * one after the other.
 */
export const findToken = batched(async (db, asked: { model: string; id: string }[]) => {
  const rows = await prepared<FoundToken & { model: string }>(
    db,
    'oidc_find_tokens',
    `select t.model, t.id, t.payload_sealed, extract(epoch from t.consumed_at)::integer as consumed, t.successor_sealed,
            t.consumed_at > now() - make_interval(secs => $1) as just_consumed,
            t.grant_id, g.payload_sealed as grant_payload_sealed, g.subject_id,
            c.status = 'active' and c.subject_id = c.requested_id as subject_stands
       from unnest($2::text[], $3::text[]) as k (model, id)
       join oidc_artifacts t on t.model = k.model and t.id = k.id and t.expires_at > now()
       left join oidc_artifacts g on g.model = 'Grant' and g.id = t.grant_id and g.expires_at > now()
       left join current_subjects c on c.requested_id = g.subject_id`,
    [lifetimes.refreshRepeat, asked.map(({ model }) => model), asked.map(({ id }) => id)],
  );
  return asked.map((key): FoundToken | undefined => rows.find((row) => row.id === key.id && row.model === key.model));
});

export type Standing = { client_id: string; subject_id: string; subject_stands: boolean };

/** Whether a grant is still there, and its person. */
export async function findGrantStanding(db: Knex, id: string): Promise<Standing | undefined> {
  const { rows } = await db.raw(
    `select g.client_id, g.subject_id, c.status = 'active' and c.subject_id = c.requested_id as subject_stands
       from oidc_artifacts g join current_subjects c on c.requested_id = g.subject_id
      where g.model = 'Grant' and g.id = ? and g.expires_at > now()`,
    [id],
  );
  return rows[0];
}

const columns = [
  'model',
  'id',
  'payload_sealed',
  'grant_id',
  'uid',
  'user_code_hash',
  'subject_id',
  'client_id',
] as const;
const columnTypes = ['text', 'text', 'text', 'text', 'text', 'text', 'uuid', 'text', 'integer'];
/** `r` holds the rows to be; `spent_by` names the code or token that each depends on. */
const insertFrom = `insert into oidc_artifacts (${columns.join(', ')}, expires_at)
     select ${columns.map((column) => `r.${column}`).join(', ')}, now() + make_interval(secs => r.ttl)`;
const newRows = (first: number, more = '') =>
  `unnest(${columnTypes.map((type, at) => `$${first + at}::${type}[]`).join(', ')}${more && `, $${first + columnTypes.length}::text[]`})
         as r (${columns.join(', ')}, ttl${more && `, ${more}`})`;
/** A second save of a device code carries no user code, and must not lose it. */
const orReplace = `on conflict (model, id) do update
         set payload_sealed = excluded.payload_sealed, expires_at = excluded.expires_at, grant_id = excluded.grant_id,
             uid = excluded.uid, subject_id = excluded.subject_id,
             user_code_hash = coalesce(excluded.user_code_hash, oidc_artifacts.user_code_hash)`;

function bindings(rows: ArtifactRow[]): unknown[][] {
  return [...columns.map((column) => rows.map((row) => row[column])), rows.map((row) => Math.ceil(row.ttl_seconds))];
}

export const saveArtifacts = batched(async (db, together: ArtifactRow[][]) => {
  const rows = together.flat();
  if (rows.length) await prepared(db, 'oidc_save', `${insertFrom} from ${newRows(1)} ${orReplace}`, bindings(rows));
  return together.map(() => undefined);
});

/** False when it is already there: one of two parallel uses of one assertion (threat A25). */
export async function saveOnce(db: Knex, row: ArtifactRow): Promise<boolean> {
  const text = `${insertFrom} from ${newRows(1)} on conflict do nothing returning id`;
  return (await prepared(db, 'oidc_save_once', text, bindings([row]))).length === 1;
}

/**
 * Check and mark in one statement, and what the code or token was given for with it: of any number of parallel uses, over any
 * number of processes, one is told true and has its tokens written (threat A13). A crash leaves both or neither.
 */
export const spendAndSave = batched(async (db, asked: { spend: Spend; rows: ArtifactRow[] }[]) => {
  // Twice in one batch is twice at the same moment: the first is the one.
  const first = new Map(asked.map((one, at) => [one.spend.id, at] as const).reverse());
  const taken = asked.filter(({ spend }, at) => first.get(spend.id) === at);
  const rows = taken.flatMap((one) => one.rows);
  const spent = await prepared<{ id: string }>(
    db,
    'oidc_spend',
    `with spent as (
       update oidc_artifacts t set consumed_at = now(), successor_sealed = a.successor_sealed
         from unnest($1::text[], $2::text[], $3::text[]) as a (model, id, successor_sealed)
        where t.model = a.model and t.id = a.id and t.consumed_at is null and t.expires_at > now()
       returning t.id
     ), saved as (
       ${insertFrom} from ${newRows(4, 'spent_by')} join spent s on s.id = r.spent_by ${orReplace}
     )
     select id from spent`,
    [
      taken.map(({ spend }) => spend.model),
      taken.map(({ spend }) => spend.id),
      taken.map(({ spend }) => spend.successor_sealed ?? null),
      ...bindings(rows),
      taken.flatMap((one) => one.rows.map(() => one.spend.id)),
    ],
  );
  return asked.map((one) => taken.includes(one) && spent.some(({ id }) => id === one.spend.id));
});

export async function deleteArtifact(db: Knex, model: string, id: string): Promise<void> {
  await db('oidc_artifacts').where({ model, id }).delete();
}

/** Everything that hangs on a grant. Locked in one order first: several of these run at once, and must not wait for each other. */
export async function deleteByGrant(db: Knex, grant_id: string): Promise<void> {
  await db.raw(
    `delete from oidc_artifacts where (model, id) in (
       select model, id from oidc_artifacts where grant_id = ? order by model, id for update)`,
    [grant_id],
  );
}

export type GrantRow = { id: string; payload_sealed: string; client_id: string; created_at: Date; last_used_at: Date };

/** A grant is as old as its last token; one whose tokens are all gone is not shown. */
export async function grantsOfSubject(db: Knex, subject_id: string): Promise<GrantRow[]> {
  const { rows } = await db.raw(
    `select g.id, g.payload_sealed, g.client_id, g.created_at, max(t.created_at) as last_used_at
       from oidc_artifacts g
       join oidc_artifacts t on t.grant_id = g.id and t.expires_at > now() and t.consumed_at is null
      where g.model = 'Grant' and g.subject_id = ? and g.expires_at > now()
      group by g.model, g.id
      order by last_used_at desc`,
    [subject_id],
  );
  return rows;
}

export async function sessionsOfSubject(
  db: Knex,
  subject_id: string,
): Promise<{ uid: string; created_at: Date; expires_at: Date }[]> {
  return db('oidc_artifacts')
    .select('uid', 'created_at', 'expires_at')
    .where({ model: 'Session', subject_id })
    .andWhere('expires_at', '>', db.fn.now())
    .orderBy('created_at', 'desc');
}

export type EndedArtifact = { model: string; id: string; payload_sealed: string; client_id: string | null };

/** All of a person's, or these, or all but some, or those that began before a moment. */
export type Which = { ids?: string[]; but?: string[]; before?: string };

const which = `subject_id = :subject_id
          and (:ids::text[] is null or id = any (:ids))
          and not (id = any (:but::text[]))
          and (:before::timestamptz is null or created_at <= :before)`;
const bound = (subject_id: string, { ids, but, before }: Which) => ({
  subject_id,
  ids: ids ?? null,
  but: but ?? [],
  before: before ?? null,
});

export async function sessionsAndGrantsOf(db: Knex, subject_id: string, only: Which = {}): Promise<EndedArtifact[]> {
  const { rows } = await db.raw(
    `select model, id, payload_sealed, client_id from oidc_artifacts where ${which} and expires_at > now()`,
    bound(subject_id, only),
  );
  return rows;
}

export async function sessionOfSubject(
  db: Knex,
  subject_id: string,
  uid: string,
): Promise<{ id: string; payload_sealed: string } | undefined> {
  return db('oidc_artifacts').where({ model: 'Session', subject_id, uid }).first('id', 'payload_sealed');
}

/** Sessions, grants and all that hangs on them. Returns the grants. */
export async function deleteOfSubject(db: Knex, subject_id: string, only: Which = {}): Promise<string[]> {
  const { rows } = await db.raw(
    `with gone as (
       delete from oidc_artifacts where ${which}
       returning model, id
     ), tokens as (
       delete from oidc_artifacts t using gone where gone.model = 'Grant' and t.grant_id = gone.id
     )
     select id from gone where model = 'Grant'`,
    bound(subject_id, only),
  );
  return rows.map((row: { id: string }) => row.id);
}

/**
 * One batch of what has expired; and of grants older than any token of theirs can be, whose tokens are gone (a mini-program
 * makes one at each sign-in). Returns how many rows went and which of them were grants.
 */
export async function deleteExpired(db: Knex, batch: number): Promise<{ count: number; grants: string[] }> {
  const { rows } = await db.raw(
    `delete from oidc_artifacts where ctid = any(array(
       select ctid from oidc_artifacts where expires_at < now() limit :batch))
     returning model, id`,
    { batch },
  );
  const { rows: empty } = await db.raw(
    `delete from oidc_artifacts where ctid = any(array(
       select g.ctid from oidc_artifacts g
        where g.model = 'Grant' and g.created_at < now() - interval '31 days'
          and not exists (select from oidc_artifacts t where t.grant_id = g.id)
        limit :batch))
     returning model, id`,
    { batch },
  );
  const gone: { model: string; id: string }[] = [...rows, ...empty];
  return { count: gone.length, grants: gone.filter(({ model }) => model === 'Grant').map(({ id }) => id) };
}

export type ClientMetadata = {
  redirect_uris: string[];
  /** Of pages that use a public client without a redirect. */
  origins?: string[];
  post_logout_redirect_uris: string[];
  grant_types: string[];
  response_types: string[];
  token_endpoint_auth_method: 'none' | 'client_secret_basic' | 'client_secret_post' | 'private_key_jwt';
  application_type: 'web' | 'native';
  id_token_signed_response_alg: 'RS256' | 'ES256';
  scope?: string | undefined;
  client_uri?: string | undefined;
  backchannel_logout_uri?: string | undefined;
  backchannel_logout_session_required?: boolean | undefined;
  policy_uri?: string | undefined;
  jwks?: { keys: Record<string, unknown>[] } | undefined;
};
export type ClientRow = {
  client_id: string;
  name: string;
  party: 'first' | 'third';
  metadata: ClientMetadata;
  secret_sealed: string | null;
  methods: string[];
  appid: string | null;
  channel: string | null;
  api_scopes: string[];
  require_pkce: boolean;
  is_enabled: boolean;
  source: string;
  created_at: Date;
};

export async function findClient(db: Knex, client_id: string): Promise<ClientRow | undefined> {
  return db('clients').where({ client_id, is_enabled: true }).first();
}

/** Of a disabled one too. */
export async function hasSecret(db: Knex, client_id: string): Promise<boolean> {
  return (await db('clients').where({ client_id }).whereNotNull('secret_sealed').first('client_id')) !== undefined;
}

export async function allClients(db: Knex): Promise<ClientRow[]> {
  return db('clients').select().orderBy('created_at').orderBy('client_id');
}

/** Without a new secret the old one stays. */
export async function saveClient(db: Knex, client: Omit<ClientRow, 'created_at'>): Promise<void> {
  const row = { ...client, metadata: JSON.stringify(client.metadata) };
  const { secret_sealed, ...rest } = row;
  await db('clients')
    .insert(row)
    .onConflict('client_id')
    .merge(secret_sealed === null ? rest : row);
}

export async function disableClients(db: Knex, source: string): Promise<void> {
  await db('clients').where({ source, is_enabled: true }).update({ is_enabled: false });
}

export type KeyRow = { kid: string; alg: string; public_jwk: Record<string, unknown>; private_sealed: string };

/** Those that sign first: unretired before retiring, new before old. */
export async function publishedKeys(db: Knex): Promise<KeyRow[]> {
  const { rows } = await db.raw(
    `select kid, alg, public_jwk, private_sealed from signing_keys
      where retires_at is null or retires_at > now()
      order by retires_at is not null, created_at desc, kid`,
  );
  return rows;
}

/** Two first starts at once make one set of keys: the lock ends with the transaction. */
export async function lockKeys(trx: Knex.Transaction): Promise<void> {
  await trx.raw(`select pg_advisory_xact_lock(hashtextextended('signing_keys', 1))`);
}

export async function saveKey(db: Knex, key: KeyRow): Promise<void> {
  await db('signing_keys').insert({ ...key, public_jwk: JSON.stringify(key.public_jwk) });
}
