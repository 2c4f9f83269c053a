/** Months of events that the company does not keep are written into files, dropped, and can be brought back. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { archiveOldMonths, exportMonth, importEvents } from '../../src/events/archive.ts';
import { tidyEvents } from '../../src/events/jobs.ts';
import { testDatabase } from '../helpers/database.ts';
import {
  addSubject,
  anotherPool,
  basic,
  clientKey,
  eventsApp,
  log,
  movableClock,
  seedKeys,
  serverKey,
} from './harness.ts';

const { db, url } = await testDatabase();
await seedKeys(db);
const clock = movableClock();
const app = await eventsApp(db, { clock });
const lily = await addSubject(db);
const root = mkdtempSync(join(tmpdir(), 'heyi-archive-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let archiveDir = '';

const context = {
  userAgent: 'x'.repeat(100),
  locale: 'zh-CN',
  page: { title: '外壳', url: 'https://www.example.com/1' },
};
const event = (n: number) => ({
  type: 'track',
  event: n % 2 ? 'Product Viewed' : 'a\\b',
  messageId: `${clock.now().toISOString()} ${n}`,
  anonymousId: `anon-${n % 3}`,
  ...(n % 4 === 0 && { userId: lily }),
  properties: { price: 19.9, name: '山屿\n"外壳"', n },
  context,
});
async function record(month: string, count = 40) {
  clock.set(`${month}-15T12:00:00Z`);
  for (const [key, from] of [
    [clientKey, 0],
    [serverKey, count],
  ] as const) {
    const batch = Array.from({ length: count }, (_, n) => event(from + n));
    expect((await app.send('/v1/batch', { batch }, basic(key))).body.rejected).toEqual([]);
  }
}
const months = async () =>
  (await db.raw('select name from event_partitions() order by 1')).rows.map(({ name }: { name: string }) => name);
const recorded = (month: string) =>
  db('recorded_events').whereRaw(`to_char(received_at at time zone 'UTC', 'YYYY-MM') = ?`, [month]).orderBy('id');
const archive = (pool = db) => archiveOldMonths({ db: pool, clock, log }, { keepMonths: 2, archiveDir });
const counted = async () => Number((await db('subject_activity').sum('n as n').first())?.n);

beforeEach(async () => {
  archiveDir = mkdtempSync(join(root, 'folder-'));
  for (const name of await months()) await db.raw('drop table ??', [name]);
  await db.raw('truncate event_contexts, subject_activity');
});

describe('a month older than is kept', () => {
  it('is in a file, whole, and no more in the database; the younger ones stay', async () => {
    for (const month of ['2027-01', '2027-02', '2027-03', '2027-04']) await record(month);
    const before = await recorded('2027-01');
    const [done, ...others] = await archive();
    expect(others).toEqual([]);
    const file = join(archiveDir, 'events-2027-01.ndjson.gz');
    expect(done).toEqual({ month: '2027-01', file, events: 80 });
    expect(await months()).toEqual(['events_2027_02', 'events_2027_03', 'events_2027_04']);
    const lines = gunzipSync(readFileSync(file)).toString().trimEnd().split('\n');
    const written = lines.map((line) => JSON.parse(line)).sort((a, b) => (a.id < b.id ? -1 : 1));
    expect(written.map(({ id, properties, context }) => ({ id, properties, context }))).toEqual(
      before.map(({ id, properties }) => ({
        id,
        properties,
        context: { ...context, bot: true, channel_group: 'direct' },
      })),
    );
    expect(await archive()).toEqual([]);
  });

  it('leaves no contexts behind that no month refers to, whoever removed it', async () => {
    for (const month of ['2027-01', '2027-04']) await record(month);
    await db('event_contexts').insert({ id: 7, context: {}, used_on: '2027-01-01' });
    const contexts = await db('event_contexts').count();
    await tidyEvents(db, log);
    expect(await db('event_contexts').count()).toEqual(contexts);
    await db.raw('drop table events_2027_01');
    await tidyEvents(db, log);
    expect(await db('event_contexts').select(db.raw('distinct used_on::text as day'))).toEqual([{ day: '2027-04-01' }]);
    expect((await recorded('2027-04')).every((row) => row.context.locale === 'zh-CN')).toBe(true);
  });

  it('tells of it with the removal, or neither', async () => {
    for (const month of ['2027-01', '2027-04']) await record(month, 1);
    const told: Date[] = [];
    const options = { keepMonths: 2, archiveDir };
    const fails = async () => {
      throw new Error('nobody listens');
    };
    await expect(archiveOldMonths({ db, clock, log, removed: fails }, options)).rejects.toThrow('nobody listens');
    expect(await months()).toContain('events_2027_01');
    const removed = async (_: unknown, until: Date) => void told.push(until);
    await archiveOldMonths({ db, clock, log, removed }, options);
    expect(told).toEqual([new Date('2027-02-01T00:00:00Z')]);
    expect(await months()).not.toContain('events_2027_01');
  });

  it('comes back as it was, not counted again, however often it is imported', async () => {
    for (const month of ['2027-01', '2027-04']) await record(month);
    const before = await recorded('2027-01');
    const countedBefore = await counted();
    const [done] = await archive();
    const file = done?.file ?? '';
    const until = expect.any(Date);
    expect(await importEvents(db, file)).toEqual({ events: 80, stored: 80, until });
    expect(await recorded('2027-01')).toEqual(before);
    const imports = await Promise.all([importEvents(db, file), importEvents(anotherPool(url), file)]);
    expect(imports).toEqual(Array(2).fill({ events: 80, stored: 0, until }));
    expect(await recorded('2027-01')).toEqual(before);
    expect(await counted()).toBe(countedBefore);
  });

  it('is kept as long as nothing is said', async () => {
    for (const month of ['2025-01', '2027-04']) await record(month, 1);
    expect(await archiveOldMonths({ db, clock, log }, { keepMonths: undefined, archiveDir })).toEqual([]);
    expect(await months()).toEqual(['events_2025_01', 'events_2027_04']);
  });
});

describe('what goes wrong on the way', () => {
  it('leaves the month where it is when the file cannot be written', async () => {
    for (const month of ['2027-01', '2027-04']) await record(month, 1);
    archiveDir = join(archiveDir, 'file');
    writeFileSync(archiveDir, 'not a folder');
    await expect(archive()).rejects.toThrow('EEXIST');
    expect(await months()).toContain('events_2027_01');
  });

  it('killed between the file and the drop, writes it again beside it and drops it then', async () => {
    for (const month of ['2027-01', '2027-04']) await record(month, 2);
    const before = await recorded('2027-01');
    await exportMonth(db, '2027-01', archiveDir);
    await archive();
    const files = readdirSync(archiveDir).sort();
    expect(files).toEqual(['events-2027-01.2.ndjson.gz', 'events-2027-01.ndjson.gz']);
    for (const name of files) await importEvents(db, join(archiveDir, name));
    expect(await recorded('2027-01')).toEqual(before);
  });

  it('keeps a month that changed since it was written', async () => {
    await record('2027-01', 2);
    const { rows } = await db.raw(`select drop_event_partition('events_2027_01', 3) as done`);
    expect(rows).toEqual([{ done: false }]);
    expect(await recorded('2027-01')).toHaveLength(4);
  });

  it('keeps nobody waiting: a month that is being read stays until the next run', async () => {
    for (const month of ['2027-01', '2027-04']) await record(month, 1);
    const reading = await anotherPool(url).transaction();
    await reading.raw('select count(*) from events');
    expect(await archive()).toEqual([]);
    expect(readdirSync(archiveDir)).toEqual([]);
    await reading.rollback();
    expect(await archive()).toHaveLength(1);
  });

  it('tells which file is cut off and which line is no event, and what it brought back before stays', async () => {
    await record('2027-01', 2);
    const { file } = await exportMonth(db, '2027-01', archiveDir);
    const whole = readFileSync(file);
    writeFileSync(`${file}.cut`, whole.subarray(0, whole.length - 20));
    await expect(importEvents(db, `${file}.cut`)).rejects.toMatchObject({ fields: { file: 'unexpected end of file' } });
    writeFileSync(`${file}.other`, gzipSync(`${gunzipSync(whole)}{"id":1}\n`));
    await expect(importEvents(db, `${file}.other`)).rejects.toMatchObject({
      fields: { file: 'Line 5 is not an event of an archive.' },
    });
    await expect(exportMonth(db, '../2027', archiveDir)).rejects.toMatchObject({ code: 'invalid_fields' });
  });
});

describe('F4: removed months', () => {
  it('do not let a message id of the last 30 days through twice', async () => {
    await record('2027-01', 1);
    clock.set('2027-03-28T12:00:00Z');
    const late = { ...event(0), messageId: 'late' };
    const send = () => app.send('/v1/batch', { batch: [late] }, basic(clientKey));
    await send();
    await archive();
    clock.set('2027-04-20T12:00:00Z');
    await send();
    await archive();
    expect(await db('recorded_events').where({ message_id: 'late' }).count()).toEqual([{ count: 1 }]);
  });
});
