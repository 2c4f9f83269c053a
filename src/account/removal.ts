/**
 * Taking a way of signing in away.
 *
 *   signed in a moment ago by that very one   gone at once
 *   by another one                            gone after three days, the person told everywhere; kept when somebody signs in by it
 *                                             meanwhile, or says so on the account page
 *
 * A number that somebody took over (a swapped SIM, a lost phone) therefore cannot shut out the person who still has the WeChat or the
 * mailbox (threat B20), and a person who has lost one can still get rid of it. The last way in stays (D10).
 */
import type { Knex } from 'knex';
import { inTransaction } from '../database.ts';
import { AppError, fail } from '../errors.ts';
import type { Jobs } from '../jobs.ts';
import type { Logger } from '../log.ts';
import type { Seal } from '../seal.ts';
import { notify, recordFor, type SendJobs } from '../subjects/actor.ts';
import { maskIdentity } from '../subjects/identity-key.ts';
import { unlinkIdentity } from '../subjects/link.ts';
import { identitiesOf } from '../subjects/subjects.ts';
import type { Method } from './methods.ts';
import { deleteRemovals, insertRemoval, takeDueRemoval } from './store.ts';
import type { Visit } from './visit.ts';

export const waitingDays = 3;

type Services = { db: Knex; seal: Seal; jobs: SendJobs };

/** All of a method or nothing. @throws not_found | last_identity */
export async function removeNow({ db, seal, jobs }: Services, { sub, actor }: Visit, method: Method): Promise<void> {
  await inTransaction(db, async (trx) => {
    for (const { id } of method.identities)
      await unlinkIdentity({ db: trx, seal, jobs }, { sub, identity_id: id, actor, reason: 'removed_by_person' });
  });
}

/** @throws last_identity */
export async function askRemoval(
  { db, jobs }: Services,
  { sub, actor }: Visit,
  { method, others }: { method: Method; others: number },
): Promise<void> {
  const [first] = method.identities;
  if (!first) return;
  if (!others) throw fail('last_identity');
  const { kind } = first;
  await inTransaction(db, async (trx) => {
    for (const { id } of method.identities)
      await insertRemoval(trx, { identity_id: id, subject_id: sub, seconds: waitingDays * 86_400 });
    const details = { identity_ids: method.identities.map(({ id }) => id), kind };
    await recordFor(trx, actor, { action: 'identity.removal_asked', subject_id: sub, details });
    const hint = maskIdentity(kind, first.external_id);
    await notify({ trx, jobs }, { sub, what: 'removal_asked', kind, hint });
  });
}

export async function keep({ db }: Services, { sub, actor }: Visit, { identities }: Method): Promise<void> {
  const ids = identities.map(({ id }) => id);
  await inTransaction(db, async (trx) => {
    if (!(await deleteRemovals(trx, sub, ids))) return;
    await recordFor(trx, actor, {
      action: 'identity.removal_cancelled',
      subject_id: sub,
      details: { identity_ids: ids },
    });
  });
}

type JobServices = { db: Knex; seal: Seal; log: Logger; jobs: Pick<Jobs, 'send' | 'handle'> };

export function handleRemovals(services: JobServices): void {
  services.jobs.handle('account.remove_due', () => removeDue(services), { cron: '*/5 * * * *' });
}

export async function removeDue(
  services: Pick<JobServices, 'db' | 'seal' | 'log'> & { jobs: SendJobs },
): Promise<void> {
  while (await inTransaction(services.db, (trx) => removeOne({ ...services, db: trx }, trx)));
}

async function removeOne(
  { seal, jobs, log }: Pick<JobServices, 'seal' | 'log'> & Services,
  trx: Knex.Transaction,
): Promise<boolean> {
  const due = await takeDueRemoval(trx);
  if (!due) return false;
  const { subject_id: sub, identity_id, asked_at } = due;
  const identity = (await identitiesOf({ db: trx, seal }, sub)).find(({ id }) => id === identity_id);
  // Somebody can still sign in by it: what was asked without it is void (threats B20, D6). Merged away: not this person's any more.
  if (!identity || identity.last_used_at > asked_at) return true;
  const actor = { actor_kind: 'person' as const, actor_id: sub };
  try {
    await unlinkIdentity({ db: trx, seal, jobs }, { sub, identity_id, actor, reason: 'removal_due' });
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    log.info({ identity_id, refused: error.code }, 'account: a removal that was due is void');
  }
  return true;
}
