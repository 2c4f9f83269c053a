/**
 * GrowingIO's trackers. Nobody publishes their packages where this project's come from, so what they sent was recorded
 * (growingio-requests.json): gio-webjs-sdk 4.3.1 in Chromium, gio-miniprogram-sdk 4.6.0 with its plugins on the phone of
 * test/helpers/wx.ts, each against this endpoint. Their compression is that of lz-string, which is here to make more of it.
 */
import fc from 'fast-check';
import LZ from 'lz-string';
import { describe, expect, it } from 'vitest';
import { decompress } from '../../../src/events/adapters/growingio/lz.ts';
import { createWriteKey } from '../../../src/events/write-keys.ts';
import { testDatabase } from '../../helpers/database.ts';
import { addSubject, clientKey, eventRows, eventsApp, openKey, seal, seedKeys, serverKey } from '../harness.ts';
import recorded from './growingio-requests.json' with { type: 'json' };

const { db } = await testDatabase();
await seedKeys(db);
const app = await eventsApp(db);

type Recorded = { method: string; path: string; headers: Record<string, string>; body?: string };

function replay({ method, path, headers, body }: Recorded, key: string) {
  const bytes = body === undefined ? {} : { body: new Uint8Array(Buffer.from(body, 'base64')) };
  return app.request(path.replace('{key}', key), { method, headers, ...bytes });
}

const collect = (key: string, query = 'stm=0&compress=0') => `/v3/projects/${key}/collect?${query}`;
const event = (more: Record<string, unknown> = {}) => ({
  eventType: 'CUSTOM',
  eventName: 'a',
  deviceId: crypto.randomUUID(),
  timestamp: Date.now(),
  ...more,
});
const rowsOf = (deviceId: string) => eventRows(db, { anonymous_id: deviceId });

describe('what they sent', () => {
  const usual = ['clicked', 'identified', 'page_viewed', 'product_viewed', 'session_started'];
  const visit = ['app_closed', 'app_opened', 'clicked', 'identified', 'product_viewed', 'screen_viewed', 'shared'];

  it.each(Object.entries(recorded as Record<string, Recorded[]>))('%s: is stored, once', async (how, requests) => {
    const key = `gio-${crypto.randomUUID()}`;
    const origin = requests.map(({ headers }) => headers.origin).find(Boolean);
    const { id: source_id } = await createWriteKey(
      { db, seal },
      { key, kind: 'client', name: 'Both', origins: origin ? [origin] : [] },
    );
    const answers = [];
    for (const request of [...requests, ...requests]) answers.push((await replay(request, key)).status);
    // A plain image ends where the page's text has a number sign: the browser takes the rest for a fragment and never sends it.
    const cut = how === 'browser: images, plain';
    expect(new Set(answers)).toEqual(new Set(cut ? [204, 400] : [204]));
    const rows = await eventRows(db, { source_id });
    const names = rows.map(({ event }) => event).sort();
    const isWebsite = how.startsWith('browser');
    expect(names).toEqual(cut ? ['identified', 'page_viewed', 'session_started'] : isWebsite ? usual : visit);
    const of = (name: string) => rows.find(({ event }) => event === name);
    for (const row of rows) {
      expect(row).toMatchObject({ channel: isWebsite ? 'website' : 'miniprogram', trust: 'claimed', subject_id: null });
      expect(row.context.campaign.source).toBe(isWebsite ? 'wechat' : 'gzh');
      // However long ago it was recorded: what counts is how long before sending it happened.
      expect(Math.abs(row.timestamp.getTime() - Date.now())).toBeLessThan(60_000);
    }
    expect(new Set(rows.map(({ anonymous_id }) => anonymous_id)).size).toBe(1);
    expect(of('identified')).toMatchObject({ claimed_user_id: 'user-17', properties: { plan: 'gold' } });
    if (!cut) {
      expect(of('product_viewed').properties).toMatchObject({ product_id: 'p-1', price: 5999 });
      expect(of('product_viewed').properties.note).toContain('😀');
      expect(of('clicked')).toMatchObject({ original_event: 'VIEW_CLICK', properties: { name: '买它' } });
    }
    if (isWebsite) {
      expect(of('page_viewed').properties).toMatchObject({ path: '/shop', title: '山屿 & 100%' });
      expect(of('page_viewed').context.page.url).toMatch(/^http:\/\/shop\.example\.com:\d+\/shop\?utm_source=wechat&/);
    } else {
      expect(of('app_opened')).toMatchObject({
        properties: { path: 'pages/index/index', scene: '1047' },
        context: { scene: '1047', app: { id: 'wxsandbox0000000001' }, page: { search: '?utm_source=gzh&id=1' } },
      });
      expect(of('screen_viewed').properties).toMatchObject({ path: 'pages/index/index', title: '首页' });
      expect(of('shared').properties).toMatchObject({ method: 'menu', path: '/pages/index/index' });
    }
  });
});

describe('one event', () => {
  const send = async (more: Record<string, unknown>, key = openKey) => {
    const sent = event(more);
    expect((await app.send(collect(key, `stm=${Date.now()}&compress=0`), [sent])).status).toBe(204);
    return (await rowsOf(sent.deviceId))[0];
  };

  it.each([
    ['Android', { channel: 'app', event: 'app_opened' }],
    ['iOS', { channel: 'app', event: 'app_opened' }],
    ['alip', { channel: 'miniprogram', event: 'app_opened' }],
    ['wxwv', { channel: 'website', event: 'session_started' }],
  ])('of the platform %s is on its channel', async (platform, expected) => {
    expect(await send({ eventType: 'VISIT', platform })).toMatchObject(expected);
  });

  it.each([
    ['FORM_SUBMIT', 'form_submitted'],
    ['VIEW_CHANGE', 'input_changed'],
    ['SOMETHING_NEW', 'SOMETHING_NEW'],
  ])('of type %s is %s', async (eventType, name) => {
    expect(await send({ eventType, attributes: { a: 1 } })).toMatchObject({ event: name, properties: { a: 1 } });
  });

  it('leaves out what was typed and where the phone is; what the browser is goes to the context', async () => {
    const row = await send({
      eventType: 'VIEW_CHANGE',
      textValue: '13800138000',
      latitude: 31.23,
      longitude: 121.47,
      attributes: { $userAgent: 'Mozilla/5.0' },
    });
    expect(JSON.stringify(row)).not.toMatch(/13800138000|31\.23|121\.47/);
    expect(row).toMatchObject({ properties: {}, context: { userAgent: 'Mozilla/5.0' } });
  });

  it('F1: a browser says who somebody is, and is not believed; a server is', async () => {
    const sub = await addSubject(db);
    expect(await send({ userId: sub })).toMatchObject({ subject_id: null, trust: 'claimed', claimed_user_id: sub });
    expect(await send({ userId: sub }, serverKey)).toMatchObject({ subject_id: sub, trust: 'server' });
  });

  it.each([
    ['13800138000', '138****8000'],
    ['+8613800138000', '138****8000'],
    ['lily@example.com', 'l***@example.com'],
    ['8a7b-13800138000', '8a7b-138****8000'],
  ])('F11: a userId that is a number or an address is masked: %s', async (userId, kept) => {
    expect(await send({ userId })).toMatchObject({ claimed_user_id: kept });
  });

  it('F5: two of one millisecond are two when they differ, and one when they do not', async () => {
    const first = event({ eventType: 'LOGIN_USER_ATTRIBUTES', attributes: { plan: 'gold' } });
    const batch = [first, { ...first, attributes: { plan: 'silver' } }, first];
    expect((await app.send(collect(openKey), batch)).status).toBe(204);
    expect(await rowsOf(first.deviceId)).toHaveLength(2);
  });
});

describe('what cannot be read', () => {
  it('F2, F3: needs a known key and a registered website', async () => {
    expect((await app.send(collect('nobody'), [event()])).status).toBe(401);
    const foreign = { origin: 'https://evil.example', 'content-type': 'text/plain' };
    expect((await app.send(collect(clientKey), [event()], foreign)).status).toBe(403);
    expect((await app.request(collect(clientKey), { method: 'DELETE' })).status).toBe(404);
  });

  it.each([
    ['no JSON', '{', 'compress=0', 400],
    ['no list', '{}', 'compress=0', 400],
    ['nothing compressed', '', 'compress=1', 400],
    ['no LZ-string', Buffer.from('plain text'), 'compress=1', 400],
    ['LZ-string cut off', Buffer.from(LZ.compressToUint8Array('[{"a":"山"}]')).subarray(0, 8), 'compress=1', 400],
    ['too many events', JSON.stringify(Array.from({ length: 5_000 }, () => ({}))), 'compress=0', 413],
  ])('F6: %s', async (_what, body, query, status) => {
    expect((await app.send(collect(openKey, query), body)).status).toBe(status);
  });

  it('F6: stores the good ones beside what is too large, too deep, of no type or no object', async () => {
    const good = event();
    let deep: unknown = 1;
    for (let level = 0; level < 1_000; level++) deep = { deep };
    const batch = [
      event({ attributes: { text: 'x'.repeat(33_000) } }),
      event({ attributes: { deep } }),
      event({ eventType: 7 }),
      null,
      good,
      event({ deviceId: undefined }),
    ];
    expect((await app.send(collect(openKey), batch)).status).toBe(204);
    expect(await rowsOf(good.deviceId)).toHaveLength(1);
    const kept = await db('event_rejections').select('code');
    expect(kept.map(({ code }) => code)).toEqual(
      expect.arrayContaining(['event_too_large', 'too_deep', 'type_unknown', 'not_an_object', 'identity_missing']),
    );
  });

  it('F7: an LZ bomb is cut off at the limit, in each packing', async () => {
    const body = bomb(499_000);
    const before = process.memoryUsage().rss;
    expect((await app.send(collect(openKey, 'compress=1'), body)).status).toBe(413);
    expect(process.memoryUsage().rss - before).toBeLessThan(50_000_000);
    const text = `["${'0'.repeat(600_000)}"]`;
    const codec = { 'x-compress-codec': '1' };
    expect((await app.send(collect(openKey, 'compress=1'), LZ.compressToUTF16(text), codec)).status).toBe(413);
    const address = `${collect(openKey, 'compress=11')}&data=${LZ.compressToEncodedURIComponent(text)}`;
    expect((await app.request(address, {})).status).toBe(413);
  });
});

describe('under pressure', () => {
  it('F7: what is small only as it is sent takes the room of what it holds', async () => {
    const crowd = await eventsApp(db);
    const text = JSON.stringify(Array.from({ length: 14 }, () => event({ attributes: { text: 'x'.repeat(30_000) } })));
    const body = Buffer.from(LZ.compressToUint8Array(text));
    expect(body.length).toBeLessThan(20_000);
    const trx = await db.transaction();
    await trx.raw('lock table events in exclusive mode');
    const posts = Array.from({ length: 60 }, () => crowd.send(collect(openKey, 'compress=1'), body));
    const refused = await Promise.race(
      posts.map(async (post) => ((await post).status === 429 ? post : new Promise<never>(() => {}))),
    );
    expect(refused.headers.get('retry-after')).toBe('1');
    await trx.rollback();
    const statuses = (await Promise.all(posts)).map(({ status }) => status);
    expect(new Set(statuses)).toEqual(new Set([204, 429]));
  });
});

/** Each code names the phrase that it makes, one longer than the one before: half a megabyte stands for 50 gigabytes. */
function bomb(bytes: number): Buffer {
  const bits: number[] = [];
  const write = (value: number, width: number) => {
    for (let bit = 0; bit < width; bit++) bits.push((value >> bit) & 1);
  };
  write(0, 2);
  write(48, 8);
  for (let [code, width, room] = [4, 3, 4]; bits.length < bytes * 8; code++) {
    write(code, width);
    if (--room === 0) room = 2 ** width++;
  }
  const octet = (at: number) => bits.slice(at, at + 8).reduce((value, bit) => value * 2 + bit, 0);
  return Buffer.from(Array.from({ length: bytes }, (_, index) => octet(index * 8)));
}

describe('its LZ-string', () => {
  const read = (bytes: Uint8Array, limit = 10_000) =>
    decompress(
      {
        bits: 16,
        length: bytes.length >> 1,
        unit: (index) => (bytes[index * 2] ?? 0) * 256 + (bytes[index * 2 + 1] ?? 0),
      },
      limit,
    );

  it('reads whatever the library wrote', () => {
    const texts = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 400 }),
      // Repetition, so that phrases are used, and used while they are learned.
      fc.array(fc.constantFrom('a', 'b', '山', '\0', '\ud83d'), { maxLength: 1_000 }).map((units) => units.join('')),
    );
    fc.assert(
      fc.property(texts, (text) => read(LZ.compressToUint8Array(text)) === text),
      { numRuns: 60 },
    );
  });

  it('F7: keeps to the limit, and answers any bytes with text or a refusal', () => {
    expect(read(LZ.compressToUint8Array('x'.repeat(1_000)), 1_000)).toHaveLength(1_000);
    expect(() => read(LZ.compressToUint8Array('x'.repeat(1_001)), 1_000)).toThrow(
      expect.objectContaining({ code: 'payload_too_large' }),
    );
    const answered = (bytes: Uint8Array) => {
      try {
        return typeof read(bytes, 1_000) === 'string';
      } catch (error) {
        return ['payload_too_large', 'bad_request'].includes((error as { code: string }).code);
      }
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), answered), { numRuns: 1_000 });
  });
});
