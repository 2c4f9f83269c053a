/** The oracle against examples worked by hand from docs/segments.md and docs/decisions/0021: what it says is what the text says. */
import { describe, expect, it } from 'vitest';
import { membersAt } from './oracle.ts';
import type { Definition, Fields, Json, Node, StoredEvent, Working, World } from './oracle-world.ts';

const now = Date.parse('2026-11-26T12:00:00+08:00');
const minutes = 60_000;
const days = 24 * 60 * minutes;

const empty: World = {
  versions: { profiling: '1', marketing: '2' },
  subjects: [{ sub: 'li', status: 'active', createdAt: 0 }],
  aliases: [],
  consents: [],
  personalisation: [],
  identities: [],
  traits: [],
  tags: [],
  workings: [],
  rfm: null,
  tagRules: [],
  lists: [],
  bindings: [],
  events: [],
};

let made = 0;
function event(name: string, at: number, properties: Fields = {}, more: Partial<StoredEvent> = {}): StoredEvent {
  return {
    id: String(++made).padStart(8, '0'),
    timestamp: at,
    sub: 'li',
    anonymousId: null,
    isAttributable: true,
    counts: true,
    event: name,
    channel: 'website',
    trust: 'token',
    consents: ['service'],
    properties,
    context: {},
    ...more,
  };
}

const everything = (events: StoredEvent[], more: Partial<World> = {}): World => ({ ...empty, events, ...more });

function ask(world: World, where: Node, { t = now, ...more }: Partial<Definition> & { t?: number } = {}) {
  return membersAt(world, [{ key: 's', purpose: 'service', where, ...more }], t).get('s');
}

/** Whether li is in it. */
const isIn = (events: StoredEvent[], where: Node, more: Partial<Definition> & { t?: number } = {}) =>
  ask(everything(events), where, more)?.has('li') ?? false;

const hasProperties = (properties: Fields, ...where: { property: string; op: string; value: never }[]) =>
  isIn([event('e', now, properties)], { event: 'e', where });
const cond = (property: string, op: string, value: unknown) => ({ property, op, value: value as never });
const holds = (value: Json, op: string, named: unknown) => hasProperties({ p: value }, cond('p', op, named));

describe('two of the templates', () => {
  const highIntent: Definition = {
    key: 'web-high-intent-not-bought',
    purpose: 'marketing',
    where: {
      per: 'product_id',
      all: [
        {
          event: 'product_viewed',
          channel: 'website',
          where: [{ property: 'price', op: 'gte', value: 5000 }],
          count: { gte: 3 },
          within: '30d',
        },
        { not: { event: 'order_paid' } },
      ],
    },
  };
  const agreed = [{ id: '1', sub: 'li', purpose: 'marketing', version: '2', isGranted: true, at: 1 }];
  const under = { consents: ['service', 'marketing'] };
  const view = (product_id: string, price: Json, ago: number, more: Partial<StoredEvent> = {}) =>
    event('product_viewed', now - ago * days, { product_id, price }, { ...under, ...more });
  const membersOf = (events: StoredEvent[], more: Partial<World> = {}, t = now) =>
    membersAt(everything(events, { consents: agreed, ...more }), [highIntent], t).get(highIntent.key);
  const three = [view('camera', 6000, 29), view('camera', '6000.00', 2), view('camera', 5000, 1)];

  it('name the product that was viewed three times and not bought, until it is bought or the first view is too old', () => {
    const bought = event('order_paid', now - days / 2, { product_id: 'camera' }, { ...under, trust: 'server' });
    const another = event('order_paid', now - days / 2, { product_id: 'lens' }, { ...under, trust: 'server' });
    expect(membersOf(three)).toEqual(new Map([['li', { product_id: ['camera'] }]]));
    expect(membersOf([...three, another])?.size).toBe(1);
    expect(membersOf([...three, bought])?.size).toBe(0);
    expect(membersOf(three, {}, now + days - 1)?.size).toBe(1);
    expect(membersOf(three, {}, now + days)?.size).toBe(0);
  });

  it('count neither two products together, nor what is too cheap, nor another channel', () => {
    expect(membersOf([...three.slice(1), view('lens', 6000, 3)])?.size).toBe(0);
    expect(membersOf([...three.slice(1), view('camera', 4999.99, 3)])?.size).toBe(0);
    expect(membersOf([...three.slice(1), view('camera', 6000, 3, { channel: 'miniprogram' })])?.size).toBe(0);
  });

  it('hold nobody who did not agree, or not to this version, or whose event was not collected under it, or is not active', () => {
    const said = (more: object) => [{ ...agreed[0], ...more } as World['consents'][number]];
    expect(membersOf(three, { consents: [] })?.size).toBe(0);
    expect(membersOf(three, { consents: said({ version: '1' }) })?.size).toBe(0);
    expect(membersOf(three, { consents: [...agreed, ...said({ id: '2', isGranted: false })] })?.size).toBe(0);
    expect(membersOf([...three.slice(1), view('camera', 6000, 3, { consents: ['service'] })])?.size).toBe(0);
    expect(membersOf([...three.slice(1), view('camera', 6000, 3, { counts: false })])?.size).toBe(0);
    expect(membersOf(three, { subjects: [{ sub: 'li', status: 'suspended', createdAt: 0 }] })?.size).toBe(0);
    const off = { id: '1', sub: 'li', isOn: false, at: 2 };
    expect(membersOf(three, { personalisation: [off] })?.size).toBe(0);
    expect(membersOf(three, { personalisation: [off, { ...off, id: '2', isOn: true }] })?.size).toBe(1);
  });

  it('know a repeat buyer by two orders that were not refunded', () => {
    const repeat: Node = {
      event: 'order_paid',
      channel: 'miniprogram',
      unless: { event: 'order_refunded', same: 'order_id' },
      distinct: { of: 'order_id', gte: 2 },
      within: '180d',
    };
    const paid = (order_id: string, ago: number) =>
      event('order_paid', now - ago * days, { order_id }, { channel: 'miniprogram' });
    const refunded = (order_id: string, ago: number) => event('order_refunded', now - ago * days, { order_id });
    expect(isIn([paid('1', 9), paid('1', 8)], repeat)).toBe(false);
    expect(isIn([paid('1', 9), paid('2', 8)], repeat)).toBe(true);
    expect(isIn([paid('1', 9), paid('2', 8), refunded('2', 7)], repeat)).toBe(false);
    expect(isIn([paid('1', 9), refunded('2', 8.5), paid('2', 8)], repeat)).toBe(true);
    expect(isIn([paid('1', 9), paid('2', 8), refunded('2', 7), paid('2', 6)], repeat)).toBe(true);
    expect(isIn([paid('1', 181), paid('2', 8)], repeat)).toBe(false);
  });
});

describe('facts', () => {
  const world = (granted: boolean[]): World => ({
    ...everything([event('e', now, {}, { sub: 'wang' }), event('e', now), event('e', now)]),
    subjects: [
      { sub: 'li', status: 'active', createdAt: 0 },
      { sub: 'wang', status: 'absorbed', createdAt: 0 },
    ],
    aliases: [{ absorbed: 'wang', survivor: 'li' }],
    consents: granted.map((isGranted, at) => ({
      id: String(at),
      sub: at % 2 ? 'li' : 'wang',
      purpose: 'profiling',
      version: '1',
      isGranted,
      at,
    })),
  });

  it('of an absorbed sub are the survivor’s while they agree to profiling, said under whichever sub', () => {
    for (const [granted, n] of [
      [[], 2],
      [[true], 3],
      [[true, false], 2],
      [[false, true], 3],
    ] as const)
      expect([...(ask(world([...granted]), { event: 'e', count: { eq: n } })?.keys() ?? [])]).toEqual(['li']);
  });

  it('of an anonymous id are whose binding looks back to them, as bound, once', () => {
    const anonymous = (at: number, more: Partial<StoredEvent> = {}) =>
      event('e', at, {}, { sub: null, anonymousId: 'a', trust: 'claimed', ...more });
    const events = [
      anonymous(now - 20),
      anonymous(now - 10),
      anonymous(now - 11),
      anonymous(now - 15, { isAttributable: false }),
      anonymous(now - 15, { anonymousId: 'b' }),
    ];
    const bindings = [1, 2].map(() => ({ sub: 'li', anonymousId: 'a', from: now - 20, until: now - 10 }));
    const count = (n: number): Node => ({ event: 'e', trust: 'bound', count: { eq: n } });
    expect(ask(everything(events, { bindings }), count(2))?.size).toBe(1);
    expect(ask(everything(events), count(0))?.size).toBe(1);
  });

  it('after the instant do not exist', () => {
    const events = [event('e', now), event('refunded', now + 1)];
    expect(isIn(events, { event: 'e', unless: { event: 'refunded', same: 'id' } })).toBe(true);
    expect(isIn(events, { event: 'e' }, { t: now - 1 })).toBe(false);
    expect(isIn(events, { event: '*', count: { eq: 1 } })).toBe(true);
    expect(isIn(events, { event: ['refunded', 'e'], count: { eq: 2 } }, { t: now + 1 })).toBe(true);
  });
});

describe('conditions', () => {
  it('take a plain decimal for its number where the definition has a number', () => {
    for (const value of [7, 7.0, '7', '7.0', '007', '7.0000000000']) expect(holds(value, 'eq', 7)).toBe(true);
    for (const value of ['7 ', '+7', '7.', '.7', '7e0', '0x7', true, [7], { v: 7 }, '7.00000000000', null])
      expect(holds(value, 'eq', 7)).toBe(false);
    expect(holds(7, 'eq', '7')).toBe(false);
    expect(holds(0.1, 'gte', 0.1)).toBe(true);
    expect(holds('-0.5', 'lt', 0)).toBe(true);
    expect(holds('99999999999999999999', 'gt', 99999999999999980000)).toBe(true);
    expect(holds('2', 'in', [1, 2])).toBe(true);
    expect(holds('a', 'gt', 1)).toBe(false);
  });

  it('are false of a missing value, but for exists: false', () => {
    for (const op of ['eq', 'ne', 'gt', 'lt', 'contains', 'starts_with', 'in', 'nin'])
      expect(hasProperties({ p: null }, cond('p', op, ['in', 'nin'].includes(op) ? [1] : 1)), op).toBe(false);
    expect(hasProperties({}, cond('p', 'exists', false))).toBe(true);
    expect(hasProperties({ p: null }, cond('p', 'exists', true))).toBe(false);
    expect(hasProperties({ p: { q: null } }, cond('p', 'exists', true))).toBe(true);
  });

  it('hold of ne and nin for anything else that is there', () => {
    expect(holds('x', 'ne', 7)).toBe(true);
    expect(holds([7], 'ne', 7)).toBe(true);
    expect(holds('7', 'ne', 7)).toBe(false);
    expect(holds({}, 'nin', ['a', 'b'])).toBe(true);
  });

  it('find a part of a text and an element of a list', () => {
    expect(holds('红色相机', 'contains', '相机')).toBe(true);
    expect(holds(['红色', '7.0'], 'contains', 7)).toBe(true);
    expect(holds(['红色相机'], 'contains', '相机')).toBe(false);
    expect(holds('100%_a\\b', 'contains', '%_a\\')).toBe(true);
    expect(holds('a', 'starts_with', '%')).toBe(false);
    expect(holds(71, 'contains', 7)).toBe(false);
  });

  it('reach own fields, elements of lists, and the context', () => {
    const properties = {
      products: [{ sku: 'a', price: 1 }, null, { sku: 'b', price: 9 }],
      name: 'x',
      'a-b': { $c: 1 },
    };
    expect(hasProperties(properties, cond('products[].sku', 'eq', 'b'))).toBe(true);
    expect(hasProperties(properties, cond('products[].sku', 'ne', 'a'))).toBe(true);
    expect(hasProperties(properties, cond('products.sku', 'exists', true))).toBe(false);
    expect(hasProperties(properties, cond('name[]', 'exists', true))).toBe(false);
    expect(hasProperties(properties, cond('products.length', 'exists', true))).toBe(false);
    expect(hasProperties(properties, cond('name.length', 'exists', true))).toBe(false);
    expect(hasProperties(properties, cond('constructor', 'exists', true))).toBe(false);
    expect(hasProperties(properties, cond('a-b.$c', 'eq', 1))).toBe(true);
    expect(hasProperties({ context: 1 }, cond('context', 'eq', 1))).toBe(false);
    const campaign = event('e', now, {}, { context: { campaign: { source: 'wx' } } });
    expect(isIn([campaign], { event: 'e', where: [cond('context.campaign.source', 'eq', 'wx')] })).toBe(true);
  });

  it('of item are met by one element together', () => {
    const products = [{ sku: 'a', price: 9 }, { sku: 'b', price: 1 }, null];
    const item = (...conds: ReturnType<typeof cond>[]) =>
      isIn([event('e', now, { products })], { event: 'e', item: conds });
    expect(item(cond('products[].sku', 'eq', 'a'), cond('products[].price', 'gt', 5))).toBe(true);
    expect(item(cond('products[].sku', 'eq', 'b'), cond('products[].price', 'gt', 5))).toBe(false);
    expect(item(cond('products[].sku', 'exists', false), cond('products[].price', 'exists', false))).toBe(true);
    expect(isIn([event('e', now, { tags: ['a', 'b'] })], { event: 'e', item: [cond('tags[]', 'eq', 'b')] })).toBe(true);
  });
});

describe('aggregates', () => {
  const orders = [
    event('o', now - 3, { v: 0.1, id: 1 }),
    event('o', now - 2, { v: '0.2', id: '1' }),
    event('o', now - 1, { v: 'x', id: 1.0 }),
  ];

  it('are exact, leave out what is no number, and keep a number from its text', () => {
    expect(isIn(orders, { event: 'o', sum: { of: 'v', eq: 0.3 } })).toBe(true);
    expect(isIn(orders, { event: 'o', avg: { of: 'v', eq: 0.15 } })).toBe(true);
    expect(isIn(orders, { event: 'o', min: { of: 'v', eq: 0.1 }, within: '1d' })).toBe(true);
    expect(isIn(orders, { event: 'o', max: { of: 'v', gt: 0.1, lte: 0.2 } })).toBe(true);
    expect(isIn(orders, { event: 'o', distinct: { of: 'id', eq: 2 } })).toBe(true);
    expect(isIn(orders, { event: 'o', distinct: { of: 'v', eq: 3 } })).toBe(true);
  });

  it('of nothing are 0 for a sum and a count, and false for average, least and most', () => {
    expect(isIn([], { event: 'o', sum: { of: 'v', lte: 0 } })).toBe(true);
    expect(isIn([], { event: 'o', count: { eq: 0 } })).toBe(true);
    for (const name of ['avg', 'min', 'max']) expect(isIn([], { event: 'o', [name]: { of: 'v', lte: 9 } })).toBe(false);
    expect(isIn([], { event: 'o' })).toBe(false);
  });

  it('take off what minus finds in the same window', () => {
    const net = (gte: number): Node => ({
      event: 'o',
      sum: { of: 'v', minus: { event: 'refund', of: 'amount' }, gte },
      within: '30d',
    });
    const events = [
      event('o', now, { v: 100 }),
      event('refund', now, { amount: '30.50' }),
      event('refund', now - 31 * days, { amount: 9 }),
    ];
    expect(isIn(events, net(69.5))).toBe(true);
    expect(isIn(events, net(69.51))).toBe(false);
  });

  it('count days on the calendar of the time zone', () => {
    const midnight = Date.parse('2026-11-26T00:00:00+08:00');
    const twice = [event('e', midnight - 1), event('e', midnight)];
    expect(isIn(twice, { event: 'e', days: { eq: 2 } })).toBe(true);
    expect(isIn(twice, { event: 'e', days: { eq: 1 } }, { tz: 'UTC' })).toBe(true);
  });

  it('ask of first and last whether the one lies in the window', () => {
    const events = [event('e', now - 40 * days), event('e', now - 2 * days)];
    expect(isIn(events, { event: 'e', first: true, within: '30d' })).toBe(false);
    expect(isIn(events, { event: 'e', first: true, between: ['60d', '30d'] })).toBe(true);
    expect(isIn(events, { event: 'e', last: true, within: '30d' })).toBe(true);
    expect(isIn(events, { event: 'e', last: true, between: ['60d', '30d'] })).toBe(false);
    expect(isIn([], { event: 'e', last: true })).toBe(false);
  });
});

describe('windows', () => {
  const at = (text: string) => [event('e', Date.parse(text))];

  it('are open at their start and closed at their end', () => {
    const ago = (ms: number, where: object) => isIn([event('e', now - ms)], { event: 'e', ...where });
    expect(ago(30 * days, { within: '30d' })).toBe(false);
    expect(ago(30 * days - 1, { within: '30d' })).toBe(true);
    expect(ago(0, { within: '15m' })).toBe(true);
    expect(ago(2 * days, { between: ['2d', '24h'] })).toBe(false);
    expect(ago(2 * days - 1, { between: ['2d', '24h'] })).toBe(true);
    expect(ago(days, { between: ['2d', '24h'] })).toBe(true);
    expect(ago(days - 1, { between: ['2d', '24h'] })).toBe(false);
    expect(ago(7 * days, { within: '1w' })).toBe(false);
    expect(ago(days, { after: new Date(now - days).toISOString() })).toBe(true);
    expect(ago(days, { before: new Date(now - days).toISOString() })).toBe(false);
  });

  it('of the calendar are periods of the time zone, weeks from Monday', () => {
    // 2026-11-26 is a Thursday.
    const inside = (text: string, unit: string, offset = 0, tz = 'Asia/Shanghai') =>
      isIn(at(text), { event: 'e', calendar: { unit: unit as 'day', offset } }, { tz });
    expect(inside('2026-11-26T00:00:00+08:00', 'day')).toBe(true);
    expect(inside('2026-11-25T23:59:59+08:00', 'day')).toBe(false);
    expect(inside('2026-11-25T23:59:59+08:00', 'day', -1)).toBe(true);
    expect(inside('2026-11-23T00:00:00+08:00', 'week')).toBe(true);
    expect(inside('2026-11-22T23:59:59+08:00', 'week')).toBe(false);
    expect(inside('2026-11-16T00:00:00+08:00', 'week', -1)).toBe(true);
    expect(inside('2026-11-01T00:00:00+08:00', 'month')).toBe(true);
    expect(inside('2026-10-31T23:59:59+08:00', 'month')).toBe(false);
    expect(inside('2026-07-01T00:00:00+08:00', 'quarter', -1)).toBe(true);
    expect(inside('2025-12-31T23:59:59+08:00', 'year', -1)).toBe(true);
    expect(inside('2025-12-31T23:59:59+08:00', 'year', -1, 'UTC')).toBe(true);
    expect(inside('2026-01-01T00:00:00+08:00', 'year', -1, 'UTC')).toBe(true);
  });

  it('keep to the clock on the wall when it is put back', () => {
    const t = Date.parse('2026-11-01T23:30:00-05:00');
    const inside = (text: string) =>
      isIn(at(text), { event: 'e', calendar: { unit: 'day' } }, { tz: 'America/New_York', t });
    expect(inside('2026-11-01T00:00:00-04:00')).toBe(true);
    expect(inside('2026-10-31T23:59:59-04:00')).toBe(false);
  });
});

describe('sequences', () => {
  const a = (ago: number, properties: Fields = {}) => event('a', now - ago * minutes, properties);
  const b = (ago: number, properties: Fields = {}) => event('b', now - ago * minutes, properties);
  const x = (ago: number, properties: Fields = {}) => event('x', now - ago * minutes, properties);

  it('want each step later than the one before, the batch deciding a tie', () => {
    const where: Node = { sequence: [{ event: 'a' }, { event: 'b' }] };
    expect(isIn([a(2), b(1)], where)).toBe(true);
    expect(isIn([a(1), b(2)], where)).toBe(false);
    expect(isIn([a(1), b(1)], where)).toBe(true);
    expect(isIn([b(1), a(1)], where)).toBe(false);
    expect(isIn([a(1)], { sequence: [{ event: 'a' }, { event: 'a' }] })).toBe(false);
  });

  it('go around what must not lie between', () => {
    const where: Node = { sequence: [{ event: 'a' }, { no: { event: 'x' } }, { event: 'b' }] };
    expect(isIn([a(3), x(2), b(1)], where)).toBe(false);
    expect(isIn([a(5), x(4), a(3), b(1), x(0)], where)).toBe(true);
    expect(isIn([a(5), b(4), x(3), b(2)], where)).toBe(true);
  });

  it('end with what did not happen, ever or for a time that must have passed', () => {
    expect(isIn([a(2), x(1)], { sequence: [{ event: 'a' }, { no: { event: 'x' } }] })).toBe(false);
    expect(isIn([a(3), x(2), a(1)], { sequence: [{ event: 'a' }, { no: { event: 'x' } }] })).toBe(true);
    const abandoned: Node = { sequence: [{ event: 'a' }, { no: { event: 'x' }, for: '24h' }] };
    const day = 24 * 60;
    expect(isIn([a(day - 1)], abandoned)).toBe(false);
    expect(isIn([a(day)], abandoned)).toBe(true);
    expect(isIn([a(day), x(0)], abandoned)).toBe(false);
    expect(isIn([a(day + 1), x(0)], abandoned)).toBe(true);
  });

  it('keep to their length, their window and one value', () => {
    const steps = [{ event: 'a' }, { event: 'b' }];
    expect(isIn([a(90), b(30)], { sequence: steps, in: '1h' })).toBe(true);
    expect(isIn([a(91), b(30)], { sequence: steps, in: '1h' })).toBe(false);
    expect(isIn([a(90), b(30)], { sequence: steps, within: '1h' })).toBe(true);
    expect(isIn([a(90), b(60)], { sequence: steps, within: '1h' })).toBe(false);
    const same: Node = { sequence: [{ event: 'a' }, { no: { event: 'x' } }, { event: 'b' }], same: 'id' };
    expect(isIn([a(9, { id: 1 }), b(8, { id: 2 })], same)).toBe(false);
    expect(isIn([a(9, { id: 1 }), b(8, { id: '1' })], same)).toBe(false);
    expect(isIn([a(9, { id: 1 }), x(8, { id: 2 }), b(7, { id: 1 })], same)).toBe(true);
    expect(isIn([a(9, { id: 1 }), x(8, { id: 1 }), b(7, { id: 1 })], same)).toBe(false);
    expect(isIn([a(9), b(8)], same)).toBe(false);
  });
});

describe('per', () => {
  it('takes candidates from members of any window, also negated, and shows those of the tree that no not stands above', () => {
    const events = [
      event('v', now - 99 * days, { p: 'old' }),
      event('v', now, { p: ['a', 1, true, 1, {}] }),
      event('o', now, { p: '1' }),
    ];
    const none: Node = { per: 'p[]', all: [{ event: 'v', count: { lte: 1 }, within: '30d' }, { not: { event: 'o' } }] };
    expect(ask(everything(events), none)?.get('li')).toEqual({ 'p[]': [1, 'a', true] });
    const quiet: Node = { per: 'p', all: [{ event: 'v', count: { eq: 0 }, within: '30d' }] };
    expect(ask(everything(events), { any: [quiet, { not: none }] })?.get('li')).toEqual({ p: ['old'] });
    const negated: Node = {
      per: 'p',
      all: [{ event: 'v', count: { eq: 0 } }, { not: { event: 'o', where: [cond('p', 'eq', 'x')] } }],
    };
    expect(ask(everything(events), negated)?.get('li')).toBeUndefined();
  });

  it('sees only events that have the value', () => {
    const bought = event('paid', now - 2, { p: 'a', order: 1 });
    const where: Node = {
      per: 'p',
      all: [{ event: 'paid', unless: { event: 'refunded', same: 'order' } }, { not: { event: 'v' } }],
    };
    expect(isIn([bought], where)).toBe(true);
    expect(isIn([bought, event('v', now, { p: 'b' })], where)).toBe(true);
    expect(isIn([bought, event('v', now, { p: 'a' })], where)).toBe(false);
    expect(isIn([bought, event('refunded', now, { p: 'a', order: 1 })], where)).toBe(false);
  });
});

describe('traits', () => {
  const trait = (value: Json, op: string, named: unknown, t = now) =>
    ask(
      everything([], { traits: [{ id: '1', sub: 'li', name: 'x', value, at: 1, isOwn: false }] }),
      { trait: 'x', op, value: named as never },
      { t },
    )?.size === 1;

  it('are compared as values of events are, and as dates', () => {
    expect(trait('12.50', 'eq', 12.5)).toBe(true);
    expect(trait('gold', 'ne', 5)).toBe(true);
    expect(trait(null, 'ne', 5)).toBe(false);
    expect(trait(['a', 'b'], 'contains', 'b')).toBe(true);
    expect(trait('2026-11-26', 'eq', '2026-11-25T16:00:00Z')).toBe(true);
    expect(trait('2026-11-26', 'gte', '2026-11-26')).toBe(true);
    expect(trait('2026-11-26T00:00:00.001+08:00', 'gt', '2026-11-26')).toBe(true);
    expect(trait('2026-11-26', 'ne', '2026-11-25T16:00:00Z')).toBe(false);
    expect(trait('2026-11-26T00:00:00.0019+08:00', 'lt', '2026-11-26T00:00:00.002+08:00')).toBe(true);
    for (const none of [
      '2026-02-30',
      '2026-13-01',
      '0000-01-01',
      '2026-06-01T24:00:00Z',
      '2026-06-30T23:59:60Z',
      '2026-06-01T00:00:00+16:00',
      '2026-06-01 00:00:00Z',
      '2026-06-01T00:00:00',
    ])
      expect(trait(none, 'gt', '0001-01-01'), none).toBe(false);
    expect(trait('soon', 'lt', '2026-01-01')).toBe(false);
  });

  it('are the newest word over all subs, the person’s own only where there is no other', () => {
    const word = (sub: string, value: Json, at: number, isOwn = false) => ({
      id: '1',
      sub,
      name: 'x',
      value,
      at,
      isOwn,
    });
    const aliases = [{ absorbed: 'wang', survivor: 'li' }];
    const is = (value: string, traits: World['traits']) =>
      ask({ ...empty, traits, aliases }, { trait: 'x', op: 'eq', value })?.size === 1;
    expect(is('b', [word('li', 'a', 1), word('wang', 'b', 2)])).toBe(true);
    expect(is('a', [word('li', 'a', 1), word('wang', 'b', 2, true)])).toBe(true);
    expect(is('b', [word('wang', 'b', 2, true)])).toBe(true);
    expect(is('b', [word('li', null, 1), word('wang', 'b', 2, true)])).toBe(false);
  });

  it('lie in the last or the next days, or in this period on that side of now', () => {
    const date = (offset: number) => new Date(now + offset).toISOString();
    expect(trait(date(-7 * days), 'in_last', '7d')).toBe(false);
    expect(trait(date(-7 * days + 1), 'in_last', '7d')).toBe(true);
    expect(trait(date(0), 'in_last', '7d')).toBe(true);
    expect(trait(date(0), 'in_next', '7d')).toBe(false);
    expect(trait(date(7 * days), 'in_next', '7d')).toBe(true);
    expect(trait('2026-11-30', 'in_next', 'this_month')).toBe(true);
    expect(trait('2026-11-30', 'in_last', 'this_month')).toBe(false);
    expect(trait('2026-12-01', 'in_next', 'this_month')).toBe(false);
    expect(trait('2026-11-26', 'in_last', 'this_day')).toBe(true);
    expect(trait('2026-11-22', 'in_last', 'this_week')).toBe(false);
  });

  it('come back every year, 29 February on 28 February', () => {
    expect(trait('1990-11-26', 'anniversary_in', '7d')).toBe(true);
    expect(trait('1990-12-03', 'anniversary_in', '7d')).toBe(true);
    expect(trait('1990-12-04', 'anniversary_in', '7d')).toBe(false);
    expect(trait('1990-11-25', 'anniversary_in', '7d')).toBe(false);
    expect(trait('1990-11-01', 'anniversary_in', 'this_month')).toBe(true);
    expect(trait('1990-01-01', 'anniversary_in', '7d', Date.parse('2026-12-28T12:00:00+08:00'))).toBe(true);
    const on = (text: string) => trait('2000-02-29', 'anniversary_in', '0d', Date.parse(`${text}T12:00:00+08:00`));
    expect(on('2027-02-28')).toBe(true);
    expect(on('2028-02-28')).toBe(true);
    expect(on('2028-02-29')).toBe(false);
    expect(on('2027-03-01')).toBe(false);
  });
});

describe('traits that are worked out', () => {
  const bought = (ago: number, order_id: Json, total: Json, more: Fields = {}) =>
    event('order_paid', now - ago * days, { order_id, total, ...more });
  const is = (trait: string, op: string, value: unknown, events: StoredEvent[], more: Partial<World> = {}) =>
    ask(everything(events, more), { trait, op, value: value as never })?.size === 1;
  const orders = [bought(20, 'a', '0.1'), bought(10, 'b', 0.2), bought(9, 'b', 5)];
  const own = (name: string, definition: Working['definition']) => ({ workings: [{ name, definition, tz: 'UTC' }] });

  it('are those of every profile, net of refunds, and dates like any other', () => {
    const refund = event('order_refunded', now - days, { order_id: 'b', total: 5 });
    expect(is('orders_total', 'eq', 0.3, [...orders, refund])).toBe(true);
    expect(is('orders_count', 'eq', 2, orders)).toBe(true);
    expect(is('average_order', 'eq', 2.65, orders)).toBe(true);
    expect(is('average_order', 'exists', true, [])).toBe(false);
    expect(is('events_total', 'eq', 4, [...orders, refund])).toBe(true);
    expect(is('last_order_at', 'in_last', '9d', orders)).toBe(false);
    expect(is('last_order_at', 'in_last', '10d', orders)).toBe(true);
    expect(is('first_seen_at', 'lt', '2026-11-07', orders)).toBe(true);
    expect(is('locale', 'eq', 'en', [event('e', now - 1, {}, { context: { locale: 'en' } }), event('e', now)])).toBe(
      true,
    );
  });

  it('are those of the company, before a declared one of the name', () => {
    const said = { traits: [{ id: '1', sub: 'li', name: 'x', value: 'said', at: 1, isOwn: false }] };
    const most = own('x', { event: 'e', most_frequent: { of: 'p' } });
    const found = ['b', 'a', 'a', 'b'].map((p, at) => event('e', now - at, { p }));
    expect(is('x', 'eq', 'a', found, { ...said, ...most })).toBe(true);
    expect(is('x', 'exists', false, [], { ...said, ...most })).toBe(true);
    expect(is('x', 'eq', 0, [], own('x', { event: 'e', days: true }))).toBe(true);
    expect(is('x', 'eq', '2026-11-17T04:00:00.000Z', orders, own('x', { event: '*', last: true }))).toBe(true);
    expect(is('x', 'eq', 'b', found, own('x', { event: 'e', within: '1m', first: { of: 'p' } }))).toBe(true);
    expect(is('x', 'eq', 5, orders, own('x', { event: '*', within: '10d', min: { of: 'total' } }))).toBe(true);
  });

  it('of RFM are one and one more for each threshold that is met, and a group of high and low', () => {
    const rfm = {
      recency_days: [30, 20, 9, 5],
      frequency: [1, 2, 3, 4],
      monetary: [5, 5.3, 6, 7],
      period_days: 30,
      high: { recency: 3, frequency: 4, monetary: 3 },
    };
    expect(is('rfm_recency', 'eq', 3, orders, { rfm })).toBe(true);
    expect(is('rfm_frequency', 'eq', 3, orders, { rfm })).toBe(true);
    expect(is('rfm_monetary', 'eq', 3, orders, { rfm })).toBe(true);
    expect(is('rfm_segment', 'eq', 'important_develop', orders, { rfm })).toBe(true);
    expect(is('rfm_segment', 'exists', false, [], { rfm })).toBe(true);
    expect(is('rfm_recency', 'eq', 5, orders)).toBe(true);
  });
});

describe('what somebody has', () => {
  it('is a tag, another segment by its own purpose, an agreement, an identity, a place in a sample', () => {
    const world: World = {
      ...everything([]),
      subjects: ['li', 'wang', 'zhao'].map((sub) => ({
        sub,
        status: sub === 'zhao' ? 'absorbed' : 'active',
        createdAt: 0,
      })),
      tagRules: [],
      aliases: [{ absorbed: 'zhao', survivor: 'wang' }],
      tags: [{ sub: 'li', tag: 'vip' }],
      identities: [{ sub: 'zhao', kind: 'wechat_openid', issuer: 'wx1' }],
      consents: [{ id: '1', sub: 'li', purpose: 'marketing', version: '2', isGranted: true, at: 1 }],
      lists: ['li', 'wang'].map((sub) => ({ segment: 'list', sub })),
    };
    const among = (where: Node) =>
      membersAt(
        world,
        [
          { key: 's', purpose: 'service', where },
          { key: 'list', purpose: 'marketing' },
        ],
        now,
      ).get('s');
    expect([...(among({ tag: 'vip' })?.keys() ?? [])]).toEqual(['li']);
    expect([...(among({ segment: 'list' })?.keys() ?? [])]).toEqual(['li']);
    expect([...(among({ not: { segment: 'list' } })?.keys() ?? [])]).toEqual(['wang']);
    expect([...(among({ consent: 'marketing' })?.keys() ?? [])]).toEqual(['li']);
    expect([...(among({ identity: 'wechat_openid' })?.keys() ?? [])]).toEqual(['wang']);
    expect([...(among({ identity: 'wechat_openid', issuer: 'wx2' })?.keys() ?? [])]).toEqual([]);
    world.tagRules.push({ tag: 'invited', segment: 'list' });
    expect([...(among({ tag: 'invited' })?.keys() ?? [])]).toEqual(['li']);
    expect(among({ sample: { percent: 100, salt: 'a' } })?.size).toBe(2);
    expect(among({ sample: { percent: 0, salt: 'a' } })?.size).toBe(0);
    // md5('a:li') begins with cd33117d: 3,442,676,093 of 4,294,967,296.
    const place = (percent: number) => among({ all: [{ tag: 'vip' }, { sample: { percent, salt: 'a' } }] })?.size;
    expect([place(80.15), place(80.16)]).toEqual([0, 1]);
  });
});
