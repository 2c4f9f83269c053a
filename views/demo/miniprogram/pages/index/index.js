const app = getApp();

Page({
  data: { words: app.words, products: [], state: 'loading', is_signed_in: false },

  onLoad() {
    wx.setNavigationBarTitle({ title: app.words.title });
    this.load();
  },

  onShow() {
    app.heyi.screen('pages/index/index', { title: app.words.title });
    this.setData({ is_signed_in: Boolean(app.heyi.person()) });
  },

  async load() {
    this.setData({ state: 'loading' });
    try {
      this.setData({ products: await app.products(), state: 'ready' });
    } catch {
      this.setData({ state: 'failed' });
    }
  },

  open(event) {
    wx.navigateTo({ url: `/pages/product/product?id=${event.currentTarget.dataset.id}` });
  },
});
