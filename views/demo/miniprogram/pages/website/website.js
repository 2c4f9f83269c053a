/** The website in a web view, signed in as whoever is signed in here: the address works once, so it is asked for now. */
const app = getApp();

Page({
  data: { words: app.words, url: '', is_failed: false },

  async onLoad() {
    wx.setNavigationBarTitle({ title: app.words.website });
    const { shop_url, website_client_id: clientId } = app.config;
    try {
      const url = await app.heyi.websiteUrl({ clientId, url: `${shop_url}/sign-in?return=/account` });
      this.setData({ url });
    } catch {
      this.setData({ is_failed: true });
    }
  },

  onShow() {
    app.heyi.screen('pages/website/website', { title: app.words.website });
  },
});
