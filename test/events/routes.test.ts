/** The endpoint by status. */
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createDatabase } from '../../src/database.ts';
import { createWriteKey, disableSandboxWriteKeys } from '../../src/events/write-keys.ts';
import { testDatabase } from '../helpers/database.ts';
import {
  basic,
  bearer,
  clientKey,
  eventRows,
  eventsApp,
  gzip,
  movableClock,
  openKey,
  seal,
  seedKeys,
  serverKey,
} from './harness.ts';

const { db } = await testDatabase();
const clock = movableClock();
const app = await eventsApp(db, { clock });
const { website } = await seedKeys(db);

const track = (more: Record<string, unknown> = {}): Record<string, unknown> & { messageId?: string } => ({
  type: 'track',
  event: 'a',
  anonymousId: 'anon',
  ...more,
});
const stored = async (messageId: string) => (await eventRows(db, { message_id: messageId }))[0];

describe('200', () => {
  it.each([
    ['track', { event: 'Signed Up' }],
    ['identify', { traits: { plan: 'gold' } }],
    ['page', { name: 'Home' }],
    ['screen', { name: 'Home' }],
    ['group', { groupId: 'g1' }],
    ['alias', { previousId: 'old' }],
  ])('stores what is posted to /v1/%s, and to its first letter', async (type, fields) => {
    for (const path of [`/v1/${type}`, `/v1/${type.charAt(0)}`]) {
      const messageId = crypto.randomUUID();
      const answer = await app.send(path, { ...fields, messageId, anonymousId: 'anon' }, basic(clientKey));
      expect(answer.body).toEqual({ success: true, rejected: [] });
      expect(answer.status).toBe(200);
      expect(await stored(messageId)).toMatchObject({ type, channel: 'website' });
    }
  });

  it.each(['/v1/batch', '/v1/import', '/v1/b'])('stores a batch posted to %s', async (path) => {
    const batch = [1, 2, 3].map(() => track({ messageId: crypto.randomUUID() }));
    const answer = await app.send(path, { batch, writeKey: clientKey });
    expect(answer).toMatchObject({ status: 200, body: { success: true, rejected: [] } });
    for (const { messageId } of batch) expect(await stored(messageId ?? '')).toBeDefined();
  });

  it('reads any content type as JSON, gzipped too, and the key from the body', async () => {
    const messageId = crypto.randomUUID();
    const headers = { 'content-type': 'text/plain', 'content-encoding': 'gzip' };
    const answer = await app.send('/v1/t', gzip(track({ messageId, writeKey: clientKey })), headers);
    expect(answer.status).toBe(200);
    expect(await stored(messageId)).toMatchObject({ event: 'a' });
  });

  it('names each bad event of a batch, stores the good ones, and keeps the bad ones for the key owner, masked', async () => {
    const [good, other] = [crypto.randomUUID(), crypto.randomUUID()];
    const batch = [
      track({ messageId: good }),
      { type: 'track', anonymousId: 'anon', messageId: 'nameless', context: { id_token: 'a.secret.token' } },
      'no object',
      { type: 'dance', anonymousId: 'anon', traits: { phone: '13800138000', email: 'lily@example.com' } },
      { type: 'track', event: 'a' },
      track({ messageId: other }),
    ];
    const answer = await app.send('/v1/batch', { batch }, basic(clientKey));
    expect(answer.status).toBe(200);
    expect(answer.body.success).toBe(true);
    expect(answer.body.rejected?.map(({ index, code, message_id }) => [index, code, message_id])).toEqual([
      [1, 'event_name_missing', 'nameless'],
      [2, 'not_an_object', null],
      [3, 'type_unknown', null],
      [4, 'identity_missing', null],
    ]);
    expect(await stored(good)).toBeDefined();
    expect(await stored(other)).toBeDefined();
    const kept = await db('event_rejections').orderBy('received_at');
    expect(kept.map(({ code }) => code)).toEqual(expect.arrayContaining(['event_name_missing', 'type_unknown']));
    const samples = kept.map(({ sample }) => sample).join('\n');
    expect(samples).toContain('nameless');
    expect(samples).not.toMatch(/secret|13800138000|lily/);
  });

  it('answers the browser SDK reporting on itself, without reading it', async () => {
    expect((await app.send('/v1/m', 'anything')).status).toBe(200);
  });

  it('answers the settings that let the browser SDK work from its CDN address alone', async () => {
    const answer = await app.request(`/v1/projects/${clientKey}/settings`, { headers: { origin: website } });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('access-control-allow-origin')).toBe(website);
    expect(answer.body).toMatchObject({
      integrations: { 'Segment.io': { apiKey: clientKey, apiHost: 'id.example.com/v1', protocol: 'https' } },
      metrics: { sampleRate: 0 },
    });
  });
});

describe('CORS', () => {
  const preflight = (origin: string) =>
    app.request('/v1/t', {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,rsa-retry-attempt',
      },
    });

  it('lets a registered website send, without credentials', async () => {
    const answer = await preflight(website);
    expect(answer.status).toBe(204);
    expect(answer.headers.get('access-control-allow-origin')).toBe(website);
    expect(answer.headers.get('access-control-allow-headers')).toBe('authorization,rsa-retry-attempt');
    expect(answer.headers.get('access-control-max-age')).toBe('86400');
    expect(answer.headers.get('access-control-allow-credentials')).toBeNull();
    expect(answer.headers.get('vary')).toContain('Origin');
    const sent = await app.send('/v1/t', track(), { ...basic(clientKey), origin: website });
    expect(sent.headers.get('access-control-allow-origin')).toBe(website);
  });

  it.each(['https://evil.example', 'null', 'https://www.example.com.evil.example', 'http://www.example.com'])(
    'allows nothing to %s',
    async (origin) => {
      expect((await preflight(origin)).headers.get('access-control-allow-origin')).toBeNull();
      const answer = await app.send('/v1/t', track({ writeKey: clientKey }), { origin, 'content-type': 'text/plain' });
      expect(answer.status).toBe(403);
      expect(answer.body.error?.code).toBe('origin_not_allowed');
    },
  );

  it('takes any Origin for a key that names no website, and allows a browser nothing', async () => {
    const answer = await app.send('/v1/t', track(), { ...basic(openKey), origin: 'http://127.0.0.1:9999' });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('access-control-allow-origin')).toBeNull();
  });

  it('shows a browser also the answers that ask it to wait', async () => {
    const answer = await app.send('/v1/batch', '{', { ...basic(clientKey), origin: website });
    expect(answer.status).toBe(400);
    expect(answer.headers.get('access-control-allow-origin')).toBe(website);
    expect(answer.headers.get('access-control-expose-headers')).toContain('Retry-After');
  });
});

describe('400', () => {
  it.each([
    ['no JSON', '{"a":', 'invalid_json'],
    ['nothing', '', 'invalid_json'],
    ['no object', '[]', 'bad_request'],
    ['null', 'null', 'bad_request'],
    ['a batch that is no list', '{"batch":{}}', 'invalid_fields'],
  ])('for %s', async (_what, body, code) => {
    const answer = await app.send('/v1/batch', body, basic(clientKey));
    expect(answer.status).toBe(400);
    expect(answer.body.error?.code).toBe(code);
  });

  it('for a single event that cannot be stored', async () => {
    const answer = await app.send('/v1/track', { anonymousId: 'anon' }, basic(clientKey));
    expect(answer.status).toBe(400);
    expect(answer.body.error?.fields).toHaveProperty('event_name_missing');
  });
});

describe('401', () => {
  it.each([
    ['no key at all', {}],
    ['an unknown key', basic('nobody-knows-this')],
    ['an unknown token', bearer('nobody-knows-this')],
    ['an unknown scheme', { authorization: 'Digest abc' }],
    ['an empty key', { authorization: 'Basic Og==' }],
    ['a broken header', { authorization: 'Basic' }],
  ])('for %s', async (_what, headers) => {
    expect((await app.send('/v1/track', track(), headers)).status).toBe(401);
  });

  it('for a key of the wrong type in the body, and for settings of an unknown key', async () => {
    expect((await app.send('/v1/track', track({ writeKey: { $ne: null } }))).status).toBe(401);
    expect((await app.request('/v1/projects/unknown/settings', {})).status).toBe(401);
  });

  it("for a program's token, which has no person", async () => {
    app.tokens.set('program', { client_id: 'backend', channel: null });
    expect((await app.send('/v1/track', track(), bearer('program'))).status).toBe(401);
  });

  it('for the keys of the sandbox once it is off, seconds later in every process', async () => {
    await createWriteKey({ db, seal }, { key: 'sandbox-key', kind: 'client', name: 'Demo', source: 'sandbox' });
    expect((await app.send('/v1/track', track(), basic('sandbox-key'))).status).toBe(200);
    await disableSandboxWriteKeys(db);
    clock.set(new Date(clock.now().getTime() + 5_001).toISOString());
    expect((await app.send('/v1/track', track(), basic('sandbox-key'))).status).toBe(401);
    expect((await app.send('/v1/track', track(), basic(clientKey))).status).toBe(200);
  });
});

describe('403', () => {
  it('for a token that may read about its person but not speak for them', async () => {
    app.tokens.set('reader', {
      sub: crypto.randomUUID(),
      client_id: 'partner',
      channel: null,
      scopes: ['openid', 'me:read'],
    });
    const answer = await app.send('/v1/track', track(), bearer('reader'));
    expect(answer).toMatchObject({ status: 403, body: { error: { code: 'forbidden' } } });
  });
});

describe('405 and 404', () => {
  it('F2: a public key cannot read or delete', async () => {
    for (const method of ['GET', 'DELETE', 'PUT'])
      expect((await app.request('/v1/track', { method, headers: basic(clientKey) })).status).toBe(405);
  });
});

describe('413 (F6)', () => {
  it('for an event of 32 KB and a byte; 32 KB is stored', async () => {
    const sized = (bytes: number) => {
      const event = { ...track(), messageId: crypto.randomUUID(), writeKey: clientKey, properties: { text: '' } };
      event.properties.text = 'x'.repeat(bytes - JSON.stringify(event).length);
      return event;
    };
    expect((await app.send('/v1/track', sized(32_768))).status).toBe(200);
    const answer = await app.send('/v1/track', sized(32_769));
    expect(answer).toMatchObject({ status: 413, body: { error: { code: 'payload_too_large' } } });
    const batch = [sized(32_769), sized(1_000)];
    const mixed = await app.send('/v1/batch', { batch }, basic(clientKey));
    expect(mixed.body.rejected?.map(({ index, code }) => [index, code])).toEqual([[0, 'event_too_large']]);
    expect(await stored(batch[1]?.messageId ?? '')).toBeDefined();
  });

  it('counts bytes, not characters', async () => {
    const event = { ...track(), properties: { text: '山'.repeat(11_000) } };
    expect((await app.send('/v1/track', event, basic(clientKey))).status).toBe(413);
  });

  it('for a batch of 500 KB and a byte; 500 KB is read', async () => {
    const sized = (bytes: number) => {
      const frame = JSON.stringify({ batch: [track()], padding: '' });
      return frame.replace('"padding":""', `"padding":"${'x'.repeat(bytes - frame.length)}"`);
    };
    expect((await app.send('/v1/batch', sized(512_000), basic(clientKey))).status).toBe(200);
    expect((await app.send('/v1/batch', sized(512_001), basic(clientKey))).status).toBe(413);
  });

  it('for a batch of ten thousand events', async () => {
    const batch = Array.from({ length: 10_000 }, () => ({ type: 'track', event: 'a', userId: 'u' }));
    const answer = await app.send('/v1/batch', { batch }, basic(serverKey));
    expect(answer.status).toBe(413);
  });

  it('E5, F7: the context of a batch is bounded as an event is, alone and with all that it would be repeated in', async () => {
    const event = (more: object = {}) => ({ ...track(), messageId: crypto.randomUUID(), ...more });
    const own = event({ context: { locale: 'zh-CN' } });
    const deep = `${'[{"a":'.repeat(5_000)}1${'}]'.repeat(5_000)}`;
    const body = JSON.stringify({ batch: [event(), own], context: { deep: 0 } }).replace('"deep":0', `"deep":${deep}`);
    const answer = await app.send('/v1/batch', body, basic(clientKey));
    expect([answer.status, answer.body.rejected]).toMatchObject([200, [{ index: 0, code: 'too_deep' }]]);
    expect(await stored(own.messageId)).toBeDefined();
    const [large, sound] = ['x'.repeat(33_000), 'x'.repeat(30_000)].map((page) => ({ page }));
    const refused = await app.send('/v1/batch', { batch: [event()], context: large }, basic(clientKey));
    expect(refused.body.rejected).toMatchObject([{ code: 'event_too_large' }]);
    const many = (n: number) => ({ batch: Array.from({ length: n }, () => event()), context: sound });
    expect((await app.send('/v1/batch', many(10), basic(clientKey))).status).toBe(200);
    expect((await app.send('/v1/batch', many(400), basic(clientKey))).status).toBe(413);
  });

  it('F7: for a gzip bomb, cut off at the limit', async () => {
    const bomb = gzip(`{"batch":[],"padding":"${'0'.repeat(50_000_000)}"}`);
    expect(bomb.length).toBeLessThan(100_000);
    const before = process.memoryUsage().rss;
    const answer = await app.send('/v1/batch', bomb, { ...basic(clientKey), 'content-encoding': 'gzip' });
    expect(answer.status).toBe(413);
    expect(process.memoryUsage().rss - before).toBeLessThan(100_000_000);
  });
});

describe('F7: encodings', () => {
  it.each([
    ['truncated gzip', gzip(track()).subarray(0, 30), 'gzip', 400],
    ['no gzip', Buffer.from(JSON.stringify(track())), 'gzip', 400],
    ['gzip in gzip', gzip(gzip(track()).toString('latin1')), 'gzip', 400],
    ['deflate', Buffer.from('x'), 'deflate', 415],
    ['br', Buffer.from('x'), 'br', 415],
  ])('answers %s without a 500', async (_what, body, encoding, status) => {
    const answer = await app.send('/v1/track', body, { ...basic(clientKey), 'content-encoding': encoding });
    expect(answer.status).toBe(status);
  });
});

describe('429', () => {
  it('with Retry-After when more comes than one process may hold, and every 200 is stored', async () => {
    const crowd = await eventsApp(db);
    const trx = await db.transaction();
    // The table is locked, so that requests pile up.
    await trx.raw('lock table events in exclusive mode');
    const headers = { ...basic(clientKey), 'content-encoding': 'gzip' };
    const posts = Array.from({ length: 60 }, async () => {
      const messageId = crypto.randomUUID();
      const body = gzip({ batch: [track({ messageId })], padding: 'x'.repeat(490_000) });
      return { messageId, answer: await crowd.send('/v1/batch', body, headers) };
    });
    const refusals = posts.map(async (post) =>
      (await post).answer.status === 429 ? post : new Promise<never>(() => {}),
    );
    const refused = await Promise.race(refusals);
    expect(refused.answer.headers.get('retry-after')).toBe('1');
    await trx.rollback();
    const answers = await Promise.all(posts);
    expect(new Set(answers.map(({ answer }) => answer.status))).toEqual(new Set([200, 429]));
    for (const { messageId, answer } of answers) {
      expect((await eventRows(db, { message_id: messageId })).length).toBe(answer.status === 200 ? 1 : 0);
    }
  });
});

describe('F17: without a key in the header', () => {
  it('whoever has a network of IPv6 addresses has one turn, and takes no room from others', async () => {
    const crowd = await eventsApp(db, { proxies: 1 });
    const trx = await db.transaction();
    await trx.raw('lock table events in exclusive mode');
    let refused = 0;
    const sendFrom = async (ip: string) => {
      const body = gzip({ writeKey: openKey, batch: [track()], padding: 'x'.repeat(490_000) });
      const { status } = await crowd.send('/v1/batch', body, { 'content-encoding': 'gzip', 'x-forwarded-for': ip });
      if (status === 429) refused += 1;
      return status;
    };
    // Nine are open and 32 wait: there is room for no more.
    const flood = Array.from({ length: 50 }, (_, n) => sendFrom(`2001:db8:1:1::${n + 1}`));
    await expect.poll(() => refused).toBe(9);
    const other = sendFrom('2001:db8:1:2::1');
    await expect.poll(() => refused).toBe(10);
    await trx.rollback();
    expect(await other).toBe(200);
    await Promise.all(flood);
  });
});

describe('503', () => {
  it('with Retry-After when the database is away', async () => {
    const closed = await new Promise<number>((resolve) => {
      const server = createServer().listen(0, '127.0.0.1', () => {
        const address = server.address();
        server.close(() => resolve(address && typeof address === 'object' ? address.port : 0));
      });
    });
    const away = createDatabase({ url: `postgres://nobody@127.0.0.1:${closed}/none` });
    const orphan = await eventsApp(away);
    const answer = await orphan.send('/v1/track', track(), basic(clientKey));
    expect(answer).toMatchObject({ status: 503, body: { error: { code: 'database_unavailable' } } });
    expect(answer.headers.get('retry-after')).toBe('2');
    await away.destroy();
  });
});
