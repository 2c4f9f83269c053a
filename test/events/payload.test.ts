/** What strangers put into an event, and what is kept of it. */
import { describe, expect, it } from 'vitest';
import { eventTime, parseTime } from '../../src/events/event-time.ts';
import { testDatabase } from '../helpers/database.ts';
import { basic, clientKey, eventRows, eventsApp, movableClock, seedKeys } from './harness.ts';

const { db } = await testDatabase();
const received = '2026-11-23T08:00:00.000Z';
const app = await eventsApp(db, { clock: movableClock(received) });
await seedKeys(db);

async function send(event: Record<string, unknown> | string) {
  const messageId = `m-${crypto.randomUUID()}`;
  const body =
    typeof event === 'string'
      ? event.replace('{', `{"messageId":"${messageId}","event":"a","type":"track","anonymousId":"anon",`)
      : JSON.stringify({ messageId, event: 'a', type: 'track', anonymousId: 'anon', ...event });
  const answer = await app.send('/v1/batch', `{"batch":[${body}]}`, basic(clientKey));
  const [row] = await eventRows(db, { message_id: messageId });
  return { answer, row, code: answer.body.rejected?.[0]?.code };
}

describe('F5: message ids', () => {
  it('makes one when there is none', async () => {
    const event = `e-${crypto.randomUUID()}`;
    for (const messageId of [undefined, null, '']) {
      expect((await app.send('/v1/track', { event, anonymousId: 'anon', messageId }, basic(clientKey))).status).toBe(
        200,
      );
    }
    const rows = await eventRows(db, { event });
    expect(new Set(rows.map(({ message_id }) => message_id)).size).toBe(3);
  });

  it('takes 100 characters', async () => {
    const { code } = await send({ messageId: 'm'.repeat(100) });
    expect(code).toBeUndefined();
  });

  it.each([['m'.repeat(101)], [17], [{}], [['a']], [true], ['a\0b'], ['a\nb'], ['\ud800']])(
    'refuses %j',
    async (messageId) => {
      expect((await send({ messageId })).code).toBe('message_id_invalid');
    },
  );
});

describe('F6: what PostgreSQL or memory cannot take', () => {
  it('stores NUL and half surrogates, in values, keys, names and ids', async () => {
    const { row } = await send(
      '{"event":"a\\u0000b","anonymousId":"x\\ud800y","properties":{"k\\u0000":"v\\u0000\\udc00","ok":"\\ud83d\\ude00"}}',
    );
    expect(row).toMatchObject({ event: 'a\ufffdb', anonymous_id: 'x\ufffdy' });
    expect(row.properties).toEqual({ 'k\ufffd': 'v\ufffd\ufffd', ok: '😀' });
  });

  it('stores what only looks like it', async () => {
    const { row } = await send({ properties: { text: 'the characters \\u0000 and \\ud800' } });
    expect(row.properties).toEqual({ text: 'the characters \\u0000 and \\ud800' });
  });

  it('stores numbers that no number can hold as null', async () => {
    const { row } = await send('{"properties":{"much":1e400,"little":-1e400,"tiny":1e-400}}');
    expect(row.properties).toEqual({ much: null, little: null, tiny: 0 });
  });

  it.each([
    ['1000 levels of objects', `${'{"a":'.repeat(1000)}1${'}'.repeat(1000)}`, 'too_deep'],
    ['100 000 levels of lists', `${'['.repeat(100_000)}${']'.repeat(100_000)}`, 'too_deep'],
    ['33 levels', `${'{"a":'.repeat(33)}1${'}'.repeat(33)}`, 'too_deep'],
    ['30 levels', `${'{"a":'.repeat(30)}1${'}'.repeat(30)}`, undefined],
    ['3000 keys', `{${Array.from({ length: 3000 }, (_, n) => `"${n}":1`).join(',')}}`, 'too_many_keys'],
    ['100 000 numbers', `[${'1,'.repeat(100_000)}1]`, 'too_many_keys'],
  ])('%s', async (_what, json, code) => {
    expect((await send(`{"properties":{"deep":${json}}}`)).code).toBe(code);
  });

  it('leaves the neighbours of a bad event alone, and keeps answering', async () => {
    const deep = `{"type":"track","event":"a","anonymousId":"n","properties":${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}}`;
    const good = JSON.stringify({ type: 'track', event: 'a', anonymousId: 'n', messageId: 'neighbour' });
    const answer = await app.send('/v1/batch', `{"batch":[${deep},${good}]}`, basic(clientKey));
    expect(answer.body.rejected?.map(({ index }) => index)).toEqual([0]);
    expect(await eventRows(db, { message_id: 'neighbour' })).toHaveLength(1);
  });
});

describe('E5: names of prototypes', () => {
  it('are keys like any other', async () => {
    const json =
      '{"properties":{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}}},"context":{"__proto__":{"admin":true}}}';
    const { row } = await send(json);
    expect(Object.keys(row.properties)).toEqual(['__proto__', 'constructor']);
    expect(Object.getOwnPropertyDescriptor(row.context, '__proto__')?.value).toEqual({ admin: true });
    expect(({} as { admin?: boolean }).admin).toBeUndefined();
  });

  it('stand for nothing as the event itself, its catalogue name or its key', async () => {
    await send('{"__proto__":{"event":"b","userId":"u"}}');
    for (const event of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      const { row } = await send({ event });
      expect(row).toMatchObject({ event, counts: true });
    }
    expect((await app.send('/v1/track', '{"event":"a"}', basic('__proto__'))).status).toBe(401);
  });
});

describe('E6: control characters', () => {
  it('are text', async () => {
    const text = 'a\r\nSet-Cookie: x\u001b[31m\u2028';
    const { row } = await send({ event: text, context: { userAgent: text } });
    expect(row).toMatchObject({ event: text.trim(), context: { userAgent: text } });
  });
});

describe('F9: time', () => {
  it('corrects the clock of the sender by when it says it sent', async () => {
    const { row } = await send({ timestamp: '2026-11-23T09:00:00.000Z', sentAt: '2026-11-23T09:00:10.000Z' });
    expect(row.timestamp.toISOString()).toBe('2026-11-23T07:59:50.000Z');
    expect(row.original_timestamp.toISOString()).toBe('2026-11-23T09:00:00.000Z');
    expect(row.received_at.toISOString()).toBe(received);
  });

  it('takes when a batch was sent for its events', async () => {
    const event = {
      type: 'track',
      event: 'a',
      anonymousId: 'n',
      messageId: 'of-batch',
      timestamp: '1999-01-01T00:00:00Z',
    };
    await app.send('/v1/batch', { batch: [event], sentAt: '1999-01-01T01:00:00Z' }, basic(clientKey));
    const [row] = await eventRows(db, { message_id: 'of-batch' });
    expect(row.timestamp.toISOString()).toBe('2026-11-23T07:00:00.000Z');
  });

  it.each([
    ['without sentAt, as stated', '2026-11-20T00:00:00Z', undefined, '2026-11-20T00:00:00.000Z'],
    ['of an import, long ago', '2015-06-01', undefined, '2015-06-01T00:00:00.000Z'],
    ['a clock one hour ahead', '2026-11-23T09:00:00Z', '2026-11-23T09:00:00Z', received],
    ['a clock in 1970', '1970-01-01T00:00:05Z', '1970-01-01T00:00:08Z', '2026-11-23T07:59:57.000Z'],
    ['stated in 1970', '1970-01-01T00:00:05Z', undefined, received],
    ['in the year 9999', '9999-12-31T23:59:59Z', undefined, '2026-11-23T08:05:00.000Z'],
    ['sent before it happened', '2026-11-23T08:00:00Z', '2020-01-01T00:00:00Z', '2026-11-23T08:05:00.000Z'],
    ['sent in the year 9999', '2026-11-23T08:00:00Z', '9999-12-31T00:00:00Z', received],
    ['four minutes ahead', '2026-11-23T08:04:00Z', undefined, '2026-11-23T08:04:00.000Z'],
    ['six minutes ahead', '2026-11-23T08:06:00Z', undefined, '2026-11-23T08:05:00.000Z'],
    ['milliseconds', Date.parse('2026-11-01T00:00:00Z'), undefined, '2026-11-01T00:00:00.000Z'],
    ['another zone', '2026-11-23T16:00:00+08:00', undefined, received],
    ['no zone', '2026-11-23 07:00:00', undefined, '2026-11-23T07:00:00.000Z'],
    ['words', 'yesterday', undefined, received],
    ['a day that is none', '2026-13-45', undefined, received],
    ['an object', {}, [], received],
    ['nothing', undefined, undefined, received],
  ])('%s', (_what, stated, sent, expected) => {
    expect(new Date(eventTime(stated, sent, Date.parse(received)).timestamp).toISOString()).toBe(expected);
  });

  it.each([['1e400'], ['2026-11-23T08:00:00.000Z'.repeat(3)], [Number.NaN], [-1], [true], ['Nov 23 2026']])(
    '%j is no time',
    (value) => {
      expect(parseTime(value)).toBeUndefined();
    },
  );

  it.each([['+275760-09-13T00:00:00Z'], [8.64e15], ['0000-01-01T00:00:00Z']])(
    'stores an event of %s',
    async (timestamp) => {
      const { row } = await send({ timestamp });
      expect(row.received_at.toISOString()).toBe(received);
    },
  );
});

describe('F10: types that change', () => {
  it.each([[17], ['17'], [{ amount: 17 }], [[17]], [null], [true]])('stores the price %j', async (price) => {
    const { row } = await send({ properties: { price } });
    expect(row.properties).toEqual({ price });
  });

  it.each([
    [{ properties: 'text', context: [] }],
    [{ properties: [1], traits: 7, context: 'x' }],
    [{ userId: {}, timestamp: {}, sentAt: [], integrations: 1 }],
    [{ context: { consent: 7, externalIds: {}, channel: [], traits: 'x' } }],
    [{ context: { consent: { categoryPreferences: ['profiling'] }, externalIds: [1, null, { id: {}, type: 5 }] } }],
  ])('stores an event with %j, without what makes no sense', async (fields) => {
    const { row, code } = await send(fields);
    expect(code).toBeUndefined();
    expect(row).toMatchObject({ event: 'a', consents: ['service'] });
  });

  it('takes numbers for ids, and refuses ids that are no ids', async () => {
    expect((await send({ anonymousId: 42 })).row).toMatchObject({ anonymous_id: '42' });
    expect((await send({ anonymousId: {} })).code).toBe('identity_missing');
    expect((await send({ anonymousId: 'a'.repeat(201) })).code).toBe('id_too_long');
    expect((await send({ event: 'e'.repeat(201) })).code).toBe('event_name_missing');
    expect((await send({ event: '  ' })).code).toBe('event_name_missing');
  });
});

describe('names', () => {
  it.each([
    ['track', { event: 'Order Completed' }, 'order_paid', 'Order Completed'],
    ['track', { event: '$MPViewScreen' }, 'screen_viewed', '$MPViewScreen'],
    ['track', { event: 'Product Viewed' }, 'product_viewed', 'Product Viewed'],
    ['track', { event: 'view_item' }, 'product_viewed', 'view_item'],
    ['track', { event: 'product_viewed' }, 'product_viewed', null],
    ['track', { event: '随便什么' }, '随便什么', null],
    ['page', { name: 'Pricing' }, 'page_viewed', 'Pricing'],
    ['page', {}, 'page_viewed', null],
    ['screen', { name: 'pages/index' }, 'screen_viewed', 'pages/index'],
    ['identify', {}, 'identified', null],
  ])('%s %j is %s', async (type, fields, event, original_event) => {
    const { row } = await send({ type, event: undefined, ...fields });
    expect(row).toMatchObject({ type, event, original_event });
  });

  it('keep a page with its name and category, and traits wherever the tracker puts them', async () => {
    const { row: page } = await send({ type: 'page', name: 'Home', category: 'Docs', properties: { path: '/' } });
    expect(page.properties).toEqual({ name: 'Home', category: 'Docs', path: '/' });
    const { row } = await send({ type: 'identify', context: { traits: { a: 1, b: 1 } }, traits: { b: 2 } });
    expect(row.properties).toEqual({ a: 1, b: 2 });
    expect(row.context).toEqual({});
  });
});

describe('what is not stored', () => {
  it('an ID token, wherever a context may be', async () => {
    const { row } = await send({ context: { id_token: 'eyJ.secret.token', page: { path: '/' } } });
    expect(row.context).toEqual({ page: { path: '/' } });
    const batch = [{ type: 'track', event: 'a', anonymousId: 'n', messageId: 'shared' }];
    await app.send('/v1/batch', { batch, context: { id_token: 'eyJ.secret.token', locale: 'zh' } }, basic(clientKey));
    expect((await eventRows(db, { message_id: 'shared' }))[0].context).toEqual({ locale: 'zh' });
  });

  it('a phone number or an address in clear in a field of that name (G3)', async () => {
    const { row } = await send({
      type: 'identify',
      traits: {
        phone: '13800138000',
        Email: 'lily@example.com',
        mobile: 13900139000,
        name: 'Lily',
        id_card: '110101199003074477',
      },
    });
    expect(row.properties).toMatchObject({ phone: '138****8000', Email: 'l***@example.com', name: 'Lily' });
    expect(JSON.stringify(row)).not.toMatch(/13800138000|lily@|13900139000|19900307/);
  });
});

describe('consent', () => {
  it('is what the event says it was collected under, else service alone', async () => {
    const consent = {
      categoryPreferences: { profiling: true, marketing: false, ad_sharing: 'true', 'Bad Name': true },
    };
    expect((await send({ context: { consent } })).row.consents).toEqual(['service', 'profiling']);
    expect((await send({})).row.consents).toEqual(['service']);
  });
});
