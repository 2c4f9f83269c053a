/**
 * Heyi in a WeChat mini-program: sign-in and tracking. Copy this folder into the project as `heyi/`, and list Heyi's address
 * among the request domains (request 合法域名) of the mini-program.
 *
 *   const { createHeyi } = require('./heyi/heyi.js')
 *   const heyi = createHeyi({ issuer: 'https://id.example.com', clientId: 'my-miniprogram', writeKey: 'my-key' })
 *
 *   App({
 *     heyi,
 *     onLaunch(options) { heyi.launch(options) },
 *     onShow(options) { heyi.show(options) },
 *     onHide() { heyi.hide() }
 *   })
 *
 * Needs nothing but `wx`. Tokens live in the storage of the mini-program, which belongs to one WeChat user on one phone.
 */
const { createSession } = require('./session.js');
const { createSides } = require('./sides.js');
const { createTracker } = require('./tracker.js');
const { createHttp } = require('./http.js');
const { solveCaptcha } = require('./captcha.js');

function createHeyi({ issuer, clientId, writeKey, channel = 'miniprogram' }) {
  const base = issuer.replace(/\/$/, '');
  const http = createHttp();
  const session = createSession({ issuer: base, clientId, http });
  const tracker = createTracker({ issuer: base, writeKey, channel, http, session });

  /** What was done before joins the person: the anonymous id goes with the proof, and its events go first. */
  async function exchange(parameters) {
    await tracker.flush();
    return session.exchange(Object.assign({ anonymous_id: tracker.anonymousId() }, parameters));
  }

  return Object.assign(createSides({ issuer: base, session, http, clientId }), {
    /**
     * By WeChat. `phoneCode` is `event.detail.code` of a <button open-type="getPhoneNumber">; `consents` lists what the
     * person ticked, such as ['privacy@1']; `create: false` only recognises people who are known already. `linkTicket` and the four
     * digits that the person typed, `linkCode`, join the website's account that a link came from.
     * Resolves to { sub, phone_status?, link_status? }; rejects with an error that has `code` (and `reason`).
     */
    async signIn({ phoneCode, consents, create, linkTicket, linkCode } = {}) {
      const parameters = Object.assign(
        { subject_token_type: 'urn:heyi:token-type:wechat-login-code' },
        phoneCode && { phone_code: phoneCode },
        consents?.length && { consents: consents.join(' ') },
        create === false && { create: 'false' },
        linkTicket && linkCode && { link_ticket: linkTicket, link_code: linkCode },
      );
      const attempt = async () => exchange(Object.assign({ subject_token: await loginCode() }, parameters));
      try {
        return await attempt();
      } catch (error) {
        // The answer was lost, and with it perhaps the code: a new one, once.
        if (error.code !== 'network') throw error;
        return attempt();
      }
    },

    /**
     * Sends a one-time code. Resolves to { otp_id, resend_after, expires_in }, the same for known and unknown. When Heyi asks for
     * a captcha first, it is solved on the way: that takes a few seconds, and the person does nothing.
     */
    async sendCode({ channel: by = 'sms', to }) {
      const asked = { client_id: clientId, channel: by, to };
      try {
        return await http.postJson(`${base}/otp`, asked);
      } catch (error) {
        if (error.code !== 'captcha_required' || !error.captcha) throw error;
        const captcha = await solveCaptcha(error.captcha);
        return http.postJson(`${base}/otp`, Object.assign({ captcha }, asked));
      }
    },

    /** By the code that was sent; links this WeChat user in the same step unless `linkWechat` is false. */
    async signInByCode({ otpId, code, consents, linkWechat = true }) {
      const wechatCode = linkWechat ? await loginCode().catch(() => undefined) : undefined;
      return exchange(
        Object.assign(
          { subject_token_type: 'urn:heyi:token-type:one-time-code', subject_token: `${otpId}.${code}` },
          wechatCode && { wechat_code: wechatCode },
          consents?.length && { consents: consents.join(' ') },
        ),
      );
    },

    /** { sub } of who is signed in, or null. */
    person: session.person,
    onChange: session.onChange,
    /** wx.request with the person's token, renewed when it must be. Resolves to { statusCode, data }. */
    request: session.request,

    /** Ends the sign-in here and at Heyi; whoever signs in next starts with a new anonymous id. */
    async signOut() {
      await tracker.flush();
      await session.end();
      tracker.reset();
    },

    track: tracker.track,
    screen: tracker.screen,
    flush: tracker.flush,
    anonymousId: tracker.anonymousId,
    /** What the person agreed to be tracked for: { profiling: true, marketing: false }. Goes with every later event. */
    setConsent: tracker.setConsent,
    consent: tracker.consent,
    launch: tracker.launch,
    show: tracker.show,
    hide: tracker.hide,
  });
}

/** wx.login has no promise form. */
function loginCode() {
  return new Promise((resolve, reject) => {
    wx.login({
      success: ({ code }) => resolve(code),
      fail: ({ errMsg }) => reject(Object.assign(new Error(errMsg), { code: 'wechat_login_failed' })),
    });
  });
}

module.exports = { createHeyi };
