/** Opened by a link of the website: which site, and the four digits that stand there. Without them nothing is joined. */
const app = getApp();

Page({
  data: { words: app.words, state: 'reading', client: '', code: '', privacy: false, is_busy: false },

  async onLoad({ ticket }) {
    wx.setNavigationBarTitle({ title: app.words.link_title });
    this.ticket = ticket;
    try {
      const { client } = await app.heyi.readLink(ticket);
      this.setData({ state: 'asking', client });
    } catch (error) {
      this.setData({ state: error.code === 'not_found' ? 'gone' : 'failed' });
    }
  },

  onShow() {
    app.heyi.screen('pages/link/link', { title: app.words.link_title });
  },

  togglePrivacy() {
    this.setData({ privacy: !this.data.privacy });
  },

  typeCode({ detail }) {
    this.setData({ code: detail.value });
  },

  async join() {
    const { code, privacy, is_busy } = this.data;
    if (!privacy) return wx.showToast({ title: app.words.privacy_first, icon: 'none' });
    if (!/^[0-9]{4}$/.test(code.trim())) return wx.showToast({ title: app.words.link_code_wrong, icon: 'none' });
    if (is_busy) return;
    this.setData({ is_busy: true });
    try {
      const { link_status } = await app.heyi.signIn({
        linkTicket: this.ticket,
        linkCode: code.trim(),
        consents: ['privacy@1'],
      });
      this.setData({ state: link_status === 'failed' ? 'asking' : link_status || 'unchanged', code: '' });
      if (link_status === 'failed') wx.showToast({ title: app.words.link_code_wrong, icon: 'none' });
    } catch {
      wx.showToast({ title: app.words.busy, icon: 'none' });
    }
    this.setData({ is_busy: false });
  },

  leave() {
    wx.switchTab({ url: '/pages/me/me' });
  },
});
