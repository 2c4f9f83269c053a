const { heyi } = getApp();

Page(
  heyi.page({
    data: { id: '' },

    onLoad({ id }) {
      this.setData({ id });
      heyi.track('product_viewed', { product_id: id, price: 398, currency: 'CNY' });
    },

    async like() {
      // Browse first, sign in when it is wanted.
      if (!heyi.person()) await heyi.signIn();
      const { statusCode } = await heyi.request({
        url: 'https://api.example.com/likes',
        method: 'POST',
        data: { id: this.data.id },
      });
      wx.showToast({ title: statusCode === 200 ? '已收藏' : '请稍后再试', icon: 'none' });
    },

    onShareAppMessage() {
      return { title: '看看这个' };
    },
  }),
);
