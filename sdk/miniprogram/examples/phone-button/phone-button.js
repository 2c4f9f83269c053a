const sentences = {
  phone_denied: '没有授权手机号，也可以用短信验证码登录',
  phone_quota_spent: '暂时无法获取手机号，请用短信验证码登录',
  privacy_not_authorized: '同意隐私保护指引后才能获取手机号',
  network: '网络不太好，请再试一次',
};

Component({
  data: { busy: false, problem: '' },
  methods: {
    onAgree() {
      getApp().heyi.agree();
    },

    async onPhoneNumber(event) {
      this.setData({ busy: true, problem: '' });
      try {
        const person = await getApp().heyi.signInByPhoneButton(event, { consents: ['privacy@1'] });
        this.triggerEvent('signedin', person);
      } catch (error) {
        this.setData({ problem: sentences[error.code] || '登录没有成功，请稍后再试' });
      }
      this.setData({ busy: false });
    },
  },
});
