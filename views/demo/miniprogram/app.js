/**
 * 「山屿」 as a mini-program. Everything here runs against `wx` alone: no window, no document, no fetch. ext.json says where
 * Heyi and the shop are; in the demo the phone fills it in.
 */
const { createHeyi } = require('./heyi/index.js');
const { words } = require('./utils/words.js');

const ext = wx.getExtConfigSync();
const config = {
  issuer: ext.issuer || 'http://localhost:3000',
  client_id: ext.client_id || 'demo-miniprogram',
  write_key: ext.write_key || 'demo-client-key',
  shop_url: ext.shop_url || 'http://localhost:3100',
  website_client_id: ext.website_client_id || 'demo-website',
};

App({
  config,
  heyi: createHeyi({ issuer: config.issuer, clientId: config.client_id, writeKey: config.write_key }),
  words: words(wx.getAppBaseInfo().language),

  onLaunch(options) {
    wx.setTabBarItem({ index: 0, text: this.words.shop });
    wx.setTabBarItem({ index: 1, text: this.words.me });
    this.heyi.launch(options);
    this.askToLink(options);
  },

  onShow(options) {
    this.heyi.show(options);
  },

  onHide() {
    this.heyi.hide();
  },

  /** The website's button "open in the mini-program" leads here: the person says with four digits that both are theirs. */
  askToLink(options) {
    const ticket = this.heyi.linkTicket(options);
    // The first page is put up only after this.
    if (ticket) setTimeout(() => wx.navigateTo({ url: `/pages/link/link?ticket=${ticket}` }), 0);
  },

  /** The shop's products, asked for once a launch. */
  products() {
    if (!this.loading) {
      this.loading = new Promise((resolve, reject) => {
        wx.request({
          url: `${config.shop_url}/miniprogram/products`,
          data: { lang: this.words.language },
          success: ({ statusCode, data }) =>
            statusCode === 200 ? resolve(data.products) : reject(new Error(`HTTP ${statusCode}`)),
          fail: ({ errMsg }) => reject(new Error(errMsg)),
        });
      });
      this.loading.catch(() => {
        this.loading = undefined;
      });
    }
    return this.loading;
  },
});
