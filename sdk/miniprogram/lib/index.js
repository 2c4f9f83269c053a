/**
 * Heyi in a WeChat mini-program: sign-in and tracking. README.md says how to set it up.
 *
 *   const { createHeyi } = require('@heyi/miniprogram')
 *   const heyi = createHeyi({ issuer: 'https://id.example.com', clientId: 'my-miniprogram', writeKey: 'my-key' })
 *   App(heyi.app({ heyi }))
 *
 * Needs nothing but `wx`. Tokens live in the storage of the mini-program, which belongs to one WeChat user on one phone.
 */
const { solveCaptcha } = require('./captcha.js');
const { createHttp } = require('./http.js');
const { createLifecycle } = require('./lifecycle.js');
const { createPlatform } = require('./platform.js');
const { createPrivacy } = require('./privacy.js');
const { createSession } = require('./session.js');
const { createSides } = require('./sides.js');
const { createTracker } = require('./tracker.js');
const { version } = require('./version.js');

const deviceKey = 'heyi.device';
/** A sign-in waits no longer than this for the events before it. */
const patienceMs = 1500;

function createHeyi(settings) {
  const {
    issuer,
    clientId,
    writeKey,
    channel = 'miniprogram',
    apis = [],
    query = [],
    privacy: asks = 'wechat',
    queueBytes = 1024 * 1024,
  } = settings;
  const base = issuer.replace(/\/$/, '');
  const platform = createPlatform(settings.platform);
  const http = createHttp(platform);
  const privacy = createPrivacy({ platform, asks });
  const session = createSession({ issuer: base, clientId, apis, http, platform });
  const tracker = createTracker({
    issuer: base,
    writeKey,
    channel,
    queueBytes,
    query,
    http,
    session,
    platform,
    privacy,
  });
  const lifecycle = createLifecycle({ platform, tracker, session });
  privacy.ask();

  /** What was done before joins the person: the anonymous id goes with the proof, and its events go first where they can. */
  async function exchange(parameters, { consents = [], create, disown }) {
    await within(tracker.flush(), patienceMs);
    const anonymousId = tracker.anonymousId();
    const person = await session.exchange(
      Object.assign(
        { device_id: await deviceId() },
        parameters,
        anonymousId && { anonymous_id: anonymousId },
        consents.length && { consents: consents.join(' ') },
        create === false && { create: 'false' },
        disown && { disown: 'true' },
      ),
    );
    const purposes = consents.map((consent) => consent.split('@')[0]);
    if (asks === 'own' && purposes.indexOf('privacy') >= 0) privacy.agree();
    for (const purpose of purposes) if (purpose !== 'privacy') privacy.setConsent({ [purpose]: true });
    return person;
  }

  /** Made at the first sign-in, and kept: a number that was quiet for long is known again on the person's own phone. */
  async function deviceId() {
    const known = platform.read(deviceKey);
    if (known) return known;
    const made = await platform.secret('mp-');
    platform.write(deviceKey, made);
    return made;
  }

  /** wx.login has no promise form. */
  function loginCode() {
    return platform.call('login', {}).then(
      ({ code }) => code,
      ({ errMsg }) => {
        throw Object.assign(new Error(errMsg), { code: 'wechat_login_failed' });
      },
    );
  }

  async function signIn(options = {}) {
    const { phoneCode, linkTicket, linkCode } = options;
    const parameters = Object.assign(
      { subject_token_type: 'urn:heyi:token-type:wechat-login-code' },
      phoneCode && { phone_code: phoneCode },
      linkTicket && linkCode && { link_ticket: linkTicket, link_code: linkCode },
    );
    const attempt = async () => exchange(Object.assign({ subject_token: await loginCode() }, parameters), options);
    try {
      return await attempt();
    } catch (error) {
      // The answer was lost, and with it perhaps the code: a new one, once.
      if (error.code !== 'network') throw error;
      return attempt();
    }
  }

  /** `event` is what bindgetphonenumber is called with. */
  async function signInByPhoneButton(event, options = {}) {
    const { code, errMsg = '', errno } = (event && event.detail) || {};
    if (code) return signIn(Object.assign({}, options, { phoneCode: code }));
    throw Object.assign(new Error(errMsg), { code: refusalOf(errMsg, errno), errno });
  }

  async function sendCode({ channel: by = 'sms', to }) {
    const asked = { client_id: clientId, channel: by, to };
    try {
      return await http.postJson(`${base}/otp`, asked);
    } catch (error) {
      if (error.code !== 'captcha_required' || !error.captcha) throw error;
      const captcha = await solveCaptcha(error.captcha);
      return http.postJson(`${base}/otp`, Object.assign({ captcha }, asked));
    }
  }

  async function signInByCode(options) {
    const { otpId, code, linkWechat = true } = options;
    const wechatCode = linkWechat ? await loginCode().catch(() => undefined) : undefined;
    const proof = { subject_token_type: 'urn:heyi:token-type:one-time-code', subject_token: `${otpId}.${code}` };
    return exchange(Object.assign(proof, wechatCode && { wechat_code: wechatCode }), options);
  }

  async function signOut() {
    await within(tracker.flush(), patienceMs);
    const ended = session.end();
    tracker.reset();
    privacy.forgetConsent();
    await ended;
  }

  function withdraw() {
    privacy.withdraw();
    tracker.forget();
  }

  /** WeChat's own question, where it has not been answered yet. */
  function askPrivacy() {
    return platform.call('requirePrivacyAuthorize', {}).then(privacy.agree, (refusal) => {
      if (!platform.has('requirePrivacyAuthorize')) return privacy.agree();
      if (refusal && refusal.errno !== undefined && refusal.errno !== 104) console.warn(`heyi: ${refusal.errMsg}`);
      return false;
    });
  }

  return Object.assign(createSides({ issuer: base, session, http, clientId }), {
    signIn,
    signInByPhoneButton,
    sendCode,
    signInByCode,
    signOut,
    person: session.person,
    onChange: session.onChange,
    request: session.request,

    track: tracker.track,
    screen: tracker.screen,
    flush: tracker.flush,
    anonymousId: tracker.anonymousId,

    askPrivacy,
    agree: privacy.agree,
    withdraw,
    setConsent: privacy.setConsent,
    consent: privacy.consent,

    app: lifecycle.app,
    page: lifecycle.page,
    shareMessage: lifecycle.shareMessage,
    shareTimeline: lifecycle.shareTimeline,
    launch: lifecycle.launch,
    show: tracker.show,
    hide: tracker.hide,
  });
}

/** Why the phone-number button gave no code. */
function refusalOf(errMsg, errno) {
  if (errno === 1400001) return 'phone_quota_spent';
  if (errno === 104 || errno === 112 || /privacy/.test(errMsg)) return 'privacy_not_authorized';
  return /deny|cancel/.test(errMsg) ? 'phone_denied' : 'phone_unavailable';
}

/** Resolves when the work is done or the time is over. */
function within(work, ms) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    work.then(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

module.exports = { createHeyi, version };
