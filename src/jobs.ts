/**
 * Background work on pg-boss. A job is enqueued inside the caller's transaction, so it exists exactly when the change
 * that asked for it does. Job names are `noun.verb`.
 */
import type { Knex } from 'knex';
import { fromKnex, type Job, type JobResult, PgBoss } from 'pg-boss';
import type { Logger } from './log.ts';

export type JobHandler = (data: unknown) => Promise<void>;

export type Jobs = {
  /** Enqueues one job; with a transaction it becomes visible with its commit. */
  send(name: string, data: object, trx?: Knex.Transaction): Promise<void>;
  /** Registers the handler, and for cron work its schedule (UTC). Called while wiring, before start. */
  handle(name: string, handler: JobHandler, options?: { cron?: string }): void;
  start(): Promise<void>;
  /** Lets running jobs end. */
  stop(): Promise<void>;
};

/**
 * Ten at a time, and at once again while there are more: a burst of merges is told in seconds. The commit that made a job wakes the
 * workers; what woke nobody (a retry, a connection that cannot listen) is found within two seconds.
 */
const working = {
  batchSize: 10,
  burstWhenBatchFull: true,
  perJobResults: true,
  pollingIntervalSeconds: 2,
  notifyPollingIntervalSeconds: 2,
} as const;

export function createJobs({ url, log, work }: { url: string; log: Logger; work: boolean }): Jobs {
  const boss = new PgBoss({
    connectionString: url,
    max: 3,
    application_name: 'heyi-jobs',
    supervise: work,
    schedule: work,
    useListenNotify: work,
  });
  boss.on('error', (error: unknown) => log.error({ err: error }, 'jobs: queue error'));
  const handlers = new Map<string, { handler: JobHandler; cron?: string }>();
  let starting: Promise<unknown> | undefined;
  const running = () => {
    starting ??= boss.start();
    return starting;
  };
  const queues = new Map<string, Promise<void>>();
  /** Also for a job that is sent while the process still starts, or whose handler only a newer version has. */
  const queueOf = async (name: string) => {
    await running();
    const making = queues.get(name) ?? boss.createQueue(name, { notify: true });
    queues.set(name, making);
    making.catch(() => queues.delete(name));
    await making;
  };
  /** The queue tries a failed job again; that it failed is told here, or nobody would hear of it. */
  const settle = async (name: string, handler: JobHandler, { id, data }: Job<unknown>): Promise<JobResult> => {
    try {
      await handler(data);
      return { id, status: 'completed' };
    } catch (error) {
      log.error({ job: name, err: error }, 'jobs: failed');
      return { id, status: 'failed' };
    }
  };
  return {
    handle: (name, handler, options = {}) => void handlers.set(name, { handler, ...options }),
    async send(name, data, trx) {
      await queueOf(name);
      await boss.send(name, data, trx ? { db: fromKnex(trx) } : {});
    },
    async start() {
      await running();
      for (const [name, { handler, cron }] of handlers) {
        await queueOf(name);
        if (!work) continue;
        await boss.work(name, working, (batch) => Promise.all(batch.map((job) => settle(name, handler, job))));
        if (cron) await boss.schedule(name, cron);
      }
      if (!work) return;
      // What a former version did by the clock and this one does otherwise would queue up with nobody to take it.
      for (const { name } of await boss.getSchedules()) if (!handlers.get(name)?.cron) await boss.unschedule(name);
    },
    async stop() {
      if (starting) await boss.stop({ graceful: true, timeout: 10_000 });
    },
  };
}
