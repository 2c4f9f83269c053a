/** Whether a person may sign in: suspending somebody and taking it back. A suspended one is refused everywhere from the commit on. */
import type { Knex } from 'knex';
import { inTransaction } from '../database.ts';
import { fail } from '../errors.ts';
import { publish } from '../outbox.ts';
import { type Actor, endEverywhere, recordFor, type SendJobs } from './actor.ts';
import { isStaff, lockSubjects, readSubject, setStatus } from './store.ts';

export type Standing = 'active' | 'suspended';

/**
 * Setting what is set already changes nothing. Somebody who works in the console is suspended there, by taking the role first.
 * @throws not_found | conflict
 */
export async function setStanding(
  { db, jobs }: { db: Knex; jobs: SendJobs },
  { sub, status, reason, actor }: { sub: string; status: Standing; reason: string; actor: Actor },
): Promise<{ sub: string; status: Standing }> {
  return inTransaction(db, async (trx) => {
    await lockSubjects(trx, [sub]);
    const row = await readSubject(trx, sub);
    if (!row || row.subject_id !== sub) throw fail('not_found');
    if (row.status === status) return { sub, status };
    if (row.status === 'deleted') throw fail('conflict', { message: 'A deleted person does not come back.' });
    if (status === 'suspended' && (await isStaff(trx, [sub])))
      throw fail('conflict', { message: 'This person works in the console: take the role first.' });
    await setStatus(trx, sub, status);
    const action = status === 'suspended' ? 'subject.suspended' : 'subject.reinstated';
    await recordFor(trx, actor, { action, subject_id: sub, details: { reason } });
    await publish(trx, { topic: action, subject_id: sub, payload: { reason } });
    if (status === 'suspended') await endEverywhere({ trx, jobs }, { sub });
    return { sub, status };
  });
}
