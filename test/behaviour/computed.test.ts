import { describe, expect, test } from 'vitest';
import { compileComputed } from '../../src/behaviour/computed.ts';
import { factsOf } from '../../src/behaviour/facts.ts';
import type { BehaviourEvent, ComputedNode } from '../../src/behaviour/language.ts';
import { type ComputedSql, computedSql } from '../../src/behaviour/sql/computed.ts';
import { createStatement } from '../../src/behaviour/sql/statement.ts';
import { rfmTraits, usualRfm } from '../../src/profiles/rfm.ts';
import { day, did, now } from '../helpers/behaviour.ts';
import { testDatabase } from '../helpers/database.ts';
import { newSub, putPeople } from '../helpers/population.ts';

const { db } = await testDatabase();
const tz = 'Asia/Shanghai';

const ofEvents = (events: BehaviourEvent[], node: ComputedNode, at = now) =>
  compileComputed(node, tz).value(
    factsOf(events.toSorted((a, b) => a.timestamp - b.timestamp || (a.id < b.id ? -1 : 1))),
    at,
  );

async function bySql(asked: ComputedSql, at = now): Promise<Map<string, { value: unknown; dueAt: number | null }>> {
  const q = createStatement({ at: new Date(at), tz: 'UTC', purpose: 'service' });
  const { sql, bindings } = q.finish(asked(q, { keys: [], among: null }));
  const { rows } = await db.raw(sql, bindings);
  return new Map(
    rows.map(({ subject_id, value, due }: { subject_id: string; value: unknown; due: Date | number }) => [
      subject_id,
      { value, dueAt: due instanceof Date ? due.getTime() : null },
    ]),
  );
}

describe('a value worked out of events', () => {
  const paid = (order_id: unknown, total: unknown, ago: number) => did('order_paid', ago, { order_id, total });
  const orders = [
    paid('a', '100.10', 40),
    paid('b', 100.2, 20),
    paid('b', 0.1, 10),
    did('order_refunded', 5, { total: '0.3' }),
  ];
  test.each<[string, ComputedNode, unknown, number | null]>([
    ['how many', { event: 'order_paid', count: true }, 3, null],
    [
      'how many in a window, until one leaves it',
      { event: 'order_paid', count: true, within: '30d' },
      2,
      now + 10 * day,
    ],
    ['how many different', { event: 'order_paid', distinct: { of: 'order_id' } }, 2, null],
    ['on how many days', { event: '*', days: true, within: '15d' }, 2, now + 5 * day],
    [
      'a sum as it is written, less what came back',
      { event: 'order_paid', sum: { of: 'total', minus: { event: 'order_refunded', of: 'total' } } },
      200.1,
      null,
    ],
    ['an average', { event: 'order_paid', avg: { of: 'total' } }, 200.4 / 3, null],
    ['the least', { event: 'order_paid', min: { of: 'total' } }, 0.1, null],
    ['the greatest', { event: 'order_paid', max: { of: 'total' } }, 100.2, null],
    ['the first value', { event: 'order_paid', first: { of: 'order_id' } }, 'a', null],
    ['the last value', { event: 'order_paid', last: { of: 'order_id' } }, 'b', null],
    ['the first moment', { event: 'order_paid', first: true }, new Date(now - 40 * day).toISOString(), null],
    ['what was most frequent', { event: 'order_paid', most_frequent: { of: 'order_id' } }, 'b', null],
    ['of equals the first by text', { event: 'order_paid', most_frequent: { of: 'total' } }, 0.1, null],
    [
      'a ratio',
      {
        ratio: [
          { event: 'order_paid', sum: { of: 'total' } },
          { event: 'order_paid', distinct: { of: 'order_id' } },
        ],
      },
      100.2,
      null,
    ],
    [
      'a ratio to nothing',
      {
        ratio: [
          { event: 'order_paid', count: true },
          { event: 'searched', count: true },
        ],
      },
      null,
      null,
    ],
    ['a sum of nothing', { event: 'searched', sum: { of: 'total' } }, 0, null],
    ['an average of nothing', { event: 'searched', avg: { of: 'total' } }, null, null],
    [
      'what no later event cancels',
      { event: 'order_paid', count: true, unless: { event: 'order_refunded', same: 'total' } },
      3,
      null,
    ],
  ])('%s', async (_, node, value, dueAt) => {
    expect(ofEvents(orders, node)).toEqual({ value, dueAt });
  });
});

test('a ratio needs what the part needs that looks further back', () => {
  const paid = (within: string) => ({ event: 'order_paid', count: true as const, within });
  for (const [above, below] of [
    ['9d', '3d'],
    ['3d', '9d'],
  ] as const)
    expect(compileComputed({ ratio: [paid(above), paid(below)] }, tz).since(now)).toBe(now - 9 * day);
});

describe('live and in SQL', () => {
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((seed / 2 ** 31) * below);
  };
  const pick = <T>(from: readonly T[]) => from[random(from.length)] as T;
  const oddities = [
    7,
    '7',
    '7.0',
    7.5,
    '0.1',
    0.2,
    -3,
    '-3',
    true,
    null,
    {},
    [],
    'x',
    '',
    '中',
    '1e3',
    [1, '2', 2, 1.0],
    12345678901234.5,
  ];
  const names = ['a', 'b', 'c'];
  const randomEvent = () =>
    did(
      pick(names),
      random(60) / 2 - 0.002 * random(2),
      {
        p: pick(oddities),
        q: pick(['x', 'y', 1]),
        huge: pick([1e308, 1e-320, -1e308, 1e-310, 3]),
        list: [{ v: pick(oddities) }, { v: pick(oddities) }],
      },
      { context: { locale: pick(['zh-CN', 'en', null]) }, channel: pick(['website', 'app']) },
    );
  const paths = ['p', 'q', 'list[].v', 'context.locale'];
  const windows = [
    {},
    { within: '10d' },
    { between: ['20d', '3d'] as [string, string] },
    { calendar: { unit: 'week' as const, offset: -1 } },
    { calendar: { unit: 'month' as const } },
    { after: '2026-11-10T00:00:00Z', before: '2026-11-26T00:00:00Z' },
  ];
  const randomMatch = () => ({
    event: pick(['a', ['a', 'b'], '*']),
    ...pick([
      {},
      { channel: 'app' },
      { where: [{ property: 'q', op: 'eq' as const, value: 'x' }] },
      { unless: { event: 'c', same: 'q' } },
    ]),
  });
  const aggregates = () => {
    const of = pick(paths);
    const number = pick([...paths, 'huge']);
    return pick([
      { count: true },
      { days: true },
      { first: true },
      { last: true },
      { first: { of } },
      { last: { of } },
      { distinct: { of } },
      { most_frequent: { of } },
      { avg: { of: number } },
      { min: { of: number } },
      { max: { of: number } },
      { sum: { of: number } },
      { sum: { of, minus: { ...randomMatch(), of: pick(paths) } } },
    ]);
  };
  const numbers = () =>
    pick([
      { count: true },
      { days: true },
      { distinct: { of: pick(paths) } },
      { avg: { of: 'huge' } },
      { sum: { of: 'q' } },
    ]);
  const value = (aggregate: object) => ({ ...randomMatch(), ...pick(windows), ...aggregate }) as ComputedNode;
  const randomNode = (): ComputedNode =>
    random(5) ? value(aggregates()) : ({ ratio: [value(numbers()), value(numbers())] } as ComputedNode);

  test('say the same of everybody, and both when it may be another', async () => {
    const people = Array.from({ length: 40 }, () => ({
      sub: newSub(),
      events: Array.from({ length: random(14) }, randomEvent),
    }));
    await putPeople(db, people);
    for (let n = 0; n < 150; n++) {
      const node = randomNode();
      const at = now + pick([0, 0, day, 6 * day]);
      const found = await bySql(computedSql(node, tz), at);
      const { onNothing } = compileComputed(node, tz);
      for (const { sub, events } of people) {
        const live = ofEvents(events, node, at);
        const row = found.get(sub) ?? { value: onNothing, dueAt: null };
        expect({ node, at, sub, value: row.value }).toEqual({ node, at, sub, value: live.value });
        // Each may be too early, never too late.
        for (const due of [row.dueAt, live.dueAt]) {
          const until = due ?? at + 100 * day;
          if (until > at + 1)
            expect({ node, value: ofEvents(events, node, until - 1).value }).toEqual({ node, value: live.value });
        }
      }
    }
  });

  test('say of RFM that a threshold of recency is met until the last order is that old, and no longer', async () => {
    const [recency] = rfmTraits(usualRfm);
    if (!recency) throw new Error('there is no recency');
    const [sub, events] = [newSub(), [did('order_paid', 30, { order_id: 'a', total: 1 })]];
    await putPeople(db, [{ sub, events }]);
    for (const [at, right] of [
      [now - 1, { value: 5, dueAt: now }],
      [now, { value: 4, dueAt: now + 30 * day }],
      [now + 150 * day, { value: 1 }],
    ] as const) {
      expect(recency.question.value(factsOf(events), at)).toMatchObject(right);
      expect((await bySql(recency.sql, at)).get(sub)).toMatchObject(right);
    }
  });
});
