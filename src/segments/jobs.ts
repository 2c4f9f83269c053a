/** What segments do when a job tells them of something; what they do all the time is worker.ts. */
import { z } from 'zod';
import type { Clock } from '../clock.ts';
import type { Database } from '../database.ts';
import type { Jobs } from '../jobs.ts';
import { rebuildSeeing } from './build.ts';

const removal = z.object({ until: z.iso.datetime().transform((text) => new Date(text)) });

export function handleSegmentJobs({ db, clock, jobs }: { db: Database; clock: Clock; jobs: Jobs }): void {
  jobs.handle('events.removed', async (data) => {
    const { until } = removal.parse(data);
    await db.transaction((trx) => rebuildSeeing(trx, { clock }, until));
  });
}
