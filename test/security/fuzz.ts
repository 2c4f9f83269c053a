/** What trackers and programs really send, to each route, with something wrong in it that is drawn from a seed (mutate.ts). */
import LZ from 'lz-string';
import { usualRfm } from '../../src/profiles/rfm.ts';
import { templates } from '../../src/segments/templates.ts';
import recorded from '../events/adapters/growingio-requests.json' with { type: 'json' };
import type { Random } from '../subjects/history.ts';
import type { Sent } from './answers.ts';
import { basic, bearer } from './attacker.ts';
import { broken, bytesOf, mutated, sent, zipped } from './mutate.ts';

const now = () => new Date().toISOString();
const id = '01890000-0000-7000-8000-000000000000';
const common = () => ({
  anonymousId: 'fuzz-visitor',
  userId: id,
  timestamp: now(),
  sentAt: now(),
  originalTimestamp: now(),
  context: {
    page: { url: 'https://shop.example/p?utm_source=wechat', title: '山屿', referrer: '' },
    campaign: { source: 'wechat' },
    consent: { categoryPreferences: { profiling: true } },
    externalIds: [{ id: 'oX1', type: 'wechat_openid', collection: 'users' }],
    device: { id: 'd', type: 'phone' },
    library: { name: 'x', version: '1' },
    timezone: 'Asia/Shanghai',
  },
  integrations: { All: true },
});
const product = { product_id: 'p-1', price: 5999, currency: 'CNY', category: ['茶'], n: { m: [1, { o: null }] } };
const order = { order_id: 'o-1', total: 12.5, products: [product, product], coupon: null };
const single: Record<string, () => object> = {
  track: () => ({ ...common(), event: 'product_viewed', properties: product }),
  page: () => ({
    ...common(),
    name: '首页',
    category: 'home',
    properties: { path: '/', url: 'https://shop.example/' },
  }),
  screen: () => ({ ...common(), name: '首页', properties: {} }),
  identify: () => ({ ...common(), traits: { plan: 'gold', phone: '+8613800138000', address: { city: '上海' } } }),
  group: () => ({ ...common(), groupId: 'g-1', traits: { size: 3 } }),
  alias: () => ({ ...common(), previousId: 'old' }),
};
const batch = () => ({
  batch: Object.entries(single).map(([type, make]) => ({ type, messageId: crypto.randomUUID(), ...make() })),
  sentAt: now(),
  context: { ip: '1.2.3.4' },
});
const trackerRecord = (more: object = {}) => ({
  type: 'track',
  event: '$pageview',
  time: Date.now(),
  _flush_time: Date.now(),
  _track_id: 17,
  distinct_id: 'fuzz-visitor',
  identities: { $identity_cookie_id: 'fuzz-visitor', $identity_login_id: 'u-17' },
  lib: { $lib: 'js', $lib_version: '1.26', $lib_method: 'code' },
  properties: {
    $url: 'https://shop.example/',
    $title: '首页',
    $is_first_day: true,
    $latest_utm_source: 'wechat',
    price: 1,
  },
  ...more,
});
const profileRecord = () => trackerRecord({ type: 'profile_set', event: undefined, properties: { plan: 'gold' } });

/** `sub` is somebody's. */
type Doors = { client: string; server: string; machine: () => string; sub: string };
export type Target = { name: string; draw(random: Random): Sent };

const json = (
  name: string,
  method: string,
  path: string,
  headers: () => Record<string, string>,
  value: () => unknown,
) => ({
  name,
  draw: (random: Random): Sent => sent(random, { method, path, headers: headers(), body: mutated(random, value()) }),
});

export function targets({ client, server, machine, sub }: Doors): Target[] {
  const byServer = () => basic(server, '');
  const byClient = () => basic(client, '');
  const tracking = Object.entries(single).flatMap(([type, make]) => [
    json(`/v1/${type}`, 'POST', `/v1/${type}`, type === 'track' ? byServer : byClient, make),
    json(
      `/v1/${type.charAt(0)}`,
      'POST',
      `/v1/${type.charAt(0)}`,
      () => ({}),
      () => ({ writeKey: client, ...make() }),
    ),
  ]);
  const beacon = `/beacon/v1/batch?writeKey=${client}`;
  return [
    ...tracking,
    json('/v1/track with an order', 'POST', '/v1/track', byServer, () => ({
      ...common(),
      event: 'order_paid',
      properties: order,
    })),
    json('/v1/batch', 'POST', '/v1/batch', byServer, batch),
    json('/v1/b', 'POST', '/v1/b', byClient, batch),
    json('/v1/import', 'POST', '/v1/import', byServer, batch),
    json(
      '/v1/m',
      'POST',
      '/v1/m',
      () => ({}),
      () => ({ series: [{ type: 'Counter', metric: 'x', value: 1 }] }),
    ),
    json(
      '/rsaMetrics',
      'POST',
      '/rsaMetrics',
      () => ({}),
      () => ({ version: '1', message_id: 'x' }),
    ),
    json('/beacon/v1/batch', 'POST', beacon, () => ({}), batch),
    { name: 'configurations', draw: (random) => configuration(random, client) },
    { name: '/sa', draw: (random) => form(random, client) },
    { name: '/debug', draw: (random) => ({ ...form(random, server), path: `/debug?token=${server}` }) },
    { name: '/v3/projects', draw: (random) => packed(random, client) },
    { name: '/v3/projects as recorded', draw: (random) => recordedBytes(random, client) },
    ...management(() => bearer(machine()), sub),
  ];
}

function configuration(random: Random, key: string): Sent {
  const odd = [key, '', '%00', '%ED%A0%80', '%FF', '__proto__', '..%2f..%2f', 'x'.repeat(3_000), "'%3B--"];
  const value = random.one(odd) ?? '';
  const paths = [
    `/v1/projects/${value}/settings`,
    `/sourceConfig?writeKey=${value}`,
    `/sourceConfig?writeKey=${key}&writeKey=${value}`,
  ]
    .concat([`/sourceConfig?${value}=${value}`, `/v3/projects/${value}/collect?stm=${value}&data=${value}`])
    .concat([
      `/sa.gif?token=${value}&data=${value}`,
      `/sa?project=${key}&data_list=${value}&gzip=${value}&ext=crc%3D${value}`,
    ]);
  return { path: random.one(paths) ?? '' };
}

/** The form of Sensors Analytics: base64 of JSON, perhaps of its gzip. */
function form(random: Random, key: string): Sent {
  const record = random.chance(0.7) ? trackerRecord() : profileRecord();
  const isList = random.chance(0.5);
  const bytes = bytesOf(random, mutated(random, isList ? [record, record] : record));
  const data = (random.chance(0.5) ? zipped(random, bytes) : bytes).toString('base64');
  const fields = new URLSearchParams({
    [isList ? 'data_list' : 'data']: broken(random, data),
    gzip: random.one(['0', '1', 'x']) ?? '',
  });
  const path = `/sa?project=production&token=${key}`;
  if (random.chance(0.2) && data.length < 8_000) return { path: `/sa.gif?token=${key}&${fields}` };
  return sent(random, { method: 'POST', path, headers: { 'content-type': 'text/plain' }, body: String(fields) });
}

const tracked = () => ({
  eventType: 'CUSTOM',
  eventName: 'product_viewed',
  deviceId: 'fuzz-visitor',
  userId: 'user-17',
  sessionId: 's',
  timestamp: Date.now(),
  domain: 'shop.example',
  path: '/p',
  query: 'utm_source=wechat',
  title: '首页',
  attributes: { price: '5999', note: '😀' },
});

function packed(random: Random, key: string): Sent {
  const text = mutated(random, [tracked(), { ...tracked(), eventType: 'PAGE' }]);
  const isPacked = random.chance(0.6);
  const body = isPacked ? Buffer.from(LZ.compressToUint8Array(text)) : bytesOf(random, text);
  if (isPacked && random.chance(0.3) && body.length) body[random.below(body.length)] = random.below(256);
  const codec: Record<string, string> = random.chance(0.1) ? { 'x-compress-codec': '2' } : {};
  return {
    method: 'POST',
    path: `/v3/projects/${key}/collect?stm=${random.one([Date.now(), 'x', '1e400', '-1'])}&compress=${isPacked ? 1 : 0}`,
    headers: codec,
    body,
  };
}

const recordings = (
  Object.values(recorded) as { method: string; path: string; headers: Record<string, string>; body?: string }[][]
).flat();

function recordedBytes(random: Random, key: string): Sent {
  const { method, path, headers, body } = random.one(recordings) ?? { method: 'GET', path: '/', headers: {} };
  const { origin: _, ...others } = headers;
  const bytes = Buffer.from(body ?? '', 'base64');
  for (let n = random.below(4); n > 0 && bytes.length; n--) bytes[random.below(bytes.length)] = random.below(256);
  const to = path.replace('{key}', key);
  return {
    method,
    headers: others,
    path: random.chance(0.3) ? broken(random, to).replace(/[^!-~]/g, '%') : to,
    body: bytes,
  };
}

const paid = { event: 'order_paid', within: '90d' };
const workings = [
  { ...paid, sum: { of: 'total' } },
  { ...paid, count: true },
  {
    ratio: [
      { ...paid, count: true },
      { event: 'order_placed', count: true },
    ],
  },
];

/** The management API of segments, traits, tags and events. A few keys, so that definitions are replaced and not heaped up. */
function management(headers: () => Record<string, string>, sub: string): Target[] {
  const key = (random: Random) => `fuzz-${random.below(12)}`;
  const definition = (random: Random) => ({ ...random.one(templates)?.definition, key: key(random), name: '人群' });
  const listed = () => ({ version: 1, kind: 'list', key: 'fuzz-list', name: '名单', purpose: 'marketing' });
  const trait = (random: Random) => ({
    name: `fuzz_${random.below(12)}`,
    title: { 'zh-CN': '花费', en: 'Spent' },
    definition: random.one(workings),
    tz: 'Asia/Shanghai',
  });
  const described = (random: Random) => ({
    name: `fuzz_event_${random.below(12)}`,
    title: { 'zh-CN': '一', en: 'one' },
    aliases: ['Fuzz'],
    properties: { price: { type: 'number', required: true }, 'products[].sku': { type: 'string' } },
    mode: 'document',
    least_trust: null,
  });
  const ask = (
    name: string,
    method: string,
    path: (random: Random) => string,
    value: (random: Random) => unknown,
  ): Target => ({
    name,
    draw: (random) =>
      sent(random, {
        method,
        path: `/api/v1${path(random)}`,
        headers: headers(),
        body: mutated(random, value(random)),
      }),
  });
  const read = (random: Random): Sent => {
    const names = ['limit', 'cursor', 'write_key', 'outcome', 'code', 'days', '__proto__'];
    const odd = ['', '0', '-1', '1e9', '%00', '%FF', 'x', '__proto__', 'a'.repeat(2_000), 'eyJhIjoxfQ', "'%3B--", '2'];
    const paths = ['/segments', `/segments/${key(random)}`, '/segments/templates', '/traits', '/rfm', '/tag-rules']
      .concat(['members', 'changes', 'sizes'].map((part) => `/segments/${key(random)}/${part}`))
      .concat([
        `/subjects/${sub}/segments`,
        `/subjects/${sub}/segments/${key(random)}/explain`,
        `/subjects/${sub}/profile`,
      ])
      .concat(['/events/catalogue', '/events/feed', '/events/rejections', '/events/rejections/summary'])
      .concat([`/segments/${random.one(odd)}`, `/traits/${random.one(odd)}`, `/subjects/${random.one(odd)}/segments`]);
    const query = random.chance(0.6) ? `?${random.one(names)}=${random.one(odd)}` : '';
    return { path: `/api/v1${random.one(paths)}${query}`, headers: headers() };
  };
  const list = () => ({ add: [sub], remove: [sub] });
  return [
    ask('POST /segments', 'POST', () => '/segments', definition),
    ask('POST /segments, a list', 'POST', () => '/segments', listed),
    ask('PUT /segments/{key}', 'PUT', (random) => `/segments/${key(random)}`, definition),
    ask('POST /segments/preview', 'POST', () => '/segments/preview', definition),
    ask(
      'PUT /segments/{key}/status',
      'PUT',
      (random) => `/segments/${key(random)}/status`,
      () => ({ status: 'paused' }),
    ),
    ask(
      'POST /segments/{key}/list',
      'POST',
      (random) => `/segments/${random.one(['fuzz-list', key(random)])}/list`,
      list,
    ),
    ask('POST /traits', 'POST', () => '/traits', trait),
    ask('PUT /traits/{name}', 'PUT', (random) => `/traits/fuzz_${random.below(12)}`, trait),
    ask(
      'PUT /rfm',
      'PUT',
      () => '/rfm',
      () => usualRfm,
    ),
    ask(
      'PUT /tag-rules',
      'PUT',
      (random) => `/tag-rules/vip/${key(random)}`,
      () => ({}),
    ),
    ask(
      'PUT /subjects/{sub}/traits',
      'PUT',
      () => `/subjects/${sub}/traits`,
      () => ({ plan: 'gold', sizes: [1, 2], a: { b: null } }),
    ),
    ask('POST /events/catalogue', 'POST', () => '/events/catalogue', described),
    ask(
      'PUT /events/catalogue/{name}',
      'PUT',
      (random) => `/events/catalogue/fuzz_event_${random.below(12)}`,
      (random) => {
        const { name: _, ...rest } = described(random);
        return rest;
      },
    ),
    { name: 'reading', draw: read },
  ];
}
