const app = getApp();

Page({
  data: {
    words: app.words,
    way: 'phone_button',
    privacy: false,
    profiling: app.heyi.consent().profiling,
    phone: '',
    code: '',
    otp_id: '',
    wait: 0,
    is_busy: false,
  },

  onLoad() {
    wx.setNavigationBarTitle({ title: app.words.sign_in });
  },

  onShow() {
    app.heyi.screen('pages/login/login', { title: app.words.sign_in });
  },

  onUnload() {
    clearInterval(this.ticking);
  },

  togglePrivacy() {
    this.setData({ privacy: !this.data.privacy });
  },

  toggleProfiling() {
    this.setData({ profiling: !this.data.profiling });
  },

  useSms() {
    this.setData({ way: 'sms' });
  },

  usePhoneButton() {
    this.setData({ way: 'phone_button' });
  },

  /** The phone-number button stands here only once the policy is agreed to: nothing can stop it after the tap. */
  privacyFirst() {
    wx.showToast({ title: app.words.privacy_first, icon: 'none' });
  },

  byPhoneNumber({ detail }) {
    if (!detail.code) {
      wx.showToast({ title: app.words.denied, icon: 'none' });
      return;
    }
    return this.finish((consents) => app.heyi.signIn({ phoneCode: detail.code, consents }));
  },

  byWechatOnly() {
    if (!this.data.privacy) return this.privacyFirst();
    return this.finish((consents) => app.heyi.signIn({ consents }));
  },

  typePhone({ detail }) {
    this.setData({ phone: detail.value });
  },

  typeCode({ detail }) {
    this.setData({ code: detail.value });
  },

  async sendCode() {
    if (this.data.wait) return;
    try {
      const to = this.data.phone.trim();
      const { otp_id, resend_after } = await app.heyi.sendCode({ to: to.indexOf('+') === 0 ? to : `+86${to}` });
      this.setData({ otp_id, wait: resend_after });
      this.tick();
      wx.showToast({ title: app.words.code_sent, icon: 'none' });
    } catch (error) {
      const sentence = error.status === 429 ? 'too_soon' : error.status === 400 ? 'phone_wrong' : 'busy';
      wx.showToast({ title: app.words[sentence], icon: 'none' });
    }
  },

  tick() {
    clearInterval(this.ticking);
    this.ticking = setInterval(() => {
      this.setData({ wait: Math.max(0, this.data.wait - 1) });
      if (!this.data.wait) clearInterval(this.ticking);
    }, 1000);
  },

  byCode() {
    if (!this.data.privacy) return this.privacyFirst();
    const { otp_id, code } = this.data;
    if (!otp_id || !code) return wx.showToast({ title: app.words.code_wrong, icon: 'none' });
    return this.finish((consents) => app.heyi.signInByCode({ otpId: otp_id, code: code.trim(), consents }));
  },

  async finish(signIn) {
    if (this.data.is_busy) return;
    this.setData({ is_busy: true });
    const { profiling } = this.data;
    app.heyi.setConsent({ profiling });
    try {
      const { phone_status } = await signIn(profiling ? ['privacy@1', 'profiling@1'] : ['privacy@1']);
      wx.navigateBack();
      if (phone_status === 'conflict') wx.showModal({ content: app.words.conflict, showCancel: false });
      else if (phone_status === 'failed') wx.showToast({ title: app.words.phone_failed, icon: 'none' });
      else wx.showToast({ title: app.words.welcome, icon: 'success' });
    } catch (error) {
      wx.showToast({ title: app.words[sentenceOf(error, this.data.way)], icon: 'none' });
    }
    this.setData({ is_busy: false });
  },

  cancel() {
    wx.navigateBack();
  },
});

function sentenceOf({ code, status }, way) {
  if (code === 'network' || status >= 500 || status === 429) return 'busy';
  return code === 'invalid_grant' && way === 'sms' ? 'code_wrong' : 'failed';
}
