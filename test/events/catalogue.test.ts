import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { builtin } from '../../src/events/builtin-catalogue.ts';
import { createCatalogue } from '../../src/events/catalogue.ts';
import { fold } from '../../src/events/definitions.ts';
import { checksOf, conform, type PropertyType, propertyTypes } from '../../src/events/property-types.ts';
import { weeklyCounts } from '../../src/events/weekly-counts.ts';
import { type Send, serveApi } from '../api/http.ts';
import { testDatabase } from '../helpers/database.ts';
import { basic, clientKey, eventRows, eventsApp, movableClock, seal, seedKeys } from './harness.ts';

const { db } = await testDatabase();
const clock = movableClock();
const app = await eventsApp(db, { clock });
await seedKeys(db);
let send: Send;
beforeAll(async () => {
  ({ send } = await serveApi({
    db,
    seal,
    authenticate: async () => ({ client_id: 'shop', scopes: ['settings:write'] }),
  }));
});

const api = async (method: string, path: string, body?: unknown, headers = {}) => {
  const answer = await send(method, `/api/v1/events/catalogue${path}`, { token: 'shop', body, headers });
  // What processes remember of the catalogue is five seconds old at most.
  clock.set(new Date(clock.now().getTime() + 6_000).toISOString());
  return answer;
};
async function sendEvent(event: Record<string, unknown>) {
  const messageId = crypto.randomUUID();
  const batch = [{ type: 'track', anonymousId: 'visitor', messageId, ...event }];
  const answer = await app.send('/v1/batch', { batch }, basic(clientKey));
  const [row] = await eventRows(db, { message_id: messageId });
  return { status: answer.status, rejected: answer.body.rejected?.[0], row };
}

describe('types of properties', () => {
  const convert = (type: PropertyType, value: unknown) => {
    const { properties, fault } = conform({ value }, checksOf({ value: { type } }));
    return fault ? fault.message : properties.value;
  };

  it.each<[PropertyType, unknown, unknown]>([
    ['string', '7', '7'],
    ['string', 7, '7'],
    ['string', 7.5, '7.5'],
    ['string', -0, '0'],
    ['number', 7, 7],
    ['number', '7', 7],
    ['number', ' 7.50 ', 7.5],
    ['money', '5999.00', 5999],
    ['money', '0.1', 0.1],
    ['money', '12345678901234567.89', '12345678901234567.89'],
    ['boolean', false, false],
    ['boolean', 'true', true],
    ['time', '2026-11-27', '2026-11-27'],
    ['time', '2026-11-27T08:00:00+08:00', '2026-11-27T00:00:00.000Z'],
    ['time', '2026-11-27 08:00+0800', '2026-11-27T00:00:00.000Z'],
    ['time', 1_795_680_000_000, '2026-11-26T08:00:00.000Z'],
    ['list', [1], [1]],
    ['object', { a: 1 }, { a: 1 }],
  ])('%s takes %j as %j', (type, value, expected) => expect(convert(type, value)).toEqual(expected));

  it.each<[PropertyType, unknown, string]>([
    ['string', true, 'text, and is true or false'],
    ['string', { id: 7 }, 'text, and is an object'],
    ['string', Number('12345678901234567'), 'text, and is a number'],
    ['string', 1e-7, 'text, and is a number'],
    ['number', 'seven', 'a number, and is text'],
    ['number', '0x7', 'a number, and is text'],
    ['number', '', 'a number, and is text'],
    ['number', Number.POSITIVE_INFINITY, 'a number, and is a number that no number can hold'],
    ['money', '¥5,999', 'a number, and is text'],
    ['money', [5999], 'a number, and is a list'],
    ['boolean', 1, 'true or false, and is a number'],
    ['time', '2026-02-30', 'a date, or a time with its zone, and is text'],
    ['time', '2026-11-27T24:30:00Z', 'a date, or a time with its zone, and is text'],
    ['time', '2026-11-27 08:00:00', 'a date, or a time with its zone, and is text'],
    ['time', 1_795_680_000, 'a date, or a time with its zone, and is a number'],
    ['list', { 0: 1 }, 'a list, and is an object'],
    ['object', [1], 'an object, and is a list'],
  ])('%s does not take %j', (type, value, words) =>
    expect(convert(type, value)).toBe(`The property "value" must be ${words}.`),
  );

  it('reads the objects of a list, and leaves its other things alone', () => {
    const checks = checksOf({ products: { type: 'list' }, 'products[].sku': { type: 'string', required: true } });
    const given = { products: [{ sku: 7, n: 1 }, 'x', { sku: '8' }] };
    expect(conform(given, checks)).toEqual({ properties: { products: [{ sku: '7', n: 1 }, 'x', { sku: '8' }] } });
    expect(given.products[0]).toEqual({ sku: 7, n: 1 });
    expect(conform({ products: [{}] }, checks).fault).toMatchObject({
      code: 'property_missing',
      path: 'products[].sku',
    });
    expect(conform({}, checks).fault).toBeUndefined();
  });

  it('F10, E5: takes whatever a stranger sends, and changes nothing but the values it converts', () => {
    const name = fc.constantFrom('value', '__proto__', 'constructor', 'toString', 'a');
    const own = {
      __proto__: null,
      value: { type: 'number' },
      a: { type: 'list' },
      'a[].value': { type: 'string' },
    } as const;
    const poisoned = JSON.parse('{"__proto__":{"type":"string"},"constructor":{"type":"object","required":true}}');
    const checks = checksOf({ ...own, ...poisoned });
    fc.assert(
      fc.property(fc.dictionary(name, fc.jsonValue({ maxDepth: 4 })), (given) => {
        const before = structuredClone(given);
        const { properties } = conform(given, checks);
        expect(given).toEqual(before);
        expect(Object.keys(properties).sort()).toEqual(Object.keys(given).sort());
        expect(conform(properties, checks).properties).toEqual(properties);
        expect({}.toString).toBe(Object.prototype.toString);
      }),
      { numRuns: 300 },
    );
  });
});

describe('the built-in catalogue', () => {
  it('gives each spelling one meaning', () => {
    const owners = new Map<string, string>();
    for (const { name, aliases } of builtin)
      for (const spelling of [name, ...aliases]) {
        expect([spelling, owners.get(fold(spelling)) ?? name]).toEqual([spelling, name]);
        owners.set(fold(spelling), name);
      }
  });

  it('finds a name whatever the case, spaces and hyphens', () => {
    const { canonicalName } = createCatalogue([]);
    for (const name of [
      'Order Completed',
      'order completed',
      'order_completed',
      'ORDER-COMPLETED',
      'order_paid',
      'Order Paid',
    ])
      expect(canonicalName(name)).toBe('order_paid');
    for (const name of ['__proto__', 'constructor', '订单', 'Order  Completed!'])
      expect(canonicalName(name)).toBe(name);
  });

  it('F10: a product is one product, whether its id comes as 7 or as "7", also in a list', async () => {
    const viewed = await Promise.all(
      [7, '7'].map((product_id) =>
        sendEvent({ event: 'Product Viewed', properties: { product_id, price: '5999.00' } }),
      ),
    );
    for (const { row } of viewed) expect(row.properties).toEqual({ product_id: '7', price: 5999 });
    const ordered = await sendEvent({
      event: 'order_placed',
      properties: { order_id: 1, products: [{ sku: 2, quantity: '3' }] },
    });
    expect(ordered.row.properties).toEqual({ order_id: '1', products: [{ sku: '2', quantity: 3 }] });
  });

  it.each([[{ a: 1 }], [[17]], [null], [true], ['a lot'], ['']])('F10: stores the price %j', async (price) => {
    const { row } = await sendEvent({ event: 'product_viewed', properties: { price } });
    expect(row.properties).toEqual({ price });
  });
});

describe("a company's own definitions", () => {
  const drive = {
    name: 'test_drive_booked',
    title: { 'zh-CN': '预约试驾', en: 'Test drive booked' },
    properties: { model: { type: 'string', required: true }, at: { type: 'time' }, deposit: { type: 'money' } },
    aliases: ['Test Drive', 'Probefahrt'],
    least_trust: 'token',
    mode: 'enforce',
  };

  it('are listed with what is built in, page by page', async () => {
    expect(await api('POST', '', drive)).toMatchObject({ status: 201, body: { ...drive, origin: 'own' } });
    const first = await api('GET', '?limit=40');
    const second = await api('GET', `?cursor=${first.body.next_cursor}`);
    const all = [...(first.body.data as object[]), ...(second.body.data as object[])];
    expect(all).toHaveLength(builtin.length + 1);
    expect(all).toContainEqual({ ...drive, origin: 'own' });
    expect(all.find((one) => 'name' in one && one.name === 'order_paid')).toMatchObject({
      title: { 'zh-CN': '订单支付' },
      properties: { total: { type: 'money' } },
      least_trust: 'server',
      mode: 'document',
      origin: 'builtin',
    });
  });

  it('say what an event is called, and what it takes to count', async () => {
    const { row } = await sendEvent({ event: 'probefahrt', properties: { model: 'S' } });
    expect(row).toMatchObject({ event: 'test_drive_booked', original_event: 'probefahrt', counts: false });
  });

  it('refuse an event that breaks a type they enforce, and store the rest of its batch', async () => {
    const book = (properties: unknown) => ({ type: 'track', anonymousId: 'v', event: 'Test Drive', properties });
    const batch = [
      book({ model: 'S', deposit: '500' }),
      book({ model: 'S', deposit: 'plenty' }),
      book({ deposit: 500 }),
      book({ model: 'S', at: '2026-02-30' }),
      { type: 'track', anonymousId: 'v', event: 'clicked', properties: { name: { no: 'text' } } },
    ];
    const { body } = await app.send('/v1/batch', { batch }, basic(clientKey));
    expect(body.rejected).toEqual([
      {
        index: 1,
        message_id: null,
        code: 'property_type',
        message: 'The property "deposit" must be a number, and is text.',
        path: 'deposit',
      },
      expect.objectContaining({ index: 2, code: 'property_missing', path: 'model' }),
      expect.objectContaining({ index: 3, code: 'property_type', path: 'at' }),
    ]);
    const rows = await eventRows(db, { anonymous_id: 'v' });
    expect(rows.map(({ event, properties }) => [event, properties])).toEqual([
      ['test_drive_booked', { model: 'S', deposit: 500 }],
      ['clicked', { name: { no: 'text' } }],
    ]);
    const kept = await db('event_rejections').where({ code: 'property_type' }).orderBy('path');
    expect(kept.map(({ path, sample }) => [path, sample.includes('plenty')])).toEqual([
      ['at', false],
      ['deposit', true],
    ]);
  });

  it('refuse a single event with the reason, whatever tracker it comes from', async () => {
    const one = await app.send('/v1/track', { event: 'Test Drive', anonymousId: 'v' }, basic(clientKey));
    expect(one).toMatchObject({
      status: 400,
      body: { error: { code: 'invalid_fields', fields: { property_missing: expect.any(String) } } },
    });
    const record = {
      type: 'track',
      event: 'Probefahrt',
      distinct_id: 'v',
      time: clock.now().getTime(),
      properties: { model: [] },
    };
    const data = Buffer.from(JSON.stringify(record)).toString('base64');
    await app.send(`/sa?token=${clientKey}`, `data=${encodeURIComponent(data)}`);
    const gio = {
      eventType: 'CUSTOM',
      eventName: 'Probefahrt',
      deviceId: 'v',
      timestamp: clock.now().getTime(),
      attributes: { model: 'S', deposit: '?' },
    };
    await app.send(`/v3/projects/${clientKey}/collect`, [gio]);
    const kept = await db('event_rejections').whereLike('code', 'property_%').orderBy('id', 'desc').limit(2);
    expect(kept.map(({ code, path }) => `${code} ${path}`)).toEqual(['property_type deposit', 'property_type model']);
  });

  it('say more about what is built in, which stays when they go', async () => {
    const own = {
      mode: 'enforce',
      aliases: ['Kauf'],
      properties: { total: { type: 'money', required: true }, store: { type: 'string' } },
    };
    const made = await api('POST', '', { name: 'order_paid', ...own, least_trust: 'token' });
    expect(made).toMatchObject({
      status: 201,
      body: {
        origin: 'extended',
        title: { en: 'Order paid' },
        aliases: expect.arrayContaining(['Order Completed', 'Kauf']),
        properties: { total: { required: true }, order_id: { type: 'string' }, store: { type: 'string' } },
        least_trust: 'token',
      },
    });
    expect((await sendEvent({ event: 'Order Completed' })).rejected).toMatchObject({ path: 'total' });
    expect((await sendEvent({ event: 'kauf', properties: { total: 1 } })).row).toMatchObject({ event: 'order_paid' });
    expect(await api('DELETE', '/order_paid')).toMatchObject({ status: 200 });
    expect((await sendEvent({ event: 'Order Completed' })).row).toMatchObject({ event: 'order_paid' });
    expect((await sendEvent({ event: 'kauf' })).row).toMatchObject({ event: 'kauf' });
    expect(await api('DELETE', '/order_paid')).toMatchObject({ status: 404 });
  });

  it('are changed as a whole, and audited', async () => {
    expect(await api('PUT', '/test_drive_booked', { title: { en: 'Drive' } })).toMatchObject({
      status: 200,
      body: { title: { en: 'Drive' }, properties: {}, aliases: [], mode: 'document', least_trust: 'claimed' },
    });
    expect((await sendEvent({ event: 'test_drive_booked' })).row).toMatchObject({ counts: true });
    expect(await api('PUT', '/never_heard_of', {})).toMatchObject({ status: 404 });
    expect(await api('POST', '', { name: 'test_drive_booked' })).toMatchObject({ status: 409 });
    const entries = await db('audit_entries').whereRaw(`details->>'event' = 'test_drive_booked'`).orderBy('id');
    expect(entries.map(({ action, actor_id }) => [action, actor_id])).toEqual([
      ['event_definition.created', 'shop'],
      ['event_definition.changed', 'shop'],
    ]);
  });

  it('take no name that means something else, and hear of each fault', async () => {
    await api('POST', '', { name: 'tasting_booked', aliases: ['Tasting'] });
    const answer = await api('POST', '', {
      name: 'order_completed',
      aliases: ['free', 'TASTING', 'product viewed', '$pageview'],
    });
    expect(answer).toMatchObject({ status: 400 });
    expect(answer.body.error?.fields).toEqual({
      name: '"order_completed" means order_paid already.',
      'aliases.1': '"TASTING" means tasting_booked already.',
      'aliases.2': '"product viewed" means product_viewed already.',
      'aliases.3': '"$pageview" means page_viewed already.',
    });
  });

  it('take one of two that claim an alias at the same instant', async () => {
    const answers = await Promise.all(
      ['first_said', 'second_said'].map((name) => api('POST', '', { name, aliases: ['Ours'] })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 400]);
  });

  it('are made once for one Idempotency-Key', async () => {
    const headers = { 'idempotency-key': 'once' };
    const [one, two] = [
      await api('POST', '', { name: 'once_made' }, headers),
      await api('POST', '', { name: 'once_made' }, headers),
    ];
    expect([one?.status, two?.status, two?.text]).toEqual([201, 201, one?.text]);
  });

  it.each([
    ['name', { name: 'Order Paid' }],
    ['properties.a.type', { name: 'x', properties: { a: { type: 'integer' } } }],
    ['properties.a.b', { name: 'x', properties: { 'a.b': { type: 'string' } } }],
    ['aliases.0', { name: 'x', aliases: [''] }],
    ['mode', { name: 'x', mode: 'drop' }],
    ['least_trust', { name: 'x', least_trust: 'nobody' }],
    ['least', { name: 'x', least: 'token' }],
    ['title.en', { name: 'x', title: { en: 'half of \ud83d' } }],
    ['aliases.0', { name: 'x', aliases: ['half of \ud83d'] }],
  ])('400 for a wrong %s', async (field, body) => {
    const answer = await api('POST', '', body);
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid_fields' } } });
    expect(Object.keys(answer.body.error?.fields ?? {})).toEqual([field]);
  });
});

describe('every type in both modes', () => {
  it('F10: whatever changes its type, a definition that documents refuses nothing', () => {
    const properties = Object.fromEntries(propertyTypes.map((type) => [type, { type, required: true }]));
    const definition = { name: 'x', title: {}, properties, aliases: [], least_trust: null };
    const documents = createCatalogue([{ ...definition, mode: 'document' as const }]);
    const enforces = createCatalogue([{ ...definition, mode: 'enforce' as const }]);
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...propertyTypes), fc.jsonValue()), (given) => {
        expect(documents.conform('x', given).fault).toBeUndefined();
        const { fault } = enforces.conform('x', given);
        if (Object.keys(given).length < propertyTypes.length) expect(fault).toBeDefined();
      }),
      { numRuns: 200 },
    );
  });
});

describe('how often each event came this week', () => {
  it('F17: is told of what is defined, and of the fifty most frequent others, however many names were invented', async () => {
    const names = Array.from({ length: 60 }, (_, n) => `weekly ${n}`);
    const batch = ['weekly 59', 'weekly 59', 'appointment_booked', ...names].map((event) => ({
      type: 'track',
      event,
      anonymousId: 'visitor',
    }));
    await app.send('/v1/batch', { batch }, basic(clientKey));
    const counts = await weeklyCounts(db, ['appointment_booked', 'weekly 58', 'never_came']);
    expect(counts?.get('appointment_booked')).toBe(1);
    expect(counts?.get('weekly 58')).toBe(1);
    expect(counts?.get('weekly 59')).toBe(3);
    expect(counts?.size).toBe(52);
  });
});
