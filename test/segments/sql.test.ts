import { describe, expect, test } from 'vitest';
import type { BehaviourEvent } from '../../src/behaviour/language.ts';
import type { Node, Segment } from '../../src/segments/definition.ts';
import { compileToSql } from '../../src/segments/sql.ts';
import { day, did, now, segment } from '../helpers/behaviour.ts';
import { testDatabase } from '../helpers/database.ts';
import { newSub, putPeople } from '../helpers/population.ts';

const { db } = await testDatabase();

type Row = { subject_id: string; is_member: boolean; matched: unknown; due_at: Date | null };
type Asked = { more?: Partial<Segment>; segments?: Segment[]; at?: number };

/** All rows of the statement. */
async function rowsOf(where: Node, { more = {}, segments = [], at = now }: Asked = {}): Promise<Row[]> {
  const segmentOf = (key: string) => segments.find((one) => one.key === key);
  const { sql, bindings } = compileToSql(segment(where, more), { at: new Date(at), segmentOf });
  const { rows } = await db.raw(sql, bindings);
  return rows;
}

/** New people by name, who are answered for among all others. */
async function peopleWho<Name extends string>(did: Record<Name, BehaviourEvent[]>) {
  const subs = new Map((Object.keys(did) as Name[]).map((name) => [newSub(), name]));
  await putPeople(
    db,
    [...subs].map(([sub, name]) => ({ sub, events: did[name] })),
  );
  return {
    subs: Object.fromEntries([...subs].map(([sub, name]) => [name, sub])) as Record<Name, string>,
    async rows(where: Node, asked: Asked = {}) {
      const rows = await rowsOf(where, asked);
      return Object.fromEntries(
        rows.flatMap(({ subject_id, is_member, matched, due_at }) => {
          const name = subs.get(subject_id);
          return name ? [[name, { is_member, matched, due: due_at && (due_at.getTime() - at(asked)) / day }]] : [];
        }),
      );
    },
    async members(where: Node, asked: Asked = {}) {
      const rows = await rowsOf(where, asked);
      return rows.flatMap(({ subject_id, is_member }) => (is_member ? (subs.get(subject_id) ?? []) : [])).sort();
    },
  };
}
const at = (asked: Asked) => asked.at ?? now;

describe('the two segments of the mission', () => {
  test('high intent, not bought: names the products', async () => {
    const viewed = (product_id: unknown, ago: number, price: unknown = 5000) =>
      did('product_viewed', ago, { product_id, price });
    const { rows } = await peopleWho({
      keen: [viewed(7, 29), viewed(7, 3, '5000.00'), viewed(7, 2), viewed('8', 1), viewed('8', 1), viewed('8', 1)],
      bought: [viewed(7, 3), viewed(7, 2), viewed(7, 1), did('order_paid', 100, { product_id: 7 })],
      cheap: [viewed(7, 3), viewed(7, 2), viewed(7, 1, '4999.99')],
      late: [viewed(7, 30), viewed(7, 2), viewed(7, 1)],
    });
    const where: Node = {
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
    };
    expect(await rows(where)).toEqual({ keen: { is_member: true, matched: { product_id: [7, '8'] }, due: 1 } });
  });

  test('repeat buyer: a refunded order does not count', async () => {
    const paid = (order_id: unknown, ago: number) => did('order_paid', ago, { order_id }, { channel: 'miniprogram' });
    const refunded = (order_id: unknown, ago: number) => did('order_refunded', ago, { order_id });
    const { rows } = await peopleWho({
      repeats: [paid(1, 100), paid(2, 50), paid(2, 49)],
      refunds: [paid(1, 100), paid(2, 50), refunded(1, 1)],
      once: [paid(1, 100), paid(1, 50)],
      again: [paid(1, 100), refunded(1, 99), paid(1, 98), paid(2, 10)],
    });
    const where: Node = {
      event: 'order_paid',
      channel: 'miniprogram',
      unless: { event: 'order_refunded', same: 'order_id' },
      distinct: { of: 'order_id', gte: 2 },
      within: '180d',
    };
    expect(await rows(where)).toEqual({
      repeats: { is_member: true, matched: null, due: 80 },
      again: { is_member: true, matched: null, due: 82 },
    });
  });
});
