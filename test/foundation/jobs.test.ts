import { describe, expect, it } from 'vitest';
import { createJobs } from '../../src/jobs.ts';
import { createLogger } from '../../src/log.ts';
import { testDatabase } from '../helpers/database.ts';

const { db, url } = await testDatabase();
const log = createLogger({ level: 'silent' });

describe('jobs', () => {
  it('exist exactly when the transaction that asked for them committed, and run once over two processes', async () => {
    const ran: unknown[] = [];
    const processes = [1, 2].map(() => createJobs({ url, log, work: true }));
    for (const jobs of processes) jobs.handle('test.run', async (data) => void ran.push(data));
    await Promise.all(processes.map((jobs) => jobs.start()));
    const [jobs] = processes;
    await db.transaction((trx) => jobs?.send('test.run', { n: 'committed' }, trx) ?? Promise.resolve());
    await db
      .transaction(async (trx) => {
        await jobs?.send('test.run', { n: 'rolled back' }, trx);
        throw new Error('no');
      })
      .catch(() => {});
    await jobs?.send('test.run', { n: 'alone' });
    await expect.poll(() => ran.length, { timeout: 10_000 }).toBe(2);
    await Promise.all(processes.map((each) => each.stop()));
    expect(ran).toEqual(expect.arrayContaining([{ n: 'committed' }, { n: 'alone' }]));
    expect(ran).toHaveLength(2);
  });

  it('that are sent while the process starts, or that no handler knows yet, are not lost', async () => {
    const ran: unknown[] = [];
    const early = createJobs({ url, log, work: false });
    await early.send('test.early', { n: 1 });
    const later = createJobs({ url, log, work: true });
    later.handle('test.early', async (data) => void ran.push(data));
    await later.start();
    await expect.poll(() => ran, { timeout: 10_000 }).toEqual([{ n: 1 }]);
    await Promise.all([early.stop(), later.stop()]);
  });

  it('that a former version did by the clock are not made any more', async () => {
    const start = async (names: string[]) => {
      const jobs = createJobs({ url, log, work: true });
      for (const name of names) jobs.handle(name, async () => {}, { cron: '0 0 1 1 *' });
      await jobs.start();
      await jobs.stop();
      const { rows } = await db.raw('select name from pgboss.schedule order by name');
      return rows.map(({ name }: { name: string }) => name);
    };
    expect(await start(['test.kept', 'test.replaced'])).toEqual(['test.kept', 'test.replaced']);
    expect(await start(['test.kept'])).toEqual(['test.kept']);
  });

  it('come in bursts without a queue building up, and one that fails takes no other with it', async () => {
    const ran: number[] = [];
    const tries = { n: 0 };
    const jobs = createJobs({ url, log, work: true });
    jobs.handle('test.burst', async (data) => {
      const { n } = data as { n: number };
      if (n === 3 && tries.n++ === 0) throw new Error('not this time');
      ran.push(n);
    });
    await jobs.start();
    for (let n = 0; n < 60; n++) await jobs.send('test.burst', { n });
    // One at a time, every two seconds, would take two minutes.
    await expect.poll(() => ran.filter((n) => n !== 3).length, { timeout: 15_000 }).toBe(59);
    expect(new Set(ran.filter((n) => n !== 3)).size).toBe(59);
    await jobs.stop();
  });
});
