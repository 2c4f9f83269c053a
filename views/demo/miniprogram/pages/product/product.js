const app = getApp();

Page({
  data: { words: app.words, product: null, is_signed_in: false, is_buying: false },

  async onLoad({ id }) {
    wx.setNavigationBarTitle({ title: app.words.detail });
    const products = await app.products().catch(() => []);
    const product = products.find((one) => one.product_id === id);
    if (!product) {
      wx.showToast({ title: app.words.load_failed, icon: 'none' });
      return wx.navigateBack();
    }
    this.setData({ product });
    app.heyi.track('product_viewed', { product_id: id, name: product.name, price: product.price, currency: 'CNY' });
  },

  onShow() {
    this.setData({ is_signed_in: Boolean(app.heyi.person()) });
  },

  async buy() {
    if (!app.heyi.person()) return wx.navigateTo({ url: '/pages/login/login' });
    if (this.data.is_buying) return;
    this.setData({ is_buying: true });
    const { product } = this.data;
    // One number for one tap: a repeat after a lost answer is the same order.
    this.order_id = this.order_id || `M${Date.now()}`;
    try {
      await pay({ order_id: this.order_id, product });
      remember({ order_id: this.order_id, name: product.name, price_text: product.price_text });
      this.order_id = undefined;
      wx.showToast({ title: app.words.bought, icon: 'success' });
    } catch {
      wx.showToast({ title: app.words.buy_failed, icon: 'none' });
    }
    this.setData({ is_buying: false, is_signed_in: Boolean(app.heyi.person()) });
  },
});

/**
 * The demo has no shop's back end for the mini-program, so the payment is told by the person's own token; the demo's write key
 * is set to count that. In a real shop the server that was paid says so, as the website does.
 */
async function pay({ order_id, product: { product_id, price } }) {
  const { statusCode } = await app.heyi.request({
    url: `${app.config.issuer}/v1/track`,
    method: 'POST',
    header: { 'content-type': 'application/json' },
    data: {
      event: 'order_paid',
      messageId: `order-${order_id}`,
      timestamp: new Date().toISOString(),
      anonymousId: app.heyi.anonymousId(),
      context: {
        channel: 'miniprogram',
        consent: { categoryPreferences: Object.assign({ service: true }, app.heyi.consent()) },
      },
      properties: { order_id, product_id, price, total: price, currency: 'CNY', products: [{ product_id, price }] },
    },
  });
  if (statusCode !== 200) throw new Error(`HTTP ${statusCode}`);
}

function remember(order) {
  wx.setStorageSync('orders', [order].concat(wx.getStorageSync('orders') || []).slice(0, 20));
}
