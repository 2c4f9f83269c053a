/** F4: a retry is harmless. */
import { describe, expect, it } from 'vitest';
import { preparePartitions } from '../../src/events/jobs.ts';
import { testDatabase } from '../helpers/database.ts';
import {
  addSubject,
  anotherPool,
  basic,
  clientKey,
  eventRows,
  eventsApp,
  movableClock,
  openKey,
  seedKeys,
  serverKey,
} from './harness.ts';

const { db, url } = await testDatabase();
await seedKeys(db);
const apps = await Promise.all([eventsApp(anotherPool(url)), eventsApp(anotherPool(url))]);
const [one] = apps;
const lily = await addSubject(db);

const event = (messageId: string, more: Record<string, unknown> = {}) => ({
  type: 'track',
  event: 'a',
  anonymousId: 'anon',
  messageId,
  ...more,
});
type App = (typeof apps)[number];
const post = (app: App | undefined, batch: unknown[], key = clientKey) => app?.send('/v1/batch', { batch }, basic(key));
const count = async (messageId: string) => (await eventRows(db, { message_id: messageId })).length;

describe('F4: the same message id from the same source', () => {
  it('a thousand times, in parallel, over two processes: stored once, first wins, each time 200', async () => {
    const id = crypto.randomUUID();
    await post(one, [event(id, { properties: { n: 'first' } })]);
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, n) =>
        post(
          apps[n % 2],
          Array.from({ length: 10 }, () => event(id, { properties: { n } })),
        ),
      ),
    );
    for (const answer of answers) expect([200, 429]).toContain(answer?.status);
    expect((await eventRows(db, { message_id: id })).map(({ properties }) => properties)).toEqual([{ n: 'first' }]);
  });

  it('new, in parallel over two processes, in batches that overlap in every order: each once, no deadlock', async () => {
    const ids = Array.from({ length: 60 }, () => crypto.randomUUID());
    const shuffled = () =>
      ids
        .map((id) => [Math.random(), id] as const)
        .sort()
        .map(([, id]) => id);
    const batches = Array.from({ length: 40 }, () =>
      shuffled()
        .slice(0, 40)
        .map((id) => event(id, { userId: lily })),
    );
    const answers = await Promise.all(batches.map((batch, n) => post(apps[n % 2], batch, serverKey)));
    expect(new Set(answers.map((answer) => answer?.status))).toEqual(new Set([200]));
    const rows = await db('recorded_events').whereIn('message_id', ids).select('message_id');
    expect(rows).toHaveLength(ids.length);
    const activity = await db('subject_activity').where({ subject_id: lily }).sum('n as n').first();
    expect(Number(activity?.n)).toBe(ids.length);
  });

  it('after a restart', async () => {
    const id = crypto.randomUUID();
    await post(one, [event(id)]);
    const restarted = await eventsApp(anotherPool(url));
    expect((await post(restarted, [event(id)]))?.status).toBe(200);
    expect(await count(id)).toBe(1);
  });

  it('25 hours and 29 days later, also in another month; 31 days later it is another event', async () => {
    const start = Date.parse('2027-01-20T12:00:00Z');
    const later = async (ms: number, id: string) => {
      const app = await eventsApp(db, { clock: movableClock(new Date(start + ms).toISOString()) });
      expect((await post(app, [event(id)]))?.status).toBe(200);
    };
    const id = crypto.randomUUID();
    for (const hours of [0, 25, 11 * 24, 12 * 24, 29 * 24]) await later(hours * 3_600_000, id);
    expect(await count(id)).toBe(1);
    await later(31 * 86_400_000, id);
    expect(await count(id)).toBe(2);
  });

  it('by a process whose clock is behind, in the month before', async () => {
    const id = crypto.randomUUID();
    for (const at of ['2027-05-01T00:01:00Z', '2027-04-30T23:59:00Z']) {
      await post(await eventsApp(db, { clock: movableClock(at) }), [event(id)]);
    }
    expect(await count(id)).toBe(1);
  });

  it('at the turn of a month, in parallel over two processes whose clocks differ by it', async () => {
    const before = await eventsApp(anotherPool(url), { clock: movableClock('2027-07-31T23:59:59.900Z') });
    const after = await eventsApp(anotherPool(url), { clock: movableClock('2027-08-01T00:00:00.100Z') });
    const ids = Array.from({ length: 20 }, () => crypto.randomUUID());
    await Promise.all(ids.flatMap((id) => [post(before, [event(id)]), post(after, [event(id)])]));
    const rows = await db('recorded_events').whereIn('message_id', ids).select('message_id');
    expect(rows.map(({ message_id }) => message_id).sort()).toEqual(ids.sort());
  });
});

describe('another source', () => {
  it('may use the same message id: a public key must not be able to suppress a server’s event', async () => {
    const id = crypto.randomUUID();
    for (const key of [clientKey, openKey, serverKey]) await post(one, [event(id)], key);
    expect(await count(id)).toBe(3);
  });
});

describe('partitions', () => {
  it('are there for this month and the two after it, made by any number of processes at once', async () => {
    const clock = movableClock('2030-11-15T00:00:00Z');
    await Promise.all(Array.from({ length: 6 }, () => preparePartitions(anotherPool(url), clock)));
    for (const name of ['events_2030_11', 'events_2030_12', 'events_2031_01']) {
      const { rows } = await db.raw('select to_regclass(?) as found', [name]);
      expect(rows[0].found).toBe(name);
    }
  });

  it('that are missing are made by the first event, in parallel too', async () => {
    const clock = movableClock('2031-06-15T00:00:00Z');
    const app = await eventsApp(db, { clock });
    const ids = Array.from({ length: 10 }, () => crypto.randomUUID());
    const answers = await Promise.all(ids.map((id) => post(app, [event(id)])));
    expect(new Set(answers.map((answer) => answer?.status))).toEqual(new Set([200]));
    expect(await db('events_2031_06').count()).toEqual([{ count: 10 }]);
    const { rows } = await db.raw("select indexdef from pg_indexes where tablename = 'events_2031_06'");
    expect(rows).toHaveLength(4);
  });
});

describe('the search for known message ids', () => {
  it('reads no month through, not even one that was empty when it was planned', async () => {
    const clock = movableClock('2033-02-10T00:00:00Z');
    await preparePartitions(db, clock);
    await db.raw('analyze');
    const single = anotherPool(url, 1);
    const app = await eventsApp(single, { clock });
    const scans = async () => {
      const { rows } = await single.raw(`
        select seq_tup_read as n, pg_stat_force_next_flush() from pg_stat_user_tables where relname = 'events_2033_02'`);
      return rows[0].n;
    };
    const before = await scans();
    for (let n = 0; n < 8; n++)
      await post(
        app,
        Array.from({ length: 50 }, () => event(crypto.randomUUID())),
      );
    await scans();
    expect((await scans()) - before).toBe(0);
  });
});

describe('durability', () => {
  it('waits for the disk where the database by default does not', async () => {
    const { rows } = await db.raw('show synchronous_commit');
    expect(rows[0].synchronous_commit).toBe('off');
    await db.raw(`
      create table seen_setting (value text);
      create function note_setting() returns trigger language plpgsql as
        $$ begin insert into seen_setting values (current_setting('synchronous_commit')); return null; end $$;
      create constraint trigger note_setting after insert on subject_activity deferrable initially deferred
        for each row execute function note_setting();`);
    await post(one, [event(crypto.randomUUID(), { userId: lily })], serverKey);
    expect(await db('seen_setting')).toEqual([{ value: 'on' }]);
    expect((await db.raw('show synchronous_commit')).rows[0].synchronous_commit).toBe('off');
  });

  it('is asked for by prepared statements', async () => {
    const single = anotherPool(url, 1);
    const app = await eventsApp(single);
    await post(app, [event(crypto.randomUUID())]);
    const { rows } = await single.raw("select name from pg_prepared_statements where name like 'events%' order by 1");
    expect(rows).toEqual([{ name: 'events.ask' }, { name: 'events.quota' }]);
  });
});
