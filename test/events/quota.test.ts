/** F17: what a source may send in a minute, over all processes. */
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { createQuota } from '../../src/events/quota.ts';
import { createWriteKey } from '../../src/events/write-keys.ts';
import { testDatabase } from '../helpers/database.ts';
import { addSubject, anotherPool, basic, bearer, clientKey, eventsApp, seal, seedKeys } from './harness.ts';

const { db, url } = await testDatabase();
await seedKeys(db);
const limit = 200;
const noisy = await createWriteKey({ db, seal }, { kind: 'client', name: 'Noisy', events_per_minute: limit });
const pools = [anotherPool(url), anotherPool(url)];
const apps = await Promise.all(pools.map((pool) => eventsApp(pool)));

const event = () => ({ type: 'track', event: 'a', anonymousId: 'anon', messageId: crypto.randomUUID() });
const send = (n: number, key: string, events = 1) =>
  apps[n % 2]?.send('/v1/batch', { batch: Array.from({ length: events }, event) }, basic(key));
const stored = async (source_id: number) =>
  Number((await db('events').where({ source_id }).count('* as n').first())?.n);
/** Not so near its end that the test would see two minutes. */
async function startOfMinute() {
  while (systemClock.now().getSeconds() > 50) await new Promise((resolve) => setTimeout(resolve, 500));
}

describe('F17: a source that sends more than its key allows', () => {
  it('is told when to come back, whichever process it asks, and what was acknowledged is stored', async () => {
    await startOfMinute();
    const answers = await Promise.all(Array.from({ length: 60 }, (_, n) => send(n, noisy.key, 10)));
    const accepted = answers.filter((answer) => answer?.status === 200).length * 10;
    const refused = answers.filter((answer) => answer?.status === 429);
    expect(accepted).toBeGreaterThanOrEqual(limit);
    // One batch over it a process.
    expect(accepted).toBeLessThanOrEqual(limit + 20);
    expect(refused.length * 10 + accepted).toBe(600);
    for (const answer of refused) {
      const seconds = Number(answer?.headers.get('retry-after'));
      expect(seconds).toBeGreaterThan(0);
      expect(seconds).toBeLessThanOrEqual(60);
    }
    expect(await stored(noisy.id)).toBe(accepted);
  });

  it('is held to 2 KB an event where its key is public', async () => {
    await startOfMinute();
    await db('event_quotas').del();
    const quota = await eventsApp(anotherPool(url));
    const body = (bytes: number) => ({
      batch: Array.from({ length: 4 }, () => ({ ...event(), properties: { filler: 'x'.repeat(bytes) } })),
    });
    const key = (kind: 'client' | 'server') =>
      createWriteKey({ db, seal }, { kind, name: 'Heavy', events_per_minute: limit });
    const [open, secret] = [await key('client'), await key('server')];
    const statuses = async (of: string, bytes: number, times: number) => {
      const found: number[] = [];
      for (let n = 0; n < times; n++) found.push((await quota.send('/v1/batch', body(bytes), basic(of))).status);
      return found;
    };
    // 120 KB each, so 60 of 200: the fourth is the one that goes over, and nothing of what is refused is stored.
    const answers = await statuses(open.key, 30_000, 6);
    expect(answers).toEqual([200, 200, 200, 200, 429, 429]);
    expect(await stored(open.id)).toBe(16);
    expect(await statuses(secret.key, 30_000, 6)).toEqual(Array(6).fill(200));
    expect((await statuses((await key('client')).key, 200, 20)).every((status) => status === 200)).toBe(true);
    // 90 KB of Chinese in 30,000 characters, by the trackers that pack a text into their own formats.
    const record = { type: 'track', event: 'seen', distinct_id: 'd', properties: { filler: '汉'.repeat(30_000) } };
    const data = encodeURIComponent(Buffer.from(JSON.stringify(record)).toString('base64'));
    const packed: ((key: string) => Promise<{ status: number }>)[] = [
      (key) => quota.request(`/sa?token=${key}`, { method: 'POST', body: `data=${data}` }),
      (key) =>
        quota.send(`/v3/projects/${key}/collect`, [
          { eventType: 'CUSTOM', eventName: 'seen', deviceId: 'd', attributes: record.properties },
        ]),
    ];
    for (const post of packed) {
      const of = (await key('client')).key;
      const found: number[] = [];
      for (let n = 0; n < 6; n++) found.push((await post(of)).status);
      expect(found.map((status) => status === 429)).toEqual([false, false, false, false, false, true]);
    }
  });

  it('leaves the others alone', async () => {
    const answers = await Promise.all(Array.from({ length: 30 }, (_, n) => send(n, n % 2 ? noisy.key : clientKey, 10)));
    expect(answers.map((answer) => answer?.status)).toEqual(answers.map((_, n) => (n % 2 ? 429 : 200)));
  });

  it('may go on in the next minute', async () => {
    await db('event_quotas').update({ minute: db.raw(`minute - interval '1 minute'`) });
    const app = await eventsApp(db);
    const answer = await app.send('/v1/track', event(), basic(noisy.key));
    expect(answer.status).toBe(200);
  });

  it('is one person’s by a tenth at most: their token leaves the rest of the quota to the others of the app', async () => {
    await startOfMinute();
    const [greedy, other] = [await addSubject(db), await addSubject(db)];
    await createWriteKey(
      { db, seal },
      { kind: 'client', name: 'Shop', client_ids: ['shop'], events_per_minute: limit },
    );
    const app = await eventsApp(anotherPool(url));
    for (const sub of [greedy, other]) app.tokens.set(sub, { sub, client_id: 'shop', channel: 'website' });
    const by = (sub: string) =>
      app.send('/v1/batch', { batch: [event(), event(), event(), event(), event()] }, bearer(sub));
    const answers = [];
    for (let n = 0; n < 10; n++) answers.push(await by(greedy));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 429, 429, 429, 429, 429, 429]);
    expect(Number(answers.at(-1)?.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await by(other)).status).toBe(200);
    expect(await db('events').where({ subject_id: greedy })).toHaveLength(limit / 10);
  });

  it('is counted by a question of the database now and then, not for each event', async () => {
    const quota = createQuota({ db: pools[0] ?? db, clock: systemClock });
    const source = { source_id: 4711, events_per_minute: 60_000 };
    let asked = 0;
    const client = (pools[0] ?? db).client;
    const acquire = client.acquireConnection.bind(client);
    client.acquireConnection = () => {
      asked++;
      return acquire();
    };
    await startOfMinute();
    await Promise.all(Array.from({ length: 10_000 }, () => quota.spend(source, 1)));
    expect(asked).toBeLessThanOrEqual(9);
    const [row] = await db('event_quotas').where({ source_id: 4711 });
    expect(row.used).toBeGreaterThanOrEqual(10_000);
  });
});
