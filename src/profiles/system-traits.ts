/** Traits that every profile has, as data. In a segment they are worked out of the events that were collected for its purpose. */
import type { ComputedNode, ValueNode } from '../behaviour/language.ts';
import type { TraitDefinition } from './trait.ts';

const total: ValueNode = { event: 'order_paid', sum: { of: 'total', minus: { event: 'order_refunded', of: 'total' } } };
const orders: ValueNode = { event: 'order_paid', distinct: { of: 'order_id' } };

function trait(name: string, zh: string, en: string, definition: ComputedNode): TraitDefinition {
  return { name, title: { 'zh-CN': zh, en }, definition };
}

export const systemTraits: TraitDefinition[] = [
  trait('first_seen_at', '首次出现', 'First seen', { event: '*', first: true }),
  trait('last_seen_at', '最近出现', 'Last seen', { event: '*', last: true }),
  trait('events_total', '行为总数', 'Events', { event: '*', count: true }),
  trait('locale', '语言地区', 'Locale', { event: '*', last: { of: 'context.locale' } }),
  trait('orders_count', '支付订单数', 'Paid orders', orders),
  trait('orders_total', '支付总额（扣除退款）', 'Paid in total, net of refunds', total),
  trait('average_order', '客单价', 'Average order', { ratio: [total, orders] }),
  trait('first_order_at', '首次支付', 'First order', { event: 'order_paid', first: true }),
  trait('last_order_at', '最近支付', 'Last order', { event: 'order_paid', last: true }),
];
