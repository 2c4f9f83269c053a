import { beforeAll, describe, expect, it } from 'vitest';
import { mostAnHour } from '../../src/events/rejections.ts';
import { type Send, serveApi } from '../api/http.ts';
import { testDatabase } from '../helpers/database.ts';
import {
  addSubject,
  basic,
  bearer,
  clientKey,
  eventsApp,
  movableClock,
  openKey,
  seal,
  seedKeys,
  serverKey,
} from './harness.ts';

const { db } = await testDatabase();
const clock = movableClock('2026-11-27T08:00:00.000Z');
const keys = await seedKeys(db);
const app = await eventsApp(db, { clock });
let sendToApi: Send;
beforeAll(async () => {
  const authenticate = async (token: string) => ({
    client_id: token,
    scopes: [token === 'settings' ? 'settings:write' : 'subjects:read'],
  });
  ({ send: sendToApi } = await serveApi({ db, seal, clock, authenticate }));
});

type Item = Record<string, unknown> & { id: string; source: Record<string, unknown> };
async function ask(path: string, token = 'settings') {
  const { status, body } = await sendToApi('GET', `/api/v1/events${path}`, { token });
  return { status, error: body.error, ...(body as { data: Item[]; next_cursor: string; has_more: boolean }) };
}
const track = (fields: Record<string, unknown>) => ({
  type: 'track',
  anonymousId: 'visitor',
  event: 'clicked',
  ...fields,
});
const sendBatch = (key: string, ...batch: unknown[]) => app.send('/v1/batch', { batch }, basic(key));

describe('GET /events/feed', () => {
  it('shows what arrives, accepted and refused, newest first, and what speaks for or against it', async () => {
    clock.set('2026-11-27T08:00:00.000Z');
    await sendBatch(
      clientKey,
      track({
        event: 'Order Completed',
        userId: 'somebody',
        properties: { total: 9 },
        context: { consent: { categoryPreferences: { marketing: true } } },
      }),
    );
    clock.set('2026-11-27T08:00:01.000Z');
    await sendBatch(serverKey, { type: 'track', userId: 'somebody' });
    const { data, has_more } = await ask('/feed');
    expect(has_more).toBe(false);
    expect(data).toMatchObject([
      {
        outcome: 'refused',
        code: 'event_name_missing',
        message: expect.stringContaining('needs a name'),
        sample: expect.stringContaining('somebody'),
        source: { id: keys.server, kind: 'write_key', name: 'Shop system' },
      },
      {
        outcome: 'accepted',
        event: 'order_paid',
        original_event: 'Order Completed',
        source: { id: keys.client, name: 'Website' },
        trust: 'claimed',
        counts: false,
        least_trust: 'server',
        consents: ['service', 'marketing'],
        anonymous_id: 'visitor',
        claimed_user_id: 'somebody',
        recorded_sub: null,
        properties: { total: 9 },
      },
    ]);
  });

  it('answers for one key, and for one outcome', async () => {
    expect((await ask(`/feed?write_key=${keys.client}`)).data.map(({ outcome }) => outcome)).toEqual(['accepted']);
    expect((await ask('/feed?outcome=refused')).data.map(({ source }) => source.name)).toEqual(['Shop system']);
    expect((await ask('/feed?outcome=accepted')).data.map(({ source }) => source.name)).toEqual(['Website']);
  });

  it('names the client of a person whose token brought the event', async () => {
    const sub = await addSubject(db);
    app.tokens.set('lily', { sub, client_id: 'website', channel: 'website' });
    await app.send('/v1/track', { event: 'clicked' }, bearer('lily'));
    expect((await ask('/feed?limit=1')).data).toMatchObject([
      { recorded_sub: sub, trust: 'token', counts: true, source: { kind: 'token', name: 'website' } },
    ]);
  });

  it('goes on after a cursor; what was being stored meanwhile comes, and what comes twice has one id', async () => {
    clock.set('2026-11-27T08:10:00.000Z');
    await sendBatch(clientKey, track({ event: 'seen' }));
    clock.set('2026-11-27T08:10:02.000Z');
    const first = await ask('/feed');
    expect(first.data[0]).toMatchObject({ event: 'seen' });
    // Received before the page was read, on the disk after it.
    clock.set('2026-11-27T08:10:01.000Z');
    await sendBatch(clientKey, track({ event: 'late' }));
    clock.set('2026-11-27T08:10:03.000Z');
    await sendBatch(clientKey, track({ event: 'next' }));
    const second = await ask(`/feed?cursor=${first.next_cursor}`);
    expect(second.data.map(({ event }) => event)).toEqual(['next', 'late', 'seen']);
    expect(second.data[2]?.id).toBe(first.data[0]?.id);
    clock.set('2026-11-27T08:11:00.000Z');
    const third = await ask(`/feed?cursor=${second.next_cursor}`);
    const fourth = await ask(`/feed?cursor=${third.next_cursor}`);
    expect([third.data.length, fourth.data.length]).toEqual([3, 0]);
  });

  it('answers the newest of more than fit, and nothing older than an hour', async () => {
    clock.set('2026-11-27T08:20:00.000Z');
    await sendBatch(clientKey, ...['one', 'two', 'three'].map((event) => track({ event })));
    const page = await ask('/feed?limit=2');
    expect(page).toMatchObject({ has_more: true, data: [{ event: 'three' }, { event: 'two' }] });
    clock.set('2026-11-27T10:00:00.000Z');
    expect((await ask('/feed')).data).toEqual([]);
    expect((await ask(`/feed?cursor=${page.next_cursor}`)).data).toEqual([]);
  });

  it('F17: leaves each source a part of the page, whoever floods it, and its refused ones too', async () => {
    clock.set('2026-11-27T11:00:00.000Z');
    await sendBatch(serverKey, track({ event: 'quiet' }), { type: 'track', userId: 'somebody' });
    clock.set('2026-11-27T11:00:01.000Z');
    await sendBatch(openKey, ...Array.from({ length: 30 }, (_, n) => track({ event: `busy ${n}` })));
    await sendBatch(clientKey, ...Array.from({ length: 60 }, (_, n) => track({ event: `flood ${n}` })));
    await sendBatch(clientKey, ...Array.from({ length: 60 }, () => 'no object'));
    clock.set('2026-11-27T11:00:30.000Z');
    const { data, has_more } = await ask('/feed?limit=20');
    expect([data.length, has_more]).toEqual([20, true]);
    expect(
      data
        .slice(-2)
        .map(({ event, code }) => event ?? code)
        .sort(),
    ).toEqual(['event_name_missing', 'quiet']);
    const ofSource = (name: string) => data.filter(({ source }) => source.name === name);
    expect(
      ofSource('App')
        .slice(-2)
        .map(({ event }) => event),
    ).toEqual(expect.arrayContaining(['busy 29', 'busy 28']));
    // What is over goes to the newest.
    expect(ofSource('Website').length).toBeGreaterThan(ofSource('App').length);
    const times = data.map(({ received_at }) => String(received_at));
    expect(times).toEqual(times.toSorted().reverse());
    // Of one source, and of one outcome, it is the newest.
    const flood = await ask(`/feed?limit=5&write_key=${keys.client}&outcome=accepted`);
    expect(flood.data.map(({ event }) => event)).toEqual([59, 58, 57, 56, 55].map((n) => `flood ${n}`));
  });

  it('finds the last minutes by index', async () => {
    await db.raw('set enable_seqscan = off');
    const { rows } = await db.raw(
      `explain select * from recorded_events where received_at > now() - interval '1 minute' order by received_at desc limit 50`,
    );
    await db.raw('reset enable_seqscan');
    expect(JSON.stringify(rows)).toContain('received_at_idx');
  });

  it.each([
    ['?cursor=nonsense', 400],
    ['?write_key=x', 400],
    ['?write_key=99999999999', 400],
    ['?outcome=lost', 400],
    ['?key=1', 400],
  ])('%s → %i', async (query, status) => {
    expect(await ask(`/feed${query}`)).toMatchObject({ status, error: { code: 'invalid_fields' } });
  });
});

describe('GET /events/rejections', () => {
  beforeAll(async () => {
    await db('event_rejections').del();
    clock.set('2026-11-27T12:00:00.000Z');
    await sendBatch(clientKey, 'no object', { type: 'dance', traits: { phone: '13800138000' } }, { type: 'dance' });
    await sendBatch(serverKey, { type: 'track', event: 'a', idToken: 'x', id_token: 'a.secret.token' });
    await app.send(`/sa?project=x&token=${clientKey}`, `data=${encodeURIComponent(sensorsItem())}`);
  });

  it('shows them page by page, masked, those of other vendors too', async () => {
    const first = await ask('/rejections?limit=3');
    const second = await ask(`/rejections?limit=3&cursor=${first.next_cursor}`);
    expect(second.next_cursor).toBe(null);
    const all = [...first.data, ...second.data];
    expect(all.map(({ code, source }) => `${source.name} ${code}`).sort()).toEqual([
      'Shop system identity_missing',
      'Website not_an_object',
      'Website type_unknown',
      'Website type_unknown',
      'Website type_unknown',
    ]);
    expect(JSON.stringify(all)).toContain('item_set');
    expect(JSON.stringify(all)).not.toMatch(/13800138000|secret/);
  });

  it('shows those of one key and of one code', async () => {
    expect((await ask(`/rejections?write_key=${keys.server}`)).data).toMatchObject([{ code: 'identity_missing' }]);
    expect((await ask('/rejections?code=not_an_object')).data).toMatchObject([{ sample: '"no object"' }]);
    expect((await ask('/rejections?code=anything')).data).toEqual([]);
  });

  it('counts them by key and code', async () => {
    const { data } = await ask('/rejections/summary');
    expect(data.map(({ source, code, count }) => [source.name, code, count])).toEqual([
      ['Website', 'type_unknown', 3],
      ['Website', 'not_an_object', 1],
      ['Shop system', 'identity_missing', 1],
    ]);
    expect(data[0]).toMatchObject({ last_at: '2026-11-27T12:00:00.000Z', message: expect.stringContaining('type') });
    expect((await ask(`/rejections/summary?write_key=${keys.server}`)).data).toHaveLength(1);
  });

  it('is not for who may not change settings, nor for a write key (F2)', async () => {
    for (const path of ['/feed', '/rejections', '/rejections/summary'])
      expect(await ask(path, 'subjects')).toMatchObject({ status: 403 });
    const answer = await sendToApi('GET', '/api/v1/events/feed', { headers: basic(serverKey) });
    expect(answer.status).toBe(401);
  });

  it('F17: of one key so many an hour are kept, and those of others besides', async () => {
    await db('event_rejections').del();
    const bad = (n: number) => Array.from({ length: n }, () => 'no object');
    for (let n = 0; n < mostAnHour / 100 + 1; n++) await sendBatch(clientKey, ...bad(99));
    const answers = await Promise.all(Array.from({ length: 4 }, () => sendBatch(clientKey, ...bad(50))));
    expect(answers.every(({ body }) => body.rejected?.length === 50)).toBe(true);
    await sendBatch(serverKey, ...bad(7));
    const kept = await db('event_rejections').select('source_id').count('* as n').groupBy('source_id');
    expect(kept.map(({ n }) => Number(n)).sort((a, b) => a - b)).toEqual([7, mostAnHour]);
    await db('event_rejections').update({ received_at: db.raw(`received_at - interval '1 hour'`) });
    await sendBatch(clientKey, ...bad(3));
    expect(Number((await db('event_rejections').count('* as n').first())?.n)).toBe(mostAnHour + 10);
  });
});

function sensorsItem(): string {
  return Buffer.from(JSON.stringify({ type: 'item_set', item_type: 'book', item_id: '1' })).toString('base64');
}
