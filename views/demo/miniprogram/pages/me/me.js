const app = getApp();

Page({
  data: { words: app.words, person: null, phone: '', privacy: false, orders: [], profiling: false, anonymous_id: '' },

  onLoad() {
    wx.setNavigationBarTitle({ title: app.words.me });
  },

  onShow() {
    app.heyi.screen('pages/me/me', { title: app.words.me });
    return this.refresh();
  },

  async refresh() {
    const person = app.heyi.person();
    this.setData({
      person,
      phone: '',
      orders: person ? wx.getStorageSync('orders') || [] : [],
      profiling: app.heyi.consent().profiling,
      anonymous_id: app.heyi.anonymousId(),
    });
    if (person) await this.ask();
  },

  async ask() {
    try {
      const { statusCode, data } = await app.heyi.request({ url: `${app.config.issuer}/userinfo` });
      if (statusCode === 200) this.setData({ phone: mask(data.phone_number) });
      if (statusCode === 401) throw Object.assign(new Error(), { code: 'signed_out' });
    } catch (error) {
      if (error.code !== 'signed_out') return;
      wx.showToast({ title: app.words.over, icon: 'none' });
      this.setData({ person: null });
    }
  },

  signIn() {
    wx.navigateTo({ url: '/pages/login/login' });
  },

  openWebsite() {
    wx.navigateTo({ url: '/pages/website/website' });
  },

  async linkPhone({ detail }) {
    if (!detail.code) return wx.showToast({ title: app.words.denied, icon: 'none' });
    try {
      const { phone_status } = await app.heyi.signIn({ phoneCode: detail.code });
      if (phone_status === 'conflict') wx.showModal({ content: app.words.conflict, showCancel: false });
      else wx.showToast({ title: phone_status === 'failed' ? app.words.phone_failed : app.words.linked, icon: 'none' });
    } catch {
      wx.showToast({ title: app.words.failed, icon: 'none' });
    }
    return this.refresh();
  },

  toggleProfiling() {
    app.heyi.setConsent({ profiling: !this.data.profiling });
    this.setData({ profiling: !this.data.profiling });
  },

  async signOut() {
    await app.heyi.signOut();
    wx.removeStorageSync('orders');
    wx.showToast({ title: app.words.signed_out, icon: 'none' });
    return this.refresh();
  },
});

function mask(phone) {
  return String(phone || '').replace(/^(\+86)?(\d{3})\d+(\d{4})$/, '$2****$3');
}
