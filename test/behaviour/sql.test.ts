import { describe, expect, test } from 'vitest';
import type { BehaviourEvent } from '../../src/behaviour/language.ts';
import { mostAheadMs } from '../../src/events/event-time.ts';
import type { Node } from '../../src/segments/definition.ts';
import { day, did, now } from '../helpers/behaviour.ts';
import { testDatabase } from '../helpers/database.ts';
import { asking } from '../helpers/population.ts';

const { db } = await testDatabase();
const { rowsOf, peopleWho } = asking(db);

describe('conditions', () => {
  const shapes: Record<string, unknown> = {
    five: 5,
    text5: '5',
    text50: '5.0',
    more: 5.5,
    word: 'abc',
    yes: true,
    nothing: null,
    object: { x: 5 },
    list: [5, 'abc'],
    long: '123456789012345678901234567890',
    exponent: '5e0',
  };
  const others = (...left: string[]) => Object.keys(shapes).filter((name) => ![...left, 'nothing'].includes(name));
  const people = peopleWho({
    ...Object.fromEntries(
      Object.entries(shapes).map(([name, v]) => [name, [did('a', 1, { v, o: { v }, l: [{ v }] })]]),
    ),
    missing: [did('a', 1)],
  } as Record<string, BehaviourEvent[]>);

  test.each([
    ['eq', 5, ['five', 'text5', 'text50']],
    ['eq', 'abc', ['word']],
    ['eq', '5', ['text5']],
    ['eq', true, ['yes']],
    ['ne', 5, others('five', 'text5', 'text50')],
    ['in', [5, 'abc', true], ['five', 'text5', 'text50', 'word', 'yes']],
    ['nin', ['abc', '5'], others('word', 'text5')],
    ['gt', 5, ['more']],
    ['gte', 5, ['five', 'text5', 'text50', 'more']],
    ['lt', 5.5, ['five', 'text5', 'text50']],
    ['lte', 5.5, ['five', 'text5', 'text50', 'more']],
    ['contains', 'b', ['word']],
    ['contains', 5, ['list']],
    ['contains', 'abc', ['list', 'word']],
    ['starts_with', '5', ['text5', 'text50', 'exponent']],
    ['exists', true, others()],
    ['exists', false, ['nothing', 'missing']],
  ] as const)('%s %j, of a property, a field of an object and elements of a list', async (op, value, expected) => {
    const { members } = await people;
    for (const property of ['v', 'o.v', 'l[].v']) {
      const where = [{ property, op, value: value as never }];
      expect(await members({ event: 'a', where }), property).toEqual([...expected].sort());
    }
  });

  test('an item is one element; conditions apart may be of two', async () => {
    const ordered = (...items: unknown[]) => [did('o', 1, { items })];
    const { members } = await peopleWho({
      one: ordered({ sku: 'a', price: '20.00' }, { sku: 'b', price: 1 }),
      two: ordered({ sku: 'a', price: 1 }, { sku: 'b', price: 20 }),
      none: [did('o', 1, { items: { sku: 'a', price: 20 } })],
    });
    const conditions = [
      { property: 'items[].sku', op: 'eq' as const, value: 'a' },
      { property: 'items[].price', op: 'gte' as const, value: 20 },
    ];
    expect(await members({ event: 'o', item: conditions })).toEqual(['one']);
    expect(await members({ event: 'o', where: conditions })).toEqual(['one', 'two']);
    expect(await members({ event: 'o', where: [{ any: conditions }] })).toEqual(['one', 'two']);
  });

  test('event, channel and trust; any event; the context', async () => {
    const { members } = await peopleWho({
      web: [did('c', 1, {}, { trust: 'bound', context: { campaign: { source: 'wx' } } })],
      app: [did('d', 1, {}, { channel: 'app', trust: 'token' })],
    });
    expect(await members({ event: ['c', 'd'], channel: 'website' })).toEqual(['web']);
    expect(await members({ event: ['c', 'd'], channel: ['app', 'website'] })).toEqual(['app', 'web']);
    expect(await members({ event: '*', trust: 'token' })).toEqual(['app']);
    expect(
      await members({ event: '*', where: [{ property: 'context.campaign.source', op: 'eq', value: 'wx' }] }),
    ).toEqual(['web']);
  });

  test('E3: whatever a definition says is only ever a value', async () => {
    const hostile = [
      `a'->>'b`,
      `'); drop table events; --`,
      '\\',
      `"`,
      '$1 ? ?? :p1 ::x',
      '%_',
      'ñ\u{1F600}',
      '\n',
      '{"a":1}',
    ];
    const { members } = await peopleWho(
      Object.fromEntries(
        hostile.map((text) => [text, [did(text, 1, { v: text, [text]: 1 }, { channel: text })]]),
      ) as Record<string, BehaviourEvent[]>,
    );
    for (const text of hostile) {
      expect(await members({ event: text, channel: text }), text).toEqual([text]);
      for (const op of ['eq', 'contains', 'starts_with'] as const)
        expect(
          await members({ event: hostile, where: [{ property: 'v', op, value: text }] }),
          `${op} ${text}`,
        ).toContain(text);
      expect(await members({ event: hostile, where: [{ property: 'v', op: 'in', value: [text, 'other'] }] })).toEqual([
        text,
      ]);
      const none = [
        { tag: text },
        { segment: text },
        { identity: text, issuer: text },
        { consent: text },
        { trait: text, op: 'eq' as const, value: text },
      ];
      for (const node of none) expect(await members(node), JSON.stringify(node)).toEqual([]);
      expect(await members({ sample: { percent: 100, salt: text } })).toHaveLength(hostile.length);
    }
  });

  test('F10: no question fails, whatever lies under a name', async () => {
    const broken = [
      null,
      {},
      [],
      [[]],
      [null],
      '',
      'x',
      '-',
      '1e999',
      '9'.repeat(400),
      -0,
      1e308,
      5e-324,
      true,
      { x: [{ y: 1 }] },
      [{ x: 1 }, 2],
    ];
    await peopleWho({ broken: broken.map((v) => did('broken', 1, { v, x: { v }, l: [{ v }, v] })) });
    for (const of of ['v', 'v.x', 'x.v', 'l[].v', 'l[]', 'v[].x', 'v[]', 'l[].v[].x'])
      for (const aggregate of ['sum', 'avg', 'min', 'max', 'distinct'])
        await expect(rowsOf({ event: 'broken', [aggregate]: { of, gte: 1 } } as Node)).resolves.toBeInstanceOf(Array);
  });
});

describe('aggregates, each with when time alone may change it', () => {
  const of = (ago: number, n: unknown, more: Partial<BehaviourEvent> = {}) =>
    did('n', ago, { n, ns: [n, '0.5'] }, more);
  const people = peopleWho({
    ann: [of(9, 4), of(3, 1), of(2, '2.50'), of(2, 'x')],
    bob: [of(20, 7)],
    eve: [of(1, -1), of(1, 1)],
    tom: [did('other', 1)],
  });
  const member = (due: number | null) => ({ is_member: true, matched: null, due });
  const later = (due: number) => ({ is_member: false, matched: null, due });

  test.each<[string, Partial<Node>, Record<string, unknown>]>([
    ['count', { count: { gte: 3 }, within: '7d' }, { ann: member(4) }],
    ['one is enough: until the last leaves', { within: '7d' }, { ann: member(5), eve: member(6) }],
    [
      'no more than',
      { count: { lte: 2 }, within: '7d' },
      { ann: later(4), bob: member(null), eve: member(null), tom: member(null) },
    ],
    [
      'none',
      { count: { eq: 0 }, within: '7d' },
      { ann: later(4), bob: member(null), eve: later(6), tom: member(null) },
    ],
    ['between', { between: ['10d', '5d'] }, { ann: member(1), eve: later(4) }],
    ['days', { days: { gte: 2 }, within: '7d' }, { ann: member(4) }],
    ['distinct', { distinct: { of: 'n', gte: 4 } }, { ann: member(null) }],
    ['sum', { sum: { of: 'n', gte: 3.5 }, within: '7d' }, { ann: member(4), eve: later(6) }],
    [
      'a sum rises when what was less than nothing leaves',
      { sum: { of: 'n', gt: 0 }, within: '7d' },
      { ann: member(4), eve: later(6) },
    ],
    ['sum over a list', { sum: { of: 'ns[]', eq: 7.5 } }, { bob: member(null) }],
    ['avg', { avg: { of: 'n', eq: 2.5 } }, { ann: member(null) }],
    ['min', { min: { of: 'n', lt: 0 } }, { eve: member(null) }],
    ['max', { max: { of: 'n', gte: 4 }, within: '30d' }, { ann: member(21), bob: member(10) }],
    ['first', { first: true, between: ['30d', '5d'] }, { ann: member(21), bob: member(10), eve: later(4) }],
    ['last', { last: true, between: ['30d', '5d'] }, { ann: later(3), bob: member(10), eve: later(4) }],
    ['after and before', { after: '2026-11-17T02:00:00Z', before: '2026-11-23T02:00:00Z' }, { ann: member(null) }],
    ['calendar', { calendar: { unit: 'week' } }, { ann: member(3.583), eve: member(3.583) }],
    ['last week', { calendar: { unit: 'week', offset: -1 } }, { ann: member(3.583), eve: later(3.583) }],
  ])('%s', async (_, asked, expected) => {
    const { rows } = await people;
    expect(await rows({ event: 'n', ...asked } as Node)).toEqual(expected);
  });

  test('what is later than now comes to be, and is not counted before', async () => {
    const { rows } = await peopleWho({
      ahead: [did('soon', -1 / 1440)],
      cancelled: [did('soon', 1, { id: 1 }), did('stop', -1 / 1440, { id: 1 })],
    });
    const unless = { event: 'stop', same: 'id' };
    const found = await rows({ event: 'soon', unless });
    expect(found.ahead).toEqual(later(0.001));
    expect(found.cancelled).toEqual(member(0.001));
  });

  test('what a clock that ran ahead said in the month before is in the windows of its time', async () => {
    const month = Date.parse('2026-11-01T00:00:00Z');
    const [timestamp, at] = [month + 60_000, month + 7 * day];
    const { members, subs } = await peopleWho({
      ahead: [did('early', 0, {}, { timestamp }), did('then', 0, {}, { timestamp: month + 2 * day + 1 })],
    });
    await db.raw(`select ensure_event_partition('2026-10-15T00:00:00Z')`);
    const received_at = new Date(timestamp - mostAheadMs);
    await db('events').where({ subject_id: subs.ahead, event: 'early' }).update({ received_at });
    const early = { event: 'early' };
    for (const where of [
      { ...early, within: '7d' },
      { ...early, between: ['7d', '1d'] },
      { ...early, after: new Date(month).toISOString() },
      { ...early, calendar: { unit: 'month' } },
      { sequence: [early, { event: 'then' }], in: '2d', within: '5d' },
    ] as Node[])
      expect(await members(where, { at, more: { tz: 'UTC' } }), JSON.stringify(where)).toEqual(['ahead']);
  });

  test('a window that opens next week holds nobody yet', async () => {
    const { rows } = await peopleWho({ early: [did('soon', 1)] });
    expect(await rows({ event: 'soon', after: new Date(now + 7 * day).toISOString() })).toEqual({});
  });

  test('a refund takes its order off', async () => {
    const { members } = await peopleWho({
      keeps: [did('paid', 3, { total: '80.10' }), did('paid', 2, { total: 40 })],
      returns: [did('paid', 3, { total: 200 }), did('refund', 2, { total: '100.01' })],
    });
    const sum = { of: 'total', gte: 100, minus: { event: 'refund', of: 'total' } };
    expect(await members({ event: 'paid', sum })).toEqual(['keeps']);
  });
});

describe('sequences', () => {
  const people = peopleWho({
    bought: [did('view', 5, { p: 1 }), did('buy', 4, { p: 1 })],
    other: [did('view', 5, { p: 1 }), did('buy', 4, { p: 2 })],
    slow: [did('view', 9, { p: 1 }), did('buy', 1, { p: 1 })],
    left: [did('cart', 3), did('view', 5, { p: [1] })],
    leaving: [did('cart', 0.5)],
    undecided: [did('view', 5, { p: 1 }), did('cart', 4.5), did('buy', 4, { p: 1 }), did('cart', 1)],
  });
  const view = { event: 'view' };
  const buy = { event: 'buy' };

  test.each<[string, Node, string[]]>([
    ['in order', { sequence: [view, buy] }, ['bought', 'other', 'slow', 'undecided']],
    ['not the other way round', { sequence: [buy, view] }, []],
    ['within a time', { sequence: [view, buy], in: '7d' }, ['bought', 'other', 'undecided']],
    ['of the same value', { sequence: [view, buy], same: 'p' }, ['bought', 'slow', 'undecided']],
    ['the last step in the window', { sequence: [view, buy], within: '2d' }, ['slow']],
    ['none between', { sequence: [view, { no: { event: 'cart' } }, buy] }, ['bought', 'other', 'slow']],
    ['none after', { sequence: [view, buy, { no: { event: 'cart' } }] }, ['bought', 'other', 'slow']],
    ['none for a time', { sequence: [{ event: 'cart' }, { no: buy, for: '24h' }] }, ['left', 'undecided']],
  ])('%s', async (_, node, expected) => {
    const { members } = await people;
    expect(await members(node)).toEqual(expected);
  });

  test('waiting for the time to pass', async () => {
    const { rows } = await people;
    const found = await rows({ sequence: [{ event: 'cart' }, { no: buy, for: '24h' }], within: '7d' });
    expect(found.leaving).toEqual({ is_member: false, matched: null, due: 0.5 });
  });

  test('none for a time, and what follows at its very end follows', async () => {
    const { rows } = await peopleWho({ atTheEnd: [did('cart', 2), did('buy', 1)] });
    expect(await rows({ sequence: [{ event: 'cart' }, { no: buy, for: '24h' }] })).toEqual({});
  });

  test('neither of two that must not lie between; what is chosen does not lie between', async () => {
    const steps = (...between: BehaviourEvent[]) => [did('a', 3), ...between, did('d', 1)];
    const { members } = await peopleWho({ none: steps(), one: steps(did('b', 2)), other: steps(did('c', 2)) });
    const [no, a, d] = [(event: string) => ({ no: { event } }), { event: 'a' }, { event: 'd' }];
    expect(await members({ sequence: [a, no('b'), no('c'), d] })).toEqual(['none']);
    expect(await members({ sequence: [a, no('a'), d] })).toEqual(['none', 'one', 'other']);
  });

  test('the first step may be as much older than the window as all steps may be apart', async () => {
    const { members } = await peopleWho({ slow: [did('begun', 80), did('done', 1)] });
    expect(await members({ sequence: [{ event: 'begun' }, { event: 'done' }], in: '90d', within: '7d' })).toEqual([
      'slow',
    ]);
  });

  test('of several values the last to fall counts, not one that comes to hold', async () => {
    const bought = (p: number, ago: number) => [did('view', ago, { p }), did('buy', ago, { p })];
    const { rows } = await peopleWho({ two: [...bought(1, 7), ...bought(2, 1)] });
    const was: Node = { sequence: [view, buy], same: 'p', between: ['10d', '5d'] };
    expect(await rows(was)).toMatchObject({ two: { is_member: true, due: 3 } });
  });

  test('two of one instant are in the order of their receipt', async () => {
    const [first, second] = [did('view', 1), did('buy', 1)];
    const [third, fourth] = [did('buy', 1), did('view', 1)];
    const { members } = await peopleWho({ right: [second, first], wrong: [third, fourth] });
    expect(await members({ sequence: [view, buy] })).toEqual(['right']);
  });
});
