/** Work in the background: months ahead of time, old months to the archive, held events to their people, and what has had its time. */
import type { Knex } from 'knex';
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import type { Database } from '../database.ts';
import type { Jobs } from '../jobs.ts';
import type { Logger } from '../log.ts';
import { archiveOldMonths } from './archive.ts';
import { settleLookbacks } from './bind.ts';
import { removeUnused } from './contexts.ts';
import { claimHeld, dropUnclaimed } from './held.ts';
import { deleteOldRejections } from './rejections.ts';
import { countForPlanning, ensurePartition } from './store.ts';

export function handleEventJobs({
  db,
  clock,
  log,
  jobs,
  config,
}: {
  db: Database;
  clock: Clock;
  log: Logger;
  jobs: Jobs;
  config: Pick<Config, 'events'>;
}): void {
  jobs.handle('events.partition', () => preparePartitions(db, clock), { cron: '17 3 * * *' });
  const removed = (trx: Knex.Transaction, until: Date) =>
    jobs.send('events.removed', { until: until.toISOString() }, trx);
  jobs.handle('events.archive', async () => void (await archiveOldMonths({ db, clock, log, removed }, config.events)), {
    cron: '37 3 * * *',
  });
  jobs.handle('events.claim_held', () => claimAllHeld(db), { cron: '* * * * *' });
  jobs.handle('bindings.settle', () => settleAllLookbacks(db), { cron: '* * * * *' });
  jobs.handle('events.analyze', () => countForPlanning(db), { cron: '11 * * * *' });
  jobs.handle('events.tidy', () => tidyEvents(db, log), { cron: '41 * * * *' });
}

/** This month and the two after it. A month that is missing all the same is made by the first event that needs it. */
export async function preparePartitions(db: Knex, clock: Clock): Promise<void> {
  const now = clock.now();
  for (const ahead of [0, 1, 2]) {
    await ensurePartition(db, new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + ahead, 1)));
  }
}

/**
 * Called when a sign-in gave a person an identity: a server's events about them may have been waiting. It never fails the
 * sign-in, whose proof is spent by now: the job below does it within a minute.
 */
export async function claimHeldEvents({ db, log }: { db: Knex; log: Logger }, sub: string): Promise<number> {
  try {
    return await claimHeld(db, sub);
  } catch (error) {
    log.warn({ err: error }, 'events: held events are claimed later');
    return 0;
  }
}

/** The same for everybody: an identity that appeared while its event was being stored was missed by both. */
async function claimAllHeld(db: Knex): Promise<void> {
  while ((await claimHeld(db, null)) > 0);
}

const portion = 1_000;

/** What bindings look back to becomes activity, once; until then it is read through the binding. */
async function settleAllLookbacks(db: Knex): Promise<void> {
  while ((await settleLookbacks(db, portion)) === portion);
}

/** In portions, so that no statement holds locks for long. */
export async function tidyEvents(db: Knex, log: Logger): Promise<void> {
  let dropped = 0;
  for (let n = portion; n === portion; dropped += n) n = await dropUnclaimed(db, portion);
  if (dropped) log.warn({ dropped }, 'events: held for somebody who did not appear within 30 days, dropped');
  for (let n = portion; n === portion; ) n = await deleteOldRejections(db, portion);
  for (let n = portion; n === portion; ) n = await removeUnused(db, portion);
}
