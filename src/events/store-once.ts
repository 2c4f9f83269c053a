/** The durable write with what can go wrong around it: a month nobody prepared, two months meeting, a database that asks to try again. */
import type { Knex } from 'knex';
import type { Database } from '../database.ts';
import { ensurePartition, lockSource, type StoreInput, storeEvents } from './store.ts';

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
