import { describe, expect, it } from 'vitest';
import { createDatabase } from '../../src/database.ts';
import { bindAnonymous } from '../../src/events/bind.ts';
import { timeline } from '../../src/events/timeline.ts';
import { testDatabase } from '../helpers/database.ts';
import { absorb, addSubject, agree, basic, clientKey, eventsApp, seedKeys, serverKey } from './harness.ts';

const { db, url } = await testDatabase();
const app = await eventsApp(db);
await seedKeys(db);

const at = (seconds: number) => new Date(Date.now() - seconds * 1000).toISOString();
const send = (batch: unknown[], key = serverKey) => app.send('/v1/batch', { batch }, basic(key));
const track = (event: string, more: Record<string, unknown>) => ({ type: 'track', event, ...more });

describe('the timeline of a person', () => {
  it('has the fields that programs were promised', async () => {
    const sub = await addSubject(db);
    await send([
      track('Product Viewed', { userId: sub, messageId: 'm-1', timestamp: at(60), properties: { price: 5 } }),
    ]);
    const { data, next_cursor } = await timeline(db, sub, { limit: 10 });
    expect(next_cursor).toBeNull();
    expect(data).toEqual([
      {
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        message_id: 'm-1',
        type: 'track',
        event: 'product_viewed',
        original_event: 'Product Viewed',
        channel: 'server',
        timestamp: expect.stringMatching(/Z$/),
        received_at: expect.stringMatching(/Z$/),
        properties: { price: 5 },
        trust: 'server',
        counts: true,
        consents: ['service'],
        recorded_sub: sub,
      },
    ]);
  });

  it('joins what was recorded, what was absorbed and what was done before sign-in, newest first, page by page', async () => {
    const [sub, absorbed] = [await addSubject(db), await addSubject(db)];
    await agree(db, sub);
    const device = `d-${crypto.randomUUID()}`;
    const key = (n: number) => (n % 3 === 2 ? clientKey : serverKey);
    const who = (n: number) => [{ userId: sub }, { userId: absorbed }, { anonymousId: device }][n % 3];
    for (let n = 0; n < 30; n++) await send([track(`e${n}`, { ...who(n), timestamp: at(1000 - n) })], key(n));
    await absorb(db, absorbed, sub);
    await bindAnonymous(db, { anonymous_id: device, subject_id: sub, method: 'token' });
    const expected = Array.from({ length: 30 }, (_, n) => `e${29 - n}`);
    const all = await timeline(db, sub, { limit: 100 });
    expect(all.data.map(({ event }) => event)).toEqual(expected);
    expect(all.data.slice(0, 3).map(({ recorded_sub, trust }) => [recorded_sub, trust])).toEqual([
      [null, 'bound'],
      [absorbed, 'server'],
      [sub, 'server'],
    ]);
    const paged: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await timeline(db, sub, { limit: 7, cursor });
      paged.push(...page.data.map(({ event }) => event));
      cursor = page.next_cursor ?? undefined;
    } while (cursor);
    expect(paged).toEqual(expected);
    expect((await timeline(db, absorbed, { limit: 100 })).data).toEqual(all.data);
  });

  it('keeps events of one instant in the order of their batch, over pages too', async () => {
    const sub = await addSubject(db);
    const timestamp = at(5);
    await send(
      Array.from({ length: 50 }, (_, n) => track(`s${n}`, { userId: sub, timestamp, messageId: crypto.randomUUID() })),
    );
    const first = await timeline(db, sub, { limit: 20 });
    const second = await timeline(db, sub, { limit: 40, cursor: first.next_cursor ?? '' });
    const events = [...first.data, ...second.data].map(({ event }) => event);
    expect(events).toEqual(Array.from({ length: 50 }, (_, n) => `s${49 - n}`));
  });

  it('of somebody without events, and of nobody, is empty', async () => {
    expect(await timeline(db, await addSubject(db))).toEqual({ data: [], next_cursor: null });
    expect(await timeline(db, crypto.randomUUID())).toEqual({ data: [], next_cursor: null });
  });

  it.each([['nonsense'], [Buffer.from("2026-11-23T00:00:00.000Z ' or 1=1").toString('base64url')], ['']])(
    'refuses the cursor %j',
    async (cursor) => {
      await expect(timeline(db, crypto.randomUUID(), { cursor })).rejects.toMatchObject({ code: 'invalid_fields' });
    },
  );

  // An empty partition may be scanned: there is nothing in it to read.
  it('reads no more of a table of many people than the page needs', async () => {
    const sub = await addSubject(db);
    const device = `d-${crypto.randomUUID()}`;
    await db.raw(
      `insert into events (id, received_at, "timestamp", subject_id, anonymous_key, source_id, message_key, type, event, channel, trust)
       select uuid_v7(), now(), now() - n * interval '1 second',
              case when n % 20 = 0 then ?::uuid when n % 2 = 0 then md5((n % 1000)::text)::uuid end,
              case when n % 20 = 1 then id_key(?) when n % 2 = 1 then md5((n % 1000)::text)::uuid end, 1, md5('many-' || n)::uuid, 'track', 'a', 'app', 'server'
         from generate_series(1, 60000) n`,
      [sub, device],
    );
    await agree(db, sub);
    await bindAnonymous(db, { anonymous_id: device, subject_id: sub, method: 'token' });
    await db.raw('analyze events');
    const single = createDatabase({ url, pool: 1 });
    const fetched = async () => {
      await single.raw('select pg_stat_force_next_flush()');
      const { rows } = await single.raw(
        `select sum(seq_tup_read)::int as scanned, sum(idx_tup_fetch)::int as fetched from pg_stat_user_tables where relname like 'events\\_20%'`,
      );
      return rows[0];
    };
    const before = await fetched();
    const { data } = await timeline(single, sub, { limit: 20 });
    const after = await fetched();
    expect(data).toHaveLength(20);
    expect(after.scanned - before.scanned).toBe(0);
    expect(after.fetched - before.fetched).toBeLessThan(150);
    await single.destroy();
  });
});
