/** The durable write with what can go wrong around it: a month nobody prepared, two months meeting, a database that asks to try again. */
import type { Knex } from 'knex';
import type { Database } from '../database.ts';
import { addActivity } from './activity.ts';
import { boundSql, seenSql } from './bind.ts';
import { holdSql } from './held.ts';
import { storableJson } from './storable.ts';
import { type EventRow, ensurePartition, lockSource, storedSql } from './store.ts';

const tries = 4;
/** Serialisation failure and deadlock: PostgreSQL gave up one transaction for another, and asks for it again. */
const again = new Set(['40001', '40P01']);

export async function storeOnce(db: Database, input: StoreInput): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await storeWithin(db, input);
    } catch (error) {
      const { code, message } = error as { code?: string; message?: string };
      const noPartition = code === '23514' && message?.includes('no partition');
      if (attempt === tries || !(noPartition || again.has(code ?? ''))) throw error;
      if (noPartition) await ensurePartition(db, input.received_at);
    }
  }
}

const nearMs = 5 * 60_000;

/**
 * One message id is unique within a month by index, across months by a look-up that does not see what another process is just
 * storing. So for some minutes around the change of month the batches of one source go one after the other.
 */
async function storeWithin(db: Database, input: StoreInput): Promise<number> {
  const at = input.received_at.getTime();
  const month = (time: number) => new Date(time).getUTCMonth();
  if (month(at - nearMs) === month(at + nearMs)) return storeEvents(db, input);
  return db.transaction(async (trx: Knex.Transaction) => {
    await lockSource(trx, input.source_id);
    return storeEvents(trx, input);
  });
}

/**
 * Stores a batch once and durably, in one statement and one round trip:
 *
 *   batch     the rows, as one JSON text (twice as fast as an array a column: the driver quotes nothing, PostgreSQL parses once)
 *   bound     which of them a bound anonymous id gives a subject, by the moment they happened
 *   known     message ids that this source used in another month
 *   stored    the others
 *   activity  what the profiles of their subjects have to count
 *   seen      keeps the bindings that were used from idling out
 *   held      those that wait for their person
 *
 * An answer of 200 follows this commit: a database whose default is not to wait for the disk is told to wait. A stricter default stays.
 */
const storeSql = (holding: boolean) => `
  with durable as materialized (
    select case when current_setting('synchronous_commit') = 'off' then set_config('synchronous_commit', 'on', true) end
  ), batch as (
    select r.*, to_timestamp(r."timestamp" / 1000.0) as at from durable, json_to_recordset(:rows::json) as r (
      id uuid, "timestamp" float8, original_timestamp float8, subject_id uuid, counts boolean, is_attributable boolean,
      message_id text, type text, event text, original_event text, channel text, trust text, anonymous_id text,
      claimed_user_id text, consents text[], properties jsonb, context jsonb${holding ? ', held json' : ''})
  ), ${boundSql},
  ${storedSql},
  activity as (${addActivity('stored')}
  ), ${seenSql}${holding ? `, ${holdSql}` : ''}
  select count(*) as n from stored`;
const storeOnly = storeSql(false);
const storeAndHold = storeSql(true);

export type StoreInput = { source_id: number; received_at: Date; rows: EventRow[] };

/** How many were new. The statement is prepared once a connection: planning it takes longer than running it. */
export async function storeEvents(db: Knex, { source_id, received_at, rows }: StoreInput): Promise<number> {
  const [year, month] = [received_at.getUTCFullYear(), received_at.getUTCMonth()];
  const holding = rows.some((row) => row.held !== undefined);
  const { rows: answer } = await db
    .raw(holding ? storeAndHold : storeOnly, {
      rows: storableJson(rows),
      received_at,
      source_id,
      month: new Date(Date.UTC(year, month)),
      next_month: new Date(Date.UTC(year, month + 1)),
    })
    .options({ name: holding ? 'events.store_and_hold' : 'events.store' })
    .timeout(10_000);
  return answer[0].n;
}
