/** Opened by WeChat when somebody scans the code on a computer's sign-in page: who asks, from where, yes or no. */
const app = getApp();

Page({
  data: { words: app.words, state: 'reading', asked: null, time: '', is_busy: false },

  onLoad({ scene }) {
    wx.setNavigationBarTitle({ title: app.words.scan });
    this.scene = scene;
  },

  /** Also when the person comes back from signing in. */
  onShow() {
    app.heyi.screen('pages/login/scan', { title: app.words.scan });
    if (this.data.state === 'reading' || this.data.state === 'signed_out') return this.read();
  },

  async read() {
    if (!app.heyi.person()) return this.setData({ state: 'signed_out' });
    this.setData({ state: 'reading' });
    try {
      const asked = await app.heyi.readSignIn(this.scene);
      this.setData({ state: asked.state, asked, time: timeOf(asked.asked_at) });
    } catch (error) {
      this.setData({ state: stateOf(error) });
    }
  },

  signIn() {
    wx.navigateTo({ url: '/pages/login/login' });
  },

  confirm() {
    return this.answer('confirm');
  },

  deny() {
    return this.answer('deny');
  },

  async answer(decision) {
    if (this.data.is_busy) return;
    this.setData({ is_busy: true });
    try {
      const { state } = await app.heyi.answerSignIn(this.scene, decision);
      this.setData({ state });
    } catch (error) {
      this.setData({ state: stateOf(error) });
    }
    this.setData({ is_busy: false });
  },

  leave() {
    wx.switchTab({ url: '/pages/index/index' });
  },
});

function stateOf({ code }) {
  if (code === 'signed_out') return 'signed_out';
  if (code === 'not_found') return 'gone';
  return code === 'conflict' ? 'taken' : 'failed';
}

function timeOf(text) {
  const at = new Date(text);
  const two = (number) => (number < 10 ? `0${number}` : String(number));
  return `${two(at.getHours())}:${two(at.getMinutes())}`;
}
