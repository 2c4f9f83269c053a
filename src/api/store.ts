/** Table idempotency_keys. */
import type { Knex } from 'knex';

export type IdempotencyKey = { client_id: string; key_hash: string; request_hash: string };
export type DoneWrite = { request_hash: string; answer_sealed: string };

/**
 * Takes the key for this transaction. A second transaction with the same key waits here until the first has ended, and then
 * finds it taken (false) or, after a rollback, free. An expired key is free.
 */
export async function takeKey(trx: Knex.Transaction, key: IdempotencyKey): Promise<boolean> {
  const { rowCount } = await trx.raw(
    `insert into idempotency_keys (client_id, key_hash, request_hash) values (?, ?, ?)
     on conflict (client_id, key_hash) do update
        set request_hash = excluded.request_hash, answer_sealed = null, expires_at = excluded.expires_at
      where idempotency_keys.expires_at <= now()`,
    [key.client_id, key.key_hash, key.request_hash],
  );
  return rowCount === 1;
}

export async function readDone(
  trx: Knex.Transaction,
  { client_id, key_hash }: IdempotencyKey,
): Promise<DoneWrite | undefined> {
  return trx('idempotency_keys').select('request_hash', 'answer_sealed').where({ client_id, key_hash }).first();
}

export async function keepAnswer(
  trx: Knex.Transaction,
  { client_id, key_hash }: IdempotencyKey,
  answer_sealed: string,
): Promise<void> {
  await trx('idempotency_keys').where({ client_id, key_hash }).update({ answer_sealed });
}

export async function deleteExpiredKeys(db: Knex): Promise<number> {
  return db('idempotency_keys').where('expires_at', '<=', db.fn.now()).delete();
}
