/** Segments that a retailer asks for first, to start from: every number in them is there to be changed. */
import type { Node, Segment } from './definition.ts';

export type Template = {
  title: { 'zh-CN': string; en: string };
  description: { 'zh-CN': string; en: string };
  definition: Segment;
};

type Words = [zh: string, en: string];

function template(key: string, title: Words, description: Words, where: Node): Template {
  const both = ([zh, en]: Words) => ({ 'zh-CN': zh, en });
  return {
    title: both(title),
    description: both(description),
    definition: { version: 1, key, name: title[0], purpose: 'marketing', tz: 'Asia/Shanghai', where },
  };
}

export const templates: Template[] = [
  template(
    'web-high-intent-not-bought',
    ['官网高意向未购用户', 'High intent on the website, never bought'],
    [
      '30 天内在官网看同一件高价商品 3 次以上，从未购买',
      'Viewed the same expensive product on the website three times in 30 days and never bought it',
    ],
    {
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
  ),
  template(
    'miniprogram-repeat-buyer',
    ['小程序复购达人', 'Mini-program repeat buyer'],
    [
      '180 天内在小程序支付 2 笔以上未退款的订单',
      'Paid two or more orders in the mini-program in 180 days, refunded ones left out',
    ],
    {
      event: 'order_paid',
      channel: 'miniprogram',
      unless: { event: 'order_refunded', same: 'order_id' },
      distinct: { of: 'order_id', gte: 2 },
      within: '180d',
    },
  ),
  template(
    'abandoned-cart',
    ['加购未下单', 'Abandoned cart'],
    [
      '7 天内加入购物车，此后 24 小时没有下单',
      'Added to the cart in the last 7 days and ordered nothing for 24 hours after it',
    ],
    {
      sequence: [{ event: 'cart_added' }, { no: { event: ['order_placed', 'order_paid'] }, for: '24h' }],
      within: '7d',
    },
  ),
  template(
    'web-to-miniprogram-buyer',
    ['官网浏览、小程序下单', 'Browsed on the website, bought in the mini-program'],
    [
      '在官网看过商品，7 天内在小程序支付',
      'Viewed a product on the website and paid in the mini-program within 7 days',
    ],
    {
      sequence: [
        { event: 'product_viewed', channel: 'website' },
        { event: 'order_paid', channel: 'miniprogram' },
      ],
      in: '7d',
      within: '90d',
    },
  ),
  template(
    'first-purchase-no-second',
    ['首购 30–60 天未复购', 'First purchase 30 to 60 days ago, no second'],
    ['第一次支付在 30 到 60 天前，此后没有再买', 'Paid for the first time 30 to 60 days ago and has not bought again'],
    {
      all: [
        { event: 'order_paid', first: true, between: ['60d', '30d'] },
        { event: 'order_paid', count: { eq: 1 } },
      ],
    },
  ),
  template(
    'high-value-asleep',
    ['沉睡的高价值客户', 'High value, asleep'],
    [
      '一年内净支付 5000 元以上，最近 60 天没有任何行为',
      'Paid 5,000 or more net of refunds in a year and did nothing in the last 60 days',
    ],
    {
      all: [
        {
          event: 'order_paid',
          sum: { of: 'total', gte: 5000, minus: { event: 'order_refunded', of: 'total' } },
          within: '365d',
        },
        { not: { event: '*', within: '60d' } },
      ],
    },
  ),
  template(
    'birthday-this-month',
    ['本月生日', 'Birthday this month'],
    ['生日（属性 birthday）在本月', 'The birthday (trait `birthday`) is this month'],
    { trait: 'birthday', op: 'anniversary_in', value: 'this_month' },
  ),
  template(
    'active-this-month',
    ['本月活跃 4 天以上', 'Active on four days this month'],
    ['本月至少 4 天有行为', 'Did something on at least four days of this month'],
    { event: '*', days: { gte: 4 }, calendar: { unit: 'month' } },
  ),
  template(
    'festival-three-categories',
    ['大促期间看过三个品类', 'Three categories in a sales festival'],
    ['大促期间浏览过至少三个品类的商品', 'Viewed products of at least three categories during the festival'],
    {
      event: 'product_viewed',
      distinct: { of: 'category', gte: 3 },
      after: '2026-11-01T00:00:00+08:00',
      before: '2026-11-12T00:00:00+08:00',
    },
  ),
  template(
    'points-expiring',
    ['积分即将到期', 'Points expiring'],
    [
      '有积分（属性 points_balance），且 30 天内到期（属性 points_expire_at）',
      'Has points (trait `points_balance`) that expire within 30 days (trait `points_expire_at`)',
    ],
    {
      all: [
        { trait: 'points_balance', op: 'gt', value: 0 },
        { trait: 'points_expire_at', op: 'in_next', value: '30d' },
      ],
    },
  ),
];
