/**
 * What was recorded about subjects since it was last taken: written with the events, in one transaction, and folded into whatever is
 * kept per subject. Whoever reads before that reads the view `pending_activity` besides.
 */
import type { Knex } from 'knex';
import type { Database } from '../database.ts';
import { type Activity, countLookbacks, takeActivity } from './store.ts';

export type { Activity };

/** Hands over so many rows inside a transaction that keeps what is made of them: taken and kept, or neither. @returns how many were taken */
export async function foldActivity(
  db: Database,
  limit: number,
  keep: (trx: Knex.Transaction, sums: Activity[]) => Promise<void>,
): Promise<number> {
  return db.transaction(async (trx) => {
    const { taken, sums } = await takeActivity(trx, limit);
    if (sums.length) await keep(trx, sums);
    return taken;
  });
}

/** What bindings look back to becomes activity, once. */
export async function settleLookbacks(db: Database, limit: number): Promise<number> {
  return countLookbacks(db, limit);
}
