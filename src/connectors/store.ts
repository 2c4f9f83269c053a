/** The tables connectors, one_time_codes and wechat_access_tokens. */
import type { Knex } from 'knex';
import type { Database } from '../database.ts';
import { fail } from '../errors.ts';
import type { Purpose } from './contract.ts';

export type ConnectorRow = {
  id: string;
  connector: string;
  settings_sealed: string;
  is_enabled: boolean;
  source: 'operator' | 'sandbox';
  updated_at: Date;
};

export type CodeRow = {
  id: string;
  channel: string;
  recipient_hash: string;
  recipient_sealed: string;
  purpose: Purpose;
  binding_hash: string;
  code_hash: string;
  tries: number;
  created_at: Date;
  expires_at: Date;
  spent_at: Date | null;
};

export type AccessTokenRow = { appid: string; token_sealed: string; fetched_at: Date; expires_at: Date };

declare module 'knex/types/tables.js' {
  interface Tables {
    connectors: ConnectorRow;
    one_time_codes: CodeRow;
    wechat_access_tokens: AccessTokenRow;
  }
}

// Configured connectors

export async function readConnector(db: Database, id: string): Promise<ConnectorRow | undefined> {
  return db('connectors').where({ id, is_enabled: true }).first();
}

export async function listConnectors(db: Database): Promise<Pick<ConnectorRow, 'id' | 'connector'>[]> {
  return db('connectors').select('id', 'connector').where({ is_enabled: true });
}

/** With their settings, sealed, in the order of their ids. */
export async function enabledConnectors(db: Database): Promise<ConnectorRow[]> {
  return db('connectors').where({ is_enabled: true }).orderBy('id');
}

/** Disabled ones too. */
export async function allConnectors(db: Database): Promise<ConnectorRow[]> {
  return db('connectors').orderBy('id');
}

/** Held to the end of the transaction, so that what is recorded as changed is what changed. */
export async function lockConnector(trx: Knex.Transaction, id: string): Promise<ConnectorRow | undefined> {
  return trx('connectors').where({ id }).forUpdate().first();
}

export async function disableRow(trx: Knex.Transaction, id: string): Promise<void> {
  await trx('connectors').where({ id }).update({ is_enabled: false, updated_at: trx.fn.now() });
}

export async function saveConnector(
  db: Database,
  row: Pick<ConnectorRow, 'id' | 'connector' | 'settings_sealed' | 'source'>,
): Promise<void> {
  // One statement, so that two starts at once cannot meet: what an operator has set and enabled is not replaced by the sandbox.
  await db.raw(
    `insert into connectors (id, connector, settings_sealed, source)
     values (:id, :connector, :settings_sealed, :source)
     on conflict (id) do update
       set connector = excluded.connector,
           settings_sealed = excluded.settings_sealed,
           source = excluded.source,
           is_enabled = true,
           updated_at = now()
     where excluded.source = 'operator' or connectors.source = 'sandbox' or not connectors.is_enabled`,
    row,
  );
}

export async function disableSandboxConnectors(db: Database): Promise<void> {
  await db('connectors').where({ source: 'sandbox', is_enabled: true }).update({ is_enabled: false });
}

// One-time codes

export type NewCode = Pick<
  CodeRow,
  'id' | 'channel' | 'recipient_hash' | 'recipient_sealed' | 'purpose' | 'binding_hash' | 'code_hash'
>;

export async function insertCode(db: Database, code: NewCode, ttlSeconds: number): Promise<void> {
  // Expiry is set and read by the database's clock (threat B5).
  await db.raw(
    `insert into one_time_codes
       (id, channel, recipient_hash, recipient_sealed, purpose, binding_hash, code_hash, expires_at)
     values
       (:id, :channel, :recipient_hash, :recipient_sealed, :purpose, :binding_hash, :code_hash,
        now() + make_interval(secs => :ttlSeconds))`,
    { ...code, ttlSeconds },
  );
}

export async function deleteCode(db: Database, id: string): Promise<void> {
  await db('one_time_codes').where({ id }).delete();
}

/** Whose guess it is; a row is only ever touched by the browser and for the purpose that asked for it. */
export type CodeOwner = Pick<CodeRow, 'id' | 'channel' | 'purpose' | 'binding_hash'>;

export async function tryCode(
  db: Database,
  guess: CodeOwner & Pick<CodeRow, 'code_hash'>,
  triesAllowed: number,
): Promise<Pick<CodeRow, 'tries' | 'spent_at' | 'recipient_sealed'> | undefined> {
  // Counting, comparing and spending are one statement: parallel guesses queue on the row, and each sees the count the one before
  // it left, so never more than the allowed tries are compared (B2) and a right code succeeds once (B3). A later code to the same
  // recipient for the same purpose and binding ends this one.
  const { rows } = await db.raw(
    `update one_time_codes as code
        set tries = tries + 1,
            spent_at = case when code_hash = :code_hash then now() end
      where id = :id and channel = :channel and purpose = :purpose and binding_hash = :binding_hash
        and spent_at is null and tries < :triesAllowed and expires_at > now()
        and not exists (
          select from one_time_codes as later
           where later.recipient_hash = code.recipient_hash and later.purpose = code.purpose
             and later.binding_hash = code.binding_hash and (later.created_at, later.id) > (code.created_at, code.id))
      returning tries, spent_at, recipient_sealed`,
    { ...guess, triesAllowed },
  );
  return rows[0];
}

export async function readTries(
  db: Database,
  owner: CodeOwner,
): Promise<Pick<CodeRow, 'tries' | 'spent_at'> | undefined> {
  return db('one_time_codes').select('tries', 'spent_at').where(owner).first();
}

export async function purgeCodes(db: Database): Promise<void> {
  // A few at a time by whoever sends the next code, skipping what another process is at: no scheduler, no pile, no deadlock.
  await db.raw(
    `delete from one_time_codes where id in (
       select id from one_time_codes where expires_at < now() - interval '1 hour' limit 100 for update skip locked)`,
  );
}

// WeChat's app tokens

export type StoredToken = { token_sealed: string; is_fresh: boolean; expires_in: number };

export async function readAccessToken(
  db: Database | Knex.Transaction,
  appid: string,
): Promise<StoredToken | undefined> {
  // Fresh until two minutes before the end, or until half of a shorter remaining life: a request that starts with the token must
  // also be able to end with it.
  const { rows } = await db.raw(
    `select token_sealed, floor(extract(epoch from expires_at - now()))::integer as expires_in,
            now() < expires_at - least(interval '2 minutes', (expires_at - fetched_at) / 2) as is_fresh
       from wechat_access_tokens where appid = :appid and expires_at > now()`,
    { appid },
  );
  return rows[0];
}

/**
 * Waits until no other process is fetching this app's token; held to the end of the transaction.
 * @throws upstream_unavailable when the other one does not get its answer either
 */
export async function lockAccessToken(trx: Knex.Transaction, appid: string): Promise<void> {
  // An advisory lock, because on the first fetch there is no row to lock. The holder waits for WeChat for 5 s at most.
  await trx.raw(`set local lock_timeout = '7s'`);
  await trx
    .raw(`select pg_advisory_xact_lock(hashtextextended('wechat_access_tokens ' || cast(:appid as text), 0))`, {
      appid,
    })
    .catch((error: { code?: string }) => {
      throw error.code === '55P03' ? fail('upstream_unavailable', { cause: error, retryAfterSeconds: 5 }) : error;
    });
}

export async function saveAccessToken(
  trx: Knex.Transaction,
  token: { appid: string; token_sealed: string; expiresIn: number },
): Promise<void> {
  // clock_timestamp(), not now(): the transaction began before the wait for the lock and for WeChat.
  await trx.raw(
    `insert into wechat_access_tokens (appid, token_sealed, fetched_at, expires_at)
     values (:appid, :token_sealed, clock_timestamp(), clock_timestamp() + make_interval(secs => :expiresIn))
     on conflict (appid) do update
       set token_sealed = excluded.token_sealed, fetched_at = excluded.fetched_at, expires_at = excluded.expires_at`,
    token,
  );
}

/** Forgets the token WeChat refused, unless another process has replaced it meanwhile. */
export async function dropAccessToken(db: Database, appid: string, tokenSealed: string): Promise<void> {
  await db('wechat_access_tokens').where({ appid, token_sealed: tokenSealed }).delete();
}
