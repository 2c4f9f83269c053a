import { describe, expect, test } from 'vitest';
import { compileBehaviour } from '../../src/behaviour/evaluate.ts';
import { factsOf } from '../../src/behaviour/facts.ts';
import type { BehaviourEvent, BehaviourNode, Condition, EventNode } from '../../src/behaviour/language.ts';
import { day, did, hour, now, personWith } from '../helpers/behaviour.ts';

function holds(node: BehaviourNode, done: BehaviourEvent[], at = now, tz = 'Asia/Shanghai'): boolean {
  return compileBehaviour(node, tz).answer(factsOf(personWith(done).events), at).holds;
}

/** The values of `p` for which a condition holds. */
function passing(op: string, value: unknown, candidates: unknown[]): unknown[] {
  const where = [{ property: 'p', op, value }] as Condition[];
  return candidates.filter((p) => holds({ event: 'a', where }, [did('a', 0, p === undefined ? {} : { p })]));
}

describe('a condition', () => {
  const all = [7, 7.5, '7', '7.0', '007', '7 ', 'seven', true, false, null, undefined, [7], ['seven', '7.0'], { p: 7 }];

  test.each([
    ['eq', 7, [7, '7', '7.0', '007']],
    ['eq', '7', ['7']],
    ['eq', true, [true]],
    ['ne', 7, [7.5, '7 ', 'seven', true, false, [7], ['seven', '7.0'], { p: 7 }]],
    ['in', [7.5, 'seven', false], [7.5, 'seven', false]],
    ['nin', [7, 'seven', true], [7.5, '7 ', false, [7], ['seven', '7.0'], { p: 7 }]],
    ['gt', 7, [7.5]],
    ['gte', 7, [7, 7.5, '7', '7.0', '007']],
    ['lt', 7.5, [7, '7', '7.0', '007']],
    ['lte', 7, [7, '7', '7.0', '007']],
    ['contains', 'eve', ['seven']],
    ['contains', 'seven', ['seven', ['seven', '7.0']]],
    ['contains', 7, [[7], ['seven', '7.0']]],
    ['starts_with', '7', ['7', '7.0', '7 ']],
    ['exists', true, [7, 7.5, '7', '7.0', '007', '7 ', 'seven', true, false, [7], ['seven', '7.0'], { p: 7 }]],
    ['exists', false, [null, undefined]],
  ])('%s %j', (op, value, expected) => {
    expect(passing(op, value, all)).toEqual(expected);
  });

  test('compares decimals as they are written', () => {
    expect(passing('eq', 0.3, ['0.3', '0.30', 0.1 + 0.2, '0.3000000001'])).toEqual(['0.3', '0.30']);
    expect(passing('gt', 0.1, ['0.1', '0.1000000001', '0.10'])).toEqual(['0.1000000001']);
    const long = ['9007199254740993', '9007199254740992', '9007199254740992.0000000001'];
    expect(passing('gt', 9007199254740992, long)).toEqual(['9007199254740993', '9007199254740992.0000000001']);
    expect(passing('eq', 1e21, ['1000000000000000000000', 1e21])).toEqual([1e21]);
    expect(passing('lt', 0, ['-0', '-0.0000000001', -1e-7])).toEqual(['-0.0000000001', -1e-7]);
    expect(passing('eq', 0, ['-0', 0, '0.0'])).toEqual(['-0', 0, '0.0']);
  });

  test('looks at all values of a list, and any of several conditions', () => {
    const done = [did('order_paid', 0, { products: [{ sku: 'a', n: 1 }, { sku: 'b', n: 5 }, null] })];
    const sku = (value: string): Condition => ({ property: 'products[].sku', op: 'eq', value });
    const many: Condition = { property: 'products[].n', op: 'gte', value: 5 };
    const meets = (node: Partial<EventNode>) => holds({ event: 'order_paid', ...node }, done);
    expect(meets({ where: [sku('a'), many] })).toBe(true);
    expect(meets({ item: [sku('a'), many] })).toBe(false);
    expect(meets({ item: [sku('b'), many] })).toBe(true);
    expect(meets({ where: [{ any: [sku('c'), { any: [many] }] }, sku('a')] })).toBe(true);
    expect(meets({ where: [{ any: [sku('c'), sku('d')] }] })).toBe(false);
    expect(meets({ item: [{ property: 'products[].sku', op: 'exists', value: false }] })).toBe(true);
  });
});

describe('a match', () => {
  test('is of a name or of several, on a channel or on several, with the trust or a higher one', () => {
    const done = [did('a', 0, {}, { trust: 'bound', channel: 'app' })];
    const meets = (node: Omit<EventNode, 'event'> & { event?: EventNode['event'] }) =>
      holds({ event: 'a', ...node }, done);
    expect([meets({}), meets({ event: ['b', 'a'] }), meets({ event: '*' }), meets({ event: 'b' })]).toEqual([
      true,
      true,
      true,
      false,
    ]);
    expect([meets({ channel: 'app' }), meets({ channel: ['website', 'app'] }), meets({ channel: 'website' })]).toEqual([
      true,
      true,
      false,
    ]);
    expect((['claimed', 'bound', 'token', 'server'] as const).map((trust) => meets({ trust }))).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  test('is cancelled by a later event that shares a value and meets the condition, a tie being broken by the batch', () => {
    const node: EventNode = {
      event: 'order_paid',
      unless: { event: 'order_refunded', same: 'id', where: [{ property: 'full', op: 'eq', value: true }] },
    };
    const paid = did('order_paid', 2, { id: 7 });
    const refunded = (ago: number, more: object) => did('order_refunded', ago, { id: 7, full: true, ...more });
    expect(holds(node, [paid, refunded(1, {})])).toBe(false);
    expect(holds(node, [paid, refunded(2, {})])).toBe(false);
    expect(holds(node, [refunded(2, {}), did('order_paid', 2, { id: 7 })])).toBe(true);
    expect(holds(node, [paid, refunded(3, {})])).toBe(true);
    expect(holds(node, [paid, refunded(1, { full: false })])).toBe(true);
    expect(holds(node, [paid, refunded(1, { id: '7' })])).toBe(true);
    expect(holds(node, [paid, refunded(1, { id: undefined })])).toBe(true);
    expect(holds(node, [paid, refunded(-1, {})])).toBe(true);
    expect(holds(node, [paid, refunded(-1, {})], now + day)).toBe(false);
    expect(holds(node, [did('order_paid', 2), did('order_refunded', 1, { full: true })])).toBe(true);
  });
});

describe('an aggregate', () => {
  const prices = [did('a', 3, { v: 0.1, id: 1 }), did('a', 2, { v: '0.2', id: '1' }), did('a', 1, { v: 'x', id: [1] })];
  const meets = (node: Omit<EventNode, 'event'>, done = prices) => holds({ event: 'a', ...node }, done);

  test('adds up to the cent', () => {
    expect(meets({ sum: { of: 'v', eq: 0.3 } })).toBe(true);
    expect(meets({ avg: { of: 'v', eq: 0.15 } })).toBe(true);
    const thirds = [1, 1, 2].map((v) => did('a', 0, { v }));
    expect(meets({ avg: { of: 'v', gt: 1.3333333333333333 } }, thirds)).toBe(true);
    expect(meets({ avg: { of: 'v', lt: 1.3333333333333335 } }, thirds)).toBe(true);
    const lines = [did('a', 0, { lines: [{ v: '9999999999999999.99' }, { v: 0.01 }] })];
    expect(meets({ sum: { of: 'lines[].v', eq: 10_000_000_000_000_000 } }, lines)).toBe(true);
    expect(meets({ min: { of: 'v', eq: 0.1 }, max: undefined })).toBe(true);
    expect(meets({ max: { of: 'v', gte: 0.2, lt: 0.21 } })).toBe(true);
  });

  test('takes off what went back', () => {
    const net = (eq: number): Omit<EventNode, 'event'> => ({
      sum: { of: 'v', minus: { event: 'back', of: 'v', channel: 'app' }, eq },
      within: '30d',
    });
    const done = [
      did('a', 3, { v: 100 }),
      did('back', 2, { v: '0.1' }, { channel: 'app' }),
      did('back', 40, { v: 50 }, { channel: 'app' }),
      did('back', 1, { v: 1 }),
    ];
    expect(meets(net(99.9), done)).toBe(true);
    expect(meets(net(-0.1), done.slice(1))).toBe(true);
  });

  test('of nothing is nought, or nothing at all', () => {
    const nought = { lte: 0 };
    for (const node of [
      { count: nought },
      { days: nought },
      { distinct: { of: 'v', ...nought } },
      { sum: { of: 'v', ...nought } },
    ])
      expect(meets(node, [])).toBe(true);
    for (const what of ['avg', 'min', 'max']) expect(meets({ [what]: { of: 'v', ...nought } }, [])).toBe(false);
  });

  test('keeps numbers from texts, and lists from both, when it counts what is different', () => {
    expect(meets({ distinct: { of: 'id', eq: 2 } })).toBe(true);
    expect(meets({ distinct: { of: 'id[]', eq: 1 } })).toBe(true);
    expect(meets({ count: { gt: 2, lt: 4 } })).toBe(true);
    expect(meets({ count: { gt: 2, lt: 3 } })).toBe(false);
  });

  test('counts days on the calendar of the zone', () => {
    const midnight = Date.parse('2026-11-20T00:00:00+08:00');
    const around = [-1, 0, 23 * hour].map((ms) => did('a', (now - midnight - ms) / day));
    expect(holds({ event: 'a', days: { eq: 2 } }, around)).toBe(true);
    expect(holds({ event: 'a', days: { eq: 1 } }, around.slice(0, 2), now, 'UTC')).toBe(true);
  });

  test('first and last are the earliest and latest that still stand', () => {
    const refundable = { unless: { event: 'b', same: 'id' } };
    const done = [did('a', 40, { id: 1 }), did('a', 10, { id: 2 }), did('a', 2, { id: 3 }), did('a', -1)];
    expect(meets({ first: true, within: '30d' }, done)).toBe(false);
    expect(meets({ first: true, within: '30d', ...refundable }, [...done, did('b', 30, { id: 1 })])).toBe(true);
    expect(meets({ last: true, between: ['30d', '5d'] }, done)).toBe(false);
    expect(meets({ last: true, between: ['30d', '5d'], ...refundable }, [...done, did('b', 1, { id: 3 })])).toBe(true);
    expect(meets({ last: true, within: '3d' }, done)).toBe(true);
  });
});

describe('a window', () => {
  const inside = (window: object, text: string, at = now, tz = 'Asia/Shanghai') =>
    holds({ event: 'a', ...window }, [did('a', 0, {}, { timestamp: Date.parse(text) })], at, tz);

  test('is open at its old end and closed at its new one', () => {
    const ago = (window: object, ms: number) => holds({ event: 'a', ...window }, [did('a', ms / day)]);
    expect([ago({ within: '1d' }, day), ago({ within: '1d' }, day - 1), ago({ within: '1d' }, 0)]).toEqual([
      false,
      true,
      true,
    ]);
    const between = { between: ['2d', '1d'] };
    expect([2 * day, 2 * day - 1, day, day - 1].map((ms) => ago(between, ms))).toEqual([false, true, true, false]);
    expect(inside({ after: '2026-11-01T00:00:00+08:00' }, '2026-10-31T16:00:00Z')).toBe(true);
    expect(inside({ before: '2026-11-01T00:00:00+08:00' }, '2026-10-31T16:00:00Z')).toBe(false);
    expect(
      inside({ after: '2026-11-01T00:00:00+08:00', before: '2026-11-02T00:00:00+08:00' }, '2026-11-01T12:00:00+08:00'),
    ).toBe(true);
  });

  test.each([
    ['month', 0, '2026-03-31T12:00:00+08:00', '2026-03-01T00:00:00+08:00', '2026-02-28T23:59:59.999+08:00'],
    ['month', -1, '2026-03-31T12:00:00+08:00', '2026-02-28T23:59:59.999+08:00', '2026-03-01T00:00:00+08:00'],
    ['month', -1, '2026-01-31T12:00:00+08:00', '2025-12-01T00:00:00+08:00', '2026-01-01T00:00:00+08:00'],
    ['quarter', -1, '2026-02-01T12:00:00+08:00', '2025-10-01T00:00:00+08:00', '2025-09-30T23:59:59+08:00'],
    ['year', -1, '2026-02-01T12:00:00+08:00', '2025-12-31T23:59:59+08:00', '2026-01-01T00:00:00+08:00'],
    ['week', 0, '2026-11-29T23:59:59+08:00', '2026-11-23T00:00:00+08:00', '2026-11-22T23:59:59+08:00'],
    ['week', -1, '2026-01-01T12:00:00+08:00', '2025-12-22T00:00:00+08:00', '2025-12-29T00:00:00+08:00'],
    ['day', 0, '2024-02-29T12:00:00+08:00', '2024-02-29T00:00:00+08:00', '2024-02-28T23:59:59+08:00'],
    ['day', -366, '2025-03-01T12:00:00+08:00', '2024-02-29T12:00:00+08:00', '2024-03-01T12:00:00+08:00'],
  ])('of the %s, moved by %d, at %s', (unit, offset, at, yes, no) => {
    const calendar = { calendar: { unit, offset } };
    expect(inside(calendar, yes, Date.parse(at))).toBe(true);
    expect(inside(calendar, no, Date.parse(at))).toBe(false);
  });

  test('of a day of 23 or 25 hours is the whole day, and ends with it', () => {
    const today = { calendar: { unit: 'day' } };
    const zone = 'America/New_York';
    const short = Date.parse('2026-03-08T12:00:00-04:00');
    expect(inside(today, '2026-03-08T00:00:00-05:00', short, zone)).toBe(true);
    expect(inside(today, '2026-03-07T23:59:59-05:00', short, zone)).toBe(false);
    const long = Date.parse('2026-11-01T23:59:59-05:00');
    expect(inside(today, '2026-11-01T00:00:00-04:00', long, zone)).toBe(true);
    const question = compileBehaviour({ event: 'a', calendar: { unit: 'day' } }, zone);
    const { dueAt } = question.answer(factsOf([did('a', 0, {}, { timestamp: short })]), short);
    expect(dueAt).toBe(Date.parse('2026-03-09T00:00:00-04:00'));
    // Where the clock goes forward at midnight, the day begins at one.
    const cairo = Date.parse('2026-04-24T12:00:00+03:00');
    expect(inside(today, '2026-04-24T01:00:00+03:00', cairo, 'Africa/Cairo')).toBe(true);
    expect(inside(today, '2026-04-23T23:59:59+02:00', cairo, 'Africa/Cairo')).toBe(false);
  });
});

describe('a sequence', () => {
  const [a, b, c] = [{ event: 'a' }, { event: 'b' }, { event: 'c' }];

  test('wants each step later than the one before, ties broken by the batch', () => {
    expect(holds({ sequence: [a, b] }, [did('a', 2), did('b', 1)])).toBe(true);
    expect(holds({ sequence: [a, b] }, [did('b', 2), did('a', 1)])).toBe(false);
    expect(holds({ sequence: [a, b] }, [did('a', 1), did('b', 1)])).toBe(true);
    expect(holds({ sequence: [a, b] }, [did('b', 1), did('a', 1)])).toBe(false);
    expect(holds({ sequence: [a, a] }, [did('a', 1)])).toBe(false);
    expect(holds({ sequence: [a, b] }, [did('a', 2), did('b', -1)])).toBe(false);
  });

  test('takes the chain that fits, not the first one', () => {
    const done = [did('a', 9), did('a', 3), did('b', 2.5), did('b', 2), did('c', 1)];
    expect(holds({ sequence: [a, b, c], in: '2d' }, done)).toBe(true);
    expect(holds({ sequence: [a, b, c], in: '47h' }, done)).toBe(false);
    expect(holds({ sequence: [a, b, c], within: '1d' }, done)).toBe(false);
    expect(holds({ sequence: [a, b, c], within: '25h' }, done)).toBe(true);
  });

  test('lets nothing of a {no} come between, but the steps themselves', () => {
    const sequence = [a, { no: c }, b];
    expect(holds({ sequence }, [did('a', 3), did('c', 2), did('b', 1)])).toBe(false);
    expect(holds({ sequence }, [did('a', 3), did('c', 2), did('a', 1.5), did('b', 1)])).toBe(true);
    expect(holds({ sequence }, [did('c', 3), did('a', 2), did('b', 1), did('c', 0)])).toBe(true);
    expect(holds({ sequence: [a, { no: a }, b] }, [did('a', 3), did('a', 2), did('b', 1)])).toBe(true);
    expect(
      holds({ sequence: [a, { no: c }, { no: { event: 'd' } }, b] }, [did('a', 3), did('d', 2), did('b', 1)]),
    ).toBe(false);
  });

  test('ends with what has not happened since, or for some time', () => {
    expect(holds({ sequence: [a, { no: b }] }, [did('a', 2), did('b', 1)])).toBe(false);
    expect(holds({ sequence: [a, { no: b }] }, [did('a', 2), did('b', 1), did('a', 0.5)])).toBe(true);
    const quiet = { sequence: [a, { no: b, for: '24h' }] };
    expect(holds(quiet, [did('a', 2), did('b', 1)])).toBe(false);
    expect(holds(quiet, [did('a', 2), did('b', 0.9)])).toBe(true);
    expect(holds(quiet, [did('a', 0.9)])).toBe(false);
    expect(holds(quiet, [did('a', 1)])).toBe(true);
  });

  test('is of one value, and a {no} of another value does not stand between', () => {
    const of = (name: string, ago: number, id: unknown) => did(name, ago, { id });
    const same = { sequence: [a, { no: c }, b], same: 'id' };
    expect(holds(same, [of('a', 3, 1), of('b', 1, 2)])).toBe(false);
    expect(holds(same, [of('a', 3, 1), of('c', 2, 2), of('b', 1, [2, 1])])).toBe(false);
    expect(holds(same, [of('a', 3, 1), of('c', 2, 2), of('b', 1, 1)])).toBe(true);
    expect(holds(same, [of('a', 3, 1), of('c', 2, 1), of('b', 1, 1)])).toBe(false);
    expect(holds(same, [of('a', 3, 1), of('b', 1, '1')])).toBe(false);
    expect(holds({ ...same, same: 'id[]' }, [of('a', 3, [1, 2]), of('b', 1, [2])])).toBe(true);
  });

  test('in which the {no} is cancelled looks for what cancels it among the same value alone', () => {
    const sequence = [a, { no: { event: 'c', unless: { event: 'd', same: 'order' } } }, b];
    const done = (id: number | undefined) => [
      did('a', 4, { id: 1 }),
      did('c', 3, { id: 1, order: 9 }),
      did('d', 2, { id, order: 9 }),
      did('b', 1, { id: 1 }),
    ];
    expect(holds({ sequence, same: 'id' }, done(1))).toBe(true);
    expect(holds({ sequence, same: 'id' }, done(undefined))).toBe(false);
    expect(holds({ sequence }, done(undefined))).toBe(true);
  });
});

describe('a per', () => {
  const valuesOf = (node: BehaviourNode, done: BehaviourEvent[]) =>
    compileBehaviour(node, 'Asia/Shanghai').answer(factsOf(personWith(done).events), now).values?.satisfying;

  test('asks of each value alone', () => {
    const node: BehaviourNode = {
      per: 'id',
      all: [{ event: 'a', count: { gte: 2 } }, { sequence: [{ event: 'a' }, { event: 'b' }] }],
    };
    const done = [1, 1, 2, 3].map((id) => did('a', 3, { id })).concat(did('b', 1, { id: 1 }), did('b', 1, { id: 2 }));
    expect(valuesOf(node, done)).toEqual([1]);
  });

  test('takes its values from negated members and old events too, and from all elements of a list', () => {
    const few: BehaviourNode = {
      per: 'tags[]',
      all: [{ event: 'a', count: { lt: 2 }, within: '10d' }, { not: { event: 'b', within: '1d' } }],
    };
    const done = [
      did('a', 20, { tags: ['x'] }),
      did('b', 2, { tags: ['y', 'z', {}] }),
      did('c', 2, { tags: ['w'] }),
      did('b', 0.5, { tags: ['z'] }),
    ];
    expect(valuesOf(few, done)).toEqual(['x', 'y']);
  });

  test('gives its values by their text, a hundred at most', () => {
    const ids = ['b', 10, 9, '10', true, 'true', '😀', '\uffff', 1e21, 'ab', '中'];
    const done = ids.map((id) => did('a', 1, { id }));
    expect(valuesOf({ per: 'id', all: [{ event: 'a' }] }, done)).toEqual([
      10,
      '10',
      1e21,
      9,
      'ab',
      'b',
      true,
      'true',
      '中',
      '\uffff',
      '😀',
    ]);
    const many = Array.from({ length: 150 }, (_, id) => did('a', 1, { id: 1000 + id }));
    expect(valuesOf({ per: 'id', all: [{ event: 'a' }] }, many)).toEqual(
      Array.from({ length: 100 }, (_, id) => 1000 + id),
    );
  });
});
