/**
 * The built-in names. Aliases are the names that other trackers use for the same thing; case, spaces and hyphens make no
 * difference (`Product Viewed` is `product_viewed` without being listed).
 */
import type { Properties, PropertyType } from './property-types.ts';

export type BuiltinDefinition = {
  name: string;
  title: Record<string, string>;
  properties: Properties;
  aliases: string[];
};

/** Channels are an open list; these are built in. */
export const builtinChannels = ['website', 'miniprogram', 'official_account', 'app', 'store', 'wecom', 'server'];

type Types = Record<string, PropertyType>;

const product: Types = {
  product_id: 'string',
  sku: 'string',
  name: 'string',
  category: 'string',
  brand: 'string',
  price: 'money',
  quantity: 'number',
  currency: 'string',
};
/** What stands in a list of products is what an event about one of them says. */
const products: Types = {
  products: 'list',
  ...Object.fromEntries(Object.entries(product).map(([name, type]) => [`products[].${name}`, type])),
};
const order: Types = {
  order_id: 'string',
  total: 'money',
  currency: 'string',
  coupon: 'string',
  ...products,
};
const screen: Types = { name: 'string', path: 'string', title: 'string', scene: 'string' };

function define(name: string, zh: string, en: string, types: Types = {}, aliases: string[] = []): BuiltinDefinition {
  const properties = Object.fromEntries(Object.entries(types).map(([property, type]) => [property, { type }]));
  return { name, title: { 'zh-CN': zh, en }, properties, aliases };
}

export const builtin: BuiltinDefinition[] = [
  define(
    'page_viewed',
    '浏览网页',
    'Page viewed',
    { name: 'string', path: 'string', url: 'string', title: 'string', referrer: 'string' },
    ['$pageview', 'page_view', 'Loaded a Page', 'Viewed Page', 'Page'],
  ),
  define('screen_viewed', '浏览小程序页面', 'Screen viewed', screen, [
    '$MPViewScreen',
    '$AppViewScreen',
    '$screen',
    'screen_view',
    'Viewed Screen',
  ]),
  define('app_opened', '打开小程序或应用', 'App opened', { scene: 'string', path: 'string' }, [
    '$MPLaunch',
    '$AppStart',
    'Application Opened',
  ]),
  // Comes with every app_opened too, and with every return.
  define('app_shown', '小程序或应用切到前台', 'App shown', { scene: 'string', path: 'string' }, [
    '$MPShow',
    'Application Foregrounded',
  ]),
  define('app_closed', '离开小程序或应用', 'App closed', { duration: 'number' }, [
    '$MPHide',
    'APP_CLOSED',
    '$AppEnd',
    'Application Backgrounded',
  ]),
  define('session_started', '开始访问', 'Session started', { path: 'string', referrer: 'string' }, ['session_start']),
  define('signed_in', '登录', 'Signed in', { method: 'string' }, ['login', '$SignUp', 'Signed In']),
  define('signed_up', '注册', 'Signed up', { method: 'string' }, ['sign_up', 'Signed Up', 'Account Created']),
  define('searched', '搜索', 'Searched', { query: 'string', results: 'number' }, ['search', 'Products Searched']),
  define('clicked', '点击', 'Clicked', { name: 'string', target: 'string' }, [
    '$WebClick',
    '$MPClick',
    '$AppClick',
    '$autocapture',
    'VIEW_CLICK',
  ]),
  define('input_changed', '修改输入', 'Input changed', { target: 'string' }, ['VIEW_CHANGE']),
  define('shared', '分享', 'Shared', { method: 'string', path: 'string' }, [
    'share',
    '$MPShare',
    '$mp_on_share',
    '$mp_share_timeline',
    'Product Shared',
    'Cart Shared',
  ]),
  define('favorited', '收藏', 'Favourited', product, [
    '$MPAddFavorites',
    '$mp_add_favorites',
    'add_to_wishlist',
    'Product Added to Wishlist',
  ]),

  define('product_list_viewed', '浏览商品列表', 'Product list viewed', { category: 'string', ...products }, [
    'view_item_list',
    'Product List Viewed',
  ]),
  define('product_clicked', '点击商品', 'Product clicked', product, ['select_item']),
  define('product_viewed', '浏览商品', 'Product viewed', product, ['view_item', 'Viewed Product', 'Product Viewed']),
  define('article_viewed', '阅读文章', 'Article viewed', { article_id: 'string', title: 'string', category: 'string' }),
  define('cart_added', '加入购物车', 'Added to cart', product, ['add_to_cart', 'Product Added', 'Added Product']),
  define('cart_removed', '移出购物车', 'Removed from cart', product, ['remove_from_cart', 'Product Removed']),
  define('cart_viewed', '查看购物车', 'Cart viewed', products, ['view_cart']),
  define('checkout_started', '开始结算', 'Checkout started', order, ['begin_checkout']),

  define('order_placed', '下单', 'Order placed', order, ['Order Submitted', 'Order Created']),
  define('order_paid', '订单支付', 'Order paid', order, ['Order Completed', 'Completed Order', 'purchase', 'PayOrder']),
  define('order_shipped', '订单发货', 'Order shipped', order, ['Order Fulfilled']),
  define('order_received', '确认收货', 'Order received', order),
  define('order_cancelled', '取消订单', 'Order cancelled', order, ['Order Canceled']),
  define('order_refunded', '订单退款', 'Order refunded', { ...order, reason: 'string' }, ['refund']),
  define('payment_failed', '支付失败', 'Payment failed', { order_id: 'string', reason: 'string' }),
  define('points_earned', '获得积分', 'Points earned', { points: 'number', reason: 'string' }),
  define('points_spent', '使用积分', 'Points spent', { points: 'number', reason: 'string' }),
  define('coupon_issued', '发放优惠券', 'Coupon issued', { coupon_id: 'string', value: 'money' }),
  define('coupon_redeemed', '核销优惠券', 'Coupon redeemed', { coupon_id: 'string', order_id: 'string' }, [
    'Coupon Applied',
  ]),

  define('form_submitted', '提交表单', 'Form submitted', { form_id: 'string', name: 'string' }, [
    'form_submit',
    'generate_lead',
    'FORM_SUBMIT',
  ]),
  define('file_downloaded', '下载文件', 'File downloaded', { name: 'string', url: 'string' }, ['file_download']),
  define('video_played', '播放视频', 'Video played', { video_id: 'string', duration: 'number' }, [
    'video_start',
    'Video Playback Started',
  ]),
  define('appointment_booked', '预约', 'Appointment booked', {
    appointment_id: 'string',
    store_id: 'string',
    at: 'time',
  }),
  define('appointment_cancelled', '取消预约', 'Appointment cancelled', { appointment_id: 'string' }),
  define('store_visited', '到店', 'Store visited', { store_id: 'string' }),
  define('identified', '更新资料', 'Identified', {}, ['identify', '$identify', '$set']),
  define('grouped', '加入组织', 'Grouped', { group_id: 'string' }, ['group', '$groupidentify']),
  define('aliased', '关联标识', 'Aliased', { previous_id: 'string' }, ['alias', '$create_alias']),
];
