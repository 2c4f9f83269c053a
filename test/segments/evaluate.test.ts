import { describe, expect, test } from 'vitest';
import { isTouchedBy, needsOf } from '../../src/segments/needs.ts';
import { compiled, day, did, now, personWith } from '../helpers/behaviour.ts';

const alone = { segmentOf: () => undefined };

describe('the two segments of the mission', () => {
  const highIntent = compiled({
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
  });
  const viewed = (product_id: unknown, ago: number, price: unknown = 5000) =>
    did('product_viewed', ago, { product_id, price });

  test('high intent, not bought: names the product, and ends when the third view is 30 days old', () => {
    const seen = [
      viewed(7, 29),
      viewed(7, 3, '5000.00'),
      viewed(7, 2),
      viewed(8, 1),
      viewed(8, 1),
      viewed(8, 1, '4999.99'),
    ];
    expect(highIntent.evaluate(personWith(seen), now)).toEqual({
      isMember: true,
      dueAt: now + day,
      matched: { product_id: [7] },
    });
    expect(highIntent.evaluate(personWith(seen), now + day)).toEqual({ isMember: false, dueAt: null, matched: null });
  });

  test('the product bought leaves, another stays', () => {
    const seen = [7, 8].flatMap((id) => [viewed(id, 3), viewed(id, 2), viewed(id, 1)]);
    expect(highIntent.evaluate(personWith(seen), now).matched).toEqual({ product_id: [7, 8] });
    const bought = personWith([...seen, did('order_paid', 0, { product_id: 7 })]);
    expect(highIntent.evaluate(bought, now).matched).toEqual({ product_id: [8] });
  });

  test('repeat buyer: a refunded order does not count, and the second order keeps the member for 180 days', () => {
    const repeat = compiled({
      event: 'order_paid',
      channel: 'miniprogram',
      unless: { event: 'order_refunded', same: 'order_id' },
      distinct: { of: 'order_id', gte: 2 },
      within: '180d',
    });
    const paid = (order_id: number, ago: number) => did('order_paid', ago, { order_id }, { channel: 'miniprogram' });
    const orders = [paid(1, 100), paid(2, 50), paid(2, 49)];
    expect(repeat.evaluate(personWith(orders), now)).toEqual({ isMember: true, dueAt: now + 80 * day, matched: null });
    const refunded = personWith([...orders, did('order_refunded', 1, { order_id: 1 })]);
    expect(repeat.evaluate(refunded, now).isMember).toBe(false);
    expect(needsOf([repeat], now, alone)).toEqual({
      names: ['order_paid', 'order_refunded'],
      since: now - 180 * day,
    });
    expect(isTouchedBy(repeat, { event: 'order_paid', channel: 'website' }, alone)).toBe(false);
    expect(isTouchedBy(repeat, { event: 'order_paid', channel: 'miniprogram' }, alone)).toBe(true);
    expect(isTouchedBy(repeat, { event: 'order_refunded', channel: 'website' }, alone)).toBe(true);
  });
});
