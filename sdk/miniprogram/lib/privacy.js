/**
 * Whether anything may be collected. Until the person has agreed there is no id and no event, neither kept nor sent. Under WeChat's
 * privacy authorisation WeChat says whether they have; where the program asks by itself, `agree` does.
 */
const key = 'heyi.privacy';
const consentKey = 'heyi.consent';
/** Should WeChat never answer. */
const mostWaiting = 200;

/** `asks`: 'wechat' or 'own'. */
function createPrivacy({ platform, asks }) {
  let word = platform.read(key);
  /** 'open', 'closed', or 'asking' for the moment that WeChat takes to answer. */
  let state = 'closed';
  let wasRefused = false;
  let waiting = [];
  let answer = Promise.resolve(false);
  const listeners = [];

  function become(isOpen) {
    state = isOpen ? 'open' : 'closed';
    const held = waiting;
    waiting = [];
    if (isOpen && wasRefused) for (const listener of listeners) listener();
    wasRefused = !isOpen;
    if (isOpen) for (const work of held) work();
  }

  /** Resolves to whether collecting is allowed now. */
  function ask() {
    if (state === 'open') return Promise.resolve(true);
    if (state === 'asking') return answer;
    if (word === 'withdrawn' || (asks === 'own' && word !== 'agreed')) {
      wasRefused = true;
      return Promise.resolve(false);
    }
    // Before WeChat had the authorisation (base library 2.32.3) it asked for none.
    if (asks === 'own' || !platform.has('getPrivacySetting')) {
      become(true);
      return Promise.resolve(true);
    }
    state = 'asking';
    answer = platform.call('getPrivacySetting').then(
      ({ needAuthorization }) => {
        const isOpen = !needAuthorization && word !== 'withdrawn';
        become(isOpen);
        return isOpen;
      },
      () => {
        become(false);
        return false;
      },
    );
    return answer;
  }

  return {
    ask,
    isOpen: () => state === 'open',
    /** Called when the person agrees after all, before the work that waited for it. */
    onOpen: (listener) => listeners.push(listener),
    /** Does the work now, or in the moment when WeChat has answered, or never. */
    when(work) {
      if (state === 'open') {
        work();
        return;
      }
      // The person may have agreed since.
      ask();
      if (state === 'open') work();
      else if (state === 'asking' && waiting.length < mostWaiting) waiting.push(work);
    },
    agree() {
      word = asks === 'own' ? 'agreed' : undefined;
      if (word) platform.write(key, word, true);
      else platform.remove(key);
      return ask();
    },
    withdraw() {
      word = 'withdrawn';
      platform.write(key, word, true);
      platform.remove(consentKey);
      become(false);
    },
    /** Purposes that the person agreed to beyond the service itself. They are stamped on every event. */
    consent: () => Object.assign({ profiling: false, marketing: false }, platform.read(consentKey)),
    setConsent(given) {
      platform.write(consentKey, Object.assign({}, platform.read(consentKey), given), true);
    },
    forgetConsent: () => platform.remove(consentKey),
  };
}

module.exports = { createPrivacy };
