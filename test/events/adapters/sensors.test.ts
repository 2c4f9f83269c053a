/** The wire format of Sensors Analytics' trackers, byte by byte; the trackers themselves are in sensors-trackers.test.ts. */
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { keyOf } from '../../../src/subjects/identity-key.ts';
import { testDatabase } from '../../helpers/database.ts';
import {
  addSubject,
  agree,
  clientKey,
  eventRows,
  eventsApp,
  movableClock,
  openKey,
  seal,
  seedKeys,
  serverKey,
} from '../harness.ts';

const { db } = await testDatabase();
const received = '2026-11-23T08:00:00.000Z';
const app = await eventsApp(db, { clock: movableClock(received) });
await seedKeys(db);

const now = Date.parse(received);
const visitor = () => `visitor-${crypto.randomUUID()}`;
const record = (fields: Record<string, unknown> = {}) => ({
  type: 'track',
  event: 'view_item',
  time: now,
  _flush_time: now,
  _track_id: Math.floor(Math.random() * 1e9),
  distinct_id: 'visitor',
  lib: { $lib: 'js', $lib_version: '1.0' },
  properties: {},
  ...fields,
});
const base64 = (value: unknown) =>
  (Buffer.isBuffer(value) ? value : Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))).toString(
    'base64',
  );
const form = (fields: object) => new URLSearchParams(Object.entries(fields)).toString();
const address = (key: string, path = '/sa') => `${path}?project=production&token=${key}`;

async function ask(url: string, init: RequestInit = {}) {
  const response = await fetch(`${app.url}${url}`, init);
  const bytes = Buffer.from(await response.arrayBuffer());
  const json = response.headers.get('content-type')?.includes('json') ? JSON.parse(bytes.toString()) : undefined;
  return { status: response.status, headers: response.headers, bytes, error: json?.error, json };
}
const post = (fields: object, key = openKey, headers: Record<string, string> = {}) =>
  ask(address(key), { method: 'POST', body: form(fields), headers: { 'content-type': 'text/plain', ...headers } });
/** As their libraries for servers send: Node, Java, PHP, Python. */
const fromServer = (records: unknown[], path = '/sa', headers: Record<string, string> = {}) =>
  ask(address(serverKey, path), {
    method: 'POST',
    body: form({ data_list: base64(gzipSync(JSON.stringify(records))), gzip: '1' }),
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
  });

describe('a request', () => {
  it('is read as image, as form, as query of a POST-less tracker, and answered as each expects', async () => {
    const anonymous_id = visitor();
    const data = () => ({ data: base64(record({ anonymous_id })) });
    const image = await ask(`${address(openKey, '/sa.gif')}&${form(data())}`);
    expect(image).toMatchObject({ status: 200, error: undefined });
    expect(image.headers.get('content-type')).toBe('image/gif');
    expect(image.headers.get('cross-origin-resource-policy')).toBe('cross-origin');
    expect(image.bytes.subarray(0, 6).toString()).toBe('GIF89a');
    expect((await ask(`${address(openKey)}&${form(data())}`)).status).toBe(200);
    const posted = await post(data());
    expect([posted.status, posted.bytes.length]).toEqual([200, 0]);
    expect((await ask(`/sa?project=${openKey}`, { method: 'POST', body: form(data()) })).status).toBe(200);
    expect(await eventRows(db, { anonymous_id })).toHaveLength(4);
  });

  it('may be gzipped with or without saying so, have its plus signs unescaped, and write emoji in halves', async () => {
    const anonymous_id = visitor();
    const note = '山屿 🎁 ûþ~>?';
    const send = () => record({ anonymous_id, properties: { note } });
    const zipped = base64(gzipSync(JSON.stringify([send()])));
    await post({ data_list: zipped, gzip: '1' });
    await post({ data: base64(gzipSync(JSON.stringify(send()))) });
    await ask(address(openKey), { method: 'POST', body: `data=${base64(send())}` });
    const halves = [...JSON.stringify(send())].flatMap((letter) =>
      letter.length === 1 ? [Buffer.from(letter)] : [...letter].length ? halvesOf(letter) : [],
    );
    await post({ data: base64(Buffer.concat(halves)) });
    const rows = await eventRows(db, { anonymous_id });
    expect(rows.map(({ properties }) => properties.note)).toEqual(Array(4).fill(note));
  });

  it('of a website that the key does not name is refused, also as an image that hides where it is', async () => {
    const url = `${address(clientKey, '/sa.gif')}&${form({ data: base64(record()) })}`;
    const statusOf = async (headers: Record<string, string>) => (await ask(url, { headers })).status;
    expect(await statusOf({ referer: 'https://www.example.com/shoes' })).toBe(200);
    expect(await statusOf({ referer: 'https://evil.example.net/' })).toBe(403);
    expect(await statusOf({ 'sec-fetch-site': 'cross-site' })).toBe(403);
    expect(await statusOf({})).toBe(200);
    const beacon = await post({ data: base64(record()) }, clientKey, { origin: 'https://evil.example.net' });
    expect(beacon.error?.code).toBe('origin_not_allowed');
  });

  it.each([
    ['nothing in it', {}, 400, 'bad_request'],
    ['no base64 of JSON', { data: '%%%' }, 400, 'invalid_json'],
    ['half of it', { data: base64(record()).slice(0, 60) }, 400, 'invalid_json'],
    ['another checksum', { data: base64(record()), ext: 'crc=17' }, 400, 'bad_request'],
    ['F7: half a gzip', { data: base64(gzipSync('[{"a":1}]').subarray(0, 20)) }, 400, 'bad_request'],
    ['F7: gzip in gzip', { data: base64(gzipSync(gzipSync('[]'))) }, 400, 'invalid_json'],
    ['F7: a gzip bomb', { data: base64(gzipSync(Buffer.alloc(50_000_000))) }, 413, 'payload_too_large'],
    ['F6: 500 KB', { data: 'a'.repeat(512_001) }, 413, 'payload_too_large'],
    ['F6: 10 000 records', { data_list: base64(gzipSync(`[${Array(10_000).fill('{}')}]`)) }, 413, 'payload_too_large'],
    ['encrypted records', { data: '{"pkv":1,"ekey":"k","payloads":["x"]}' }, 400, 'bad_request'],
    ['an encrypted list', { data_list: base64([{ pkv: 1, ekey: 'k', payloads: [] }]) }, 400, 'bad_request'],
  ])('with %s is refused and says why', async (_what, fields, status, code) => {
    const answer = await post(fields);
    expect([answer.status, answer.error?.code]).toEqual([status, code]);
    expect(answer.error.message).toMatch(/^[A-Z"].*\.$/);
  });

  it('without a known key is refused', async () => {
    for (const query of ['project=default', 'token=', 'token=nobodys&project=the-client-key'])
      expect((await ask(`/sa?${query}`, { method: 'POST', body: 'data=e30' })).error?.code).toBe('unknown_write_key');
  });

  it('F6: keeps its good records whatever stands beside them, and the bad ones for the owner of the key', async () => {
    const anonymous_id = visitor();
    const nested = (levels: number) => JSON.parse(`${'['.repeat(levels)}{"0":1}${']'.repeat(levels)}`);
    const keys = Object.fromEntries(Array.from({ length: 2100 }, (_, i) => [`k${i}`, 1]));
    const good = record({ anonymous_id, properties: { nul: 'a\0b', half: '\ud83c', $url: 7, __proto__: 1, n: 1e300 } });
    const bad = [
      7,
      null,
      [],
      {},
      record({ anonymous_id, properties: { deep: nested(1000) } }),
      record({ anonymous_id, properties: keys }),
      record({ anonymous_id, properties: { text: 'x'.repeat(33_000) } }),
      record({ anonymous_id, event: undefined }),
      record({ distinct_id: undefined }),
      record({ distinct_id: '13800138000' }),
      record({ type: 'item_set', item_type: 'shoe', item_id: '1' }),
      record({ type: 'identify' }),
      record({ anonymous_id, type: '__proto__' }),
    ];
    await db('event_rejections').del();
    const answer = await post({ data_list: base64([...bad, good]) });
    const deepest = JSON.stringify([record({ anonymous_id, properties: { keys, at: 'here' } })]).replace(
      '"here"',
      `${'['.repeat(100_000)}{"0":1}${']'.repeat(100_000)}`,
    );
    expect((await post({ data_list: base64(deepest) })).status).toBe(200);
    expect([answer.status, answer.bytes.length]).toEqual([200, 0]);
    expect(await eventRows(db, { anonymous_id })).toHaveLength(1);
    const kept = await db('event_rejections').orderBy('code');
    expect(kept.map(({ code }) => code)).toEqual([
      'event_name_missing',
      'event_too_large',
      'identity_missing',
      'identity_missing',
      'not_an_object',
      'not_an_object',
      'not_an_object',
      'too_deep',
      'too_many_keys',
      'too_many_keys',
      'type_unknown',
      'type_unknown',
      'type_unknown',
      'type_unknown',
    ]);
    expect(JSON.stringify(kept)).not.toContain('13800138000');
  });

  it('to /debug says what is wrong, and stores nothing when it is a dry run', async () => {
    const sub = await addSubject(db);
    const event = `dry-${sub}`;
    const dry = { 'dry-run': 'true' };
    expect(await fromServer([record({ event, distinct_id: sub })], '/debug', dry)).toMatchObject({
      status: 200,
      json: {},
    });
    const wrong = await fromServer([record({ event }), record({ event: '' })], '/debug', dry);
    expect(wrong).toMatchObject({ status: 400, error: { fields: { event_name_missing: expect.any(String) } } });
    expect(await eventRows(db, { event })).toEqual([]);
    await fromServer([record({ event, distinct_id: sub })], '/debug');
    expect(await eventRows(db, { event })).toHaveLength(1);
    const query = `${address(openKey, '/debug')}&${form({ data: base64(record()) })}`;
    expect(await ask(query, { headers: dry })).toMatchObject({ status: 200, json: {} });
  });

  it('for an openid is told where to sign in', async () => {
    const answer = await ask('/mp_login?project=default&code=c&appid=a');
    expect(answer).toMatchObject({ status: 404, error: { message: expect.stringContaining('/token') } });
  });
});

/** As the mini-program tracker writes what lies outside the basic plane. */
function halvesOf(letter: string): Buffer[] {
  return [0, 1].map((at) => {
    const unit = letter.charCodeAt(at);
    return Buffer.from([0xe0 | (unit >> 12), 0x80 | ((unit >> 6) & 0x3f), 0x80 | (unit & 0x3f)]);
  });
}

describe('F4: a record that is sent again', () => {
  it('is stored once, whenever it leaves and whoever signed in meanwhile', async () => {
    const anonymous_id = visitor();
    const first = record({ anonymous_id, identities: { $identity_cookie_id: anonymous_id } });
    const again = { ...first, _flush_time: now + 90_000, identities: { $identity_login_id: 'user-17' } };
    await Promise.all([first, again, first].map((sent) => post({ data: base64(sent) })));
    await post({ data_list: base64([again, first, again]) });
    expect(await eventRows(db, { anonymous_id })).toHaveLength(1);
  });

  it('is another when it says something else in the same millisecond', async () => {
    const anonymous_id = visitor();
    const profile = record({ anonymous_id, type: 'profile_set', _track_id: undefined, properties: { plan: 'gold' } });
    await post({ data_list: base64([profile, { ...profile, properties: { plan: 'silver' } }]) });
    expect(await eventRows(db, { anonymous_id })).toHaveLength(2);
  });
});

describe('a record', () => {
  async function stored(fields: Record<string, unknown>, key = openKey) {
    const anonymous_id = visitor();
    await post({ data: base64(record({ anonymous_id, ...fields })) }, key);
    const [row] = await eventRows(db, { anonymous_id });
    return row;
  }

  it('F9: happened as long before it was sent as its sender says, whatever his clock shows', async () => {
    const wrong = now - 3_600_000;
    expect((await stored({ time: wrong - 60_000, _flush_time: wrong })).timestamp).toEqual(new Date(now - 60_000));
    expect((await stored({ time: now - 86_400_000, _flush_time: undefined })).timestamp).toEqual(
      new Date(now - 86_400_000),
    );
    for (const time of ['yesterday', 0, -1, 1e18, null])
      expect((await stored({ time, _flush_time: undefined })).timestamp.getTime()).toBeLessThan(now + 300_001);
  });

  it('has its presets in the context, of this visit before those remembered, and placeholders nowhere', async () => {
    const { context, properties } = await stored({
      properties: {
        $utm_source: 'douyin',
        $latest_utm_source: 'baidu',
        $latest_utm_medium: 'cpc',
        $latest_scene: 'wx-1007',
        $latest_share_distinct_id: '13800138000',
        $latest_share_depth: 2,
        $latest_landing_page: '取值异常',
        $referrer: '直接打开',
        $url_path: '/shoes',
        $os: 'iOS',
        $lib: 'js',
        $element_id: 'buy',
        price: 1,
      },
    });
    expect(context).toEqual({
      library: { name: 'sa-sdk-javascript', version: '1.0' },
      page: { path: '/shoes' },
      os: { name: 'iOS' },
      campaign: { source: 'douyin' },
      scene: '1007',
      share: { depth: 2 },
      channel_group: 'social',
    });
    expect(properties).toEqual({ $element_id: 'buy', price: 1 });
  });

  it.each([
    ['js', openKey, 'app'],
    ['js', serverKey, 'website'],
    ['MiniProgram', openKey, 'miniprogram'],
    ['AlipayMini', clientKey, 'miniprogram'],
    ['iOS', clientKey, 'app'],
    ['Java', serverKey, 'server'],
    [7, clientKey, 'website'],
  ])('of the library %s has the channel that this and its key say', async ($lib, key, channel) => {
    expect((await stored({ lib: { $lib } }, key)).channel).toBe(channel);
  });

  it.each([
    ['profile_set', { plan: 'gold', $name: 'Lily' }, 'identified', { plan: 'gold', name: 'Lily' }],
    ['profile_unset', { plan: true }, 'identified', { plan: null }],
    ['profile_set_once', { $first_visit_time: 't' }, 'profile_set_once', { first_visit_time: 't' }],
    ['profile_increment', { points: 3 }, 'profile_increment', { points: 3 }],
    ['profile_append', { tags: ['a'] }, 'profile_append', { tags: ['a'] }],
    ['profile_delete', undefined, 'profile_delete', {}],
    ['profile_set', { phone: '13800138000' }, 'identified', { phone: '138****8000' }],
  ])('%s %j is kept as %s', async (type, properties, event, expected) => {
    expect(await stored({ type, event: undefined, properties })).toMatchObject({ event, properties: expected });
  });

  it.each([
    ['user-17', 'user-17'],
    [17, '17'],
    ['13800138000', null],
    ['lily@example.com', null],
    ['$identity_mobile+13800138000', null],
    ['$identity_email+lily@example.com', null],
    ['shop_id+77', 'shop_id+77'],
  ])('F1: of a public key, its login %s is a claim at most, and no number or address', async (login_id, claimed) => {
    const row = await stored({ login_id, distinct_id: login_id, identities: { $identity_mobile: '13800138000' } });
    expect(row).toMatchObject({ claimed_user_id: claimed, subject_id: null, trust: 'claimed' });
    expect(JSON.stringify(row)).not.toContain('13800138000');
  });
});

describe('a server', () => {
  async function person(identities: Parameters<typeof keyOf>[1][] = []) {
    const sub = await addSubject(db);
    for (const identity of identities)
      await db('identities').insert({
        subject_id: sub,
        ...keyOf(seal, identity),
        verified_at: received,
        last_used_at: received,
      });
    return sub;
  }
  const seen = async (subject_id: string) =>
    (await eventRows(db, { subject_id })).map(({ event, trust }) => `${event} ${trust}`);

  it('names people by sub, in distinct_id or login_id', async () => {
    const sub = await person();
    const lib = { $lib: 'Node', $lib_version: '1.2.6' };
    await fromServer([
      record({ distinct_id: sub, event: 'Order Completed', lib, properties: { total: 99.5 } }),
      record({ distinct_id: 'x', login_id: sub, anonymous_id: visitor(), event: 'refund', lib }),
      record({ distinct_id: sub, type: 'profile_set', properties: { plan: 'gold' }, lib }),
    ]);
    expect((await seen(sub)).sort()).toEqual(['identified server', 'order_paid server', 'order_refunded server']);
    expect((await eventRows(db, { subject_id: sub, event: 'order_paid' }))[0]).toMatchObject({
      channel: 'server',
      counts: true,
      original_event: 'Order Completed',
      context: { library: { name: 'sa-sdk-node', version: '1.2.6' } },
    });
  });

  it.each([
    [{ kind: 'phone', issuer: '', external_id: '+8613800138000' }, { $identity_mobile: '13800138000' }],
    [{ kind: 'email', issuer: '', external_id: 'lily@example.com' }, { $identity_email: 'lily@example.com' }],
    [{ kind: 'wechat_openid', issuer: 'wxapp', external_id: 'o-1' }, { $identity_mp_wxapp_openid: 'o-1' }],
    [{ kind: 'wechat_unionid', issuer: 'platform', external_id: 'u-1' }, { $identity_mp_unionid: 'u-1' }],
    [{ kind: 'member_no', issuer: '', external_id: 'M-1' }, { member_no: 'M-1' }],
  ] as const)('names people by %j', async (identity, identities) => {
    const sub = await person([identity]);
    await fromServer([record({ distinct_id: undefined, identities, event: 'named' })]);
    const [[key, id] = ['', '']] = Object.entries(identities);
    await fromServer([record({ distinct_id: `${key}+${id}`, login_id: `${key}+${id}`, event: 'keyed' })]);
    expect((await seen(sub)).sort()).toEqual(['keyed server', 'named server']);
  });

  it.each([
    ['signing him up', (sub: string, original_id: string) => ({ type: 'track_signup', distinct_id: sub, original_id })],
    [
      'binding their ids',
      (sub: string, cookie: string) => ({
        type: 'track_id_bind',
        distinct_id: undefined,
        identities: { $identity_login_id: sub, $identity_cookie_id: cookie },
      }),
    ],
  ])('binds a visitor to a customer by %s, once', async (_how, fields) => {
    const [sub, anonymous_id] = [await person(), visitor()];
    await agree(db, sub);
    const binding = record({ ...fields(sub, anonymous_id), event: 'bound' });
    await fromServer([binding]);
    await fromServer([binding]);
    await post({ data: base64(record({ anonymous_id, event: 'after', time: now + 1 })) });
    expect((await seen(sub)).sort()).toEqual(['after bound', 'bound server', 'identified server']);
    expect(await db('anonymous_bindings').where({ anonymous_id, subject_id: sub })).toHaveLength(1);
  });

  it('F3: is not led astray by a visitor who calls himself like a customer', async () => {
    const [thief, customer] = [await person(), visitor()];
    await db('anonymous_bindings').insert({
      anonymous_id: customer,
      subject_id: thief,
      method: 'token',
      looks_back_to: '-infinity',
      last_seen_at: received,
      bound_at: received,
    });
    await fromServer([
      record({ distinct_id: customer, event: 'Order Completed' }),
      record({ distinct_id: customer, event: 'seen', properties: { $is_login_id: false } }),
    ]);
    expect(await seen(thief)).toEqual(['seen server']);
    expect(await eventRows(db, { claimed_user_id: customer })).toMatchObject([
      { event: 'order_paid', subject_id: null },
    ]);
  });
});
