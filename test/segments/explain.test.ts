import { describe, expect, test } from 'vitest';
import { explain } from '../../src/segments/explain.ts';
import { compiled, day, did, now, personWith } from '../helpers/behaviour.ts';

describe('an explanation', () => {
  const viewed = (product_id: number, ago: number) => did('viewed', ago, { product_id });
  const segment = compiled({
    all: [
      { event: 'viewed', count: { gte: 2 }, within: '30d' },
      { not: { event: 'order_paid', sum: { of: 'total', gte: 100 } } },
      {
        per: 'product_id',
        all: [{ event: 'viewed', count: { gte: 2 } }, { not: { event: 'order_paid' } }],
      },
      { any: [{ trait: 'city', op: 'eq', value: '上海' }, { tag: 'vip' }] },
      { sequence: [{ event: 'opened' }, { event: 'viewed' }, { event: 'order_paid' }], in: '7d' },
    ],
  });
  const done = [
    did('opened', 6),
    viewed(1, 40),
    viewed(1, 5),
    viewed(2, 4),
    viewed(2, 3),
    did('order_paid', 2, { total: '99.90', product_id: 2 }),
  ];
  const person = personWith(done, {
    tags: new Set(['vip']),
    traits: new Map([['city', '北京']]),
  });

  test('mirrors the definition, with what was found and the newest events first', () => {
    const told = explain(segment, person, now);
    expect(told).toMatchObject({ is_member: true, reason: null, matched: { product_id: [1] } });
    const [count, bought, per, any, sequence] = told.where?.parts ?? [];
    expect(count).toMatchObject({
      path: 'where.all[0]',
      code: 'count',
      holds: true,
      due_at: new Date(now + 26 * day),
      observed: 3,
      wanted: { gte: 2 },
    });
    expect(count?.events).toEqual(
      [done[4], done[3], done[2]].map(
        (event) => event && { id: event.id, timestamp: new Date(event.timestamp), event: 'viewed', channel: 'website' },
      ),
    );
    expect(bought).toMatchObject({
      code: 'not',
      holds: true,
      parts: [{ path: 'where.all[1].not', code: 'sum', holds: false, observed: 99.9, wanted: { gte: 100 } }],
    });
    expect(per).toMatchObject({
      code: 'per',
      observed: 1,
      events: [{ id: done[2]?.id }, { id: done[1]?.id }],
      candidates: [
        {
          value: 1,
          holds: true,
          members: [
            { holds: true, observed: 2 },
            { holds: true, observed: 0 },
          ],
        },
        {
          value: 2,
          holds: false,
          members: [
            { holds: true, observed: 2 },
            { holds: false, observed: 1 },
          ],
        },
      ],
    });
    expect(any).toMatchObject({
      code: 'any',
      parts: [
        { code: 'trait', holds: false, observed: '北京', node: { op: 'eq', value: '上海' } },
        { path: 'where.all[3].any[1]', code: 'tag', holds: true },
      ],
    });
    expect(sequence).toMatchObject({
      code: 'sequence',
      holds: true,
      observed: 3,
      events: [{ event: 'order_paid' }, { event: 'viewed' }, { event: 'opened' }],
    });
  });

  test('of a sequence that is not complete tells how far it came', () => {
    const told = explain(segment, personWith(done.slice(0, -1)), now);
    expect(told).toMatchObject({ is_member: false, reason: 'conditions', matched: null });
    expect(told.where?.parts?.[4]).toMatchObject({
      holds: false,
      observed: 2,
      events: [{ id: done[4]?.id }, { event: 'opened' }],
    });
  });

  test.each([
    ['not_active', { isActive: false, agreed: new Set<string>(), isPersonalised: false }],
    ['no_consent', { agreed: new Set(['service', 'profiling']), isPersonalised: false }],
    ['personalisation_off', { isPersonalised: false }],
  ] as const)('says %s first, and then looks at no behaviour', (reason, more) => {
    expect(explain(segment, { ...person, ...more }, now)).toEqual({
      is_member: false,
      due_at: null,
      matched: null,
      reason,
      where: null,
    });
  });

  test('shows ten events at most', () => {
    const many = compiled({ event: 'viewed' });
    const told = explain(many, personWith(Array.from({ length: 30 }, (_, ago) => viewed(1, ago))), now);
    expect(told.where).toMatchObject({ observed: 30, wanted: { gte: 1 } });
    expect(told.where?.events?.map(({ timestamp }) => (now - timestamp.getTime()) / day)).toEqual([
      0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
    ]);
  });
});
