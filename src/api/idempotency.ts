/**
 * Writes that may be repeated: the same Idempotency-Key of the same client within a day has one effect and one answer, however
 * often and from however many processes it arrives.
 *
 * Key, effect and answer are one transaction. A write that failed leaves no key behind, so the same key may try again; a
 * process killed half-way leaves nothing at all.
 */
import type { Knex } from 'knex';
import { z } from 'zod';
import type { Database } from '../database.ts';
import { fail } from '../errors.ts';
import type { Caller } from '../http/routes.ts';
import type { Jobs } from '../jobs.ts';
import type { Seal } from '../seal.ts';
import { deleteExpiredKeys, keepAnswer, readDone, takeKey } from './store.ts';

export const idempotencyHeaders = z.object({
  'idempotency-key': z
    .string()
    .regex(/^[\x21-\x7e]{1,255}$/, 'must be 1 to 255 visible ASCII characters')
    .optional()
    .meta({
      description:
        'Any unique text, a UUID say. The same key again within 24 hours has no second effect and gets the first answer; with another request it is refused.',
    }),
});

export type Write = {
  caller: Caller;
  /** operationId: the same key on another operation is another request. */
  operation: string;
  body: unknown;
  headers: z.output<typeof idempotencyHeaders>;
};

const context = 'idempotency_keys';

/** @throws idempotency_key_reused and what the effect throws */
export async function writeOnce<Answer>(
  { db, seal }: { db: Database; seal: Seal },
  { caller, operation, body, headers }: Write,
  effect: (trx: Knex.Transaction) => Promise<Answer>,
): Promise<Answer> {
  const name = headers['idempotency-key'];
  if (name === undefined) return db.transaction(effect);
  const key = {
    client_id: caller.client_id,
    key_hash: seal.hash(name, 'idempotency key'),
    request_hash: seal.hash(JSON.stringify([operation, body]), 'idempotency request'),
  };
  return db.transaction(async (trx) => {
    if (!(await takeKey(trx, key))) {
      const done = await readDone(trx, key);
      if (done?.request_hash !== key.request_hash) throw fail('idempotency_key_reused');
      return JSON.parse(seal.open(done.answer_sealed, context)) as Answer;
    }
    const answer = await effect(trx);
    await keepAnswer(trx, key, seal.seal(JSON.stringify(answer), context));
    return answer;
  });
}

/** Expired keys have no effect any more; this keeps the table small. */
export function handleApiJobs({ db, jobs }: { db: Database; jobs: Pick<Jobs, 'handle'> }): void {
  jobs.handle('idempotency_key.purge', async () => void (await deleteExpiredKeys(db)), { cron: '23 * * * *' });
}
