/**
 * `wx` as one WeChat user's phone gives it to one mini-program. Behaviour, limits and words follow WeChat's documents: any HTTP
 * status is a success of wx.request, only listed domains are reached, wx.login has no promise form.
 */
const keyLimit = 1024 * 1024;
const totalLimit = 10 * 1024 * 1024;
/** In the background, network calls are cut after five seconds. */
const backgroundMs = 5000;

export function createWx({ phone, navigation }) {
  const inFlight = new Set();
  let cut = null;
  let isEnded = false;

  const wx = {
    login({ success, fail, complete } = {}) {
      phone
        .code('login-code')
        .then(({ code }) => isEnded || success?.({ code, errMsg: 'login:ok' }))
        .catch((error) => isEnded || fail?.({ errMsg: `login:fail ${error.message}`, errno: 600000 }))
        .finally(() => isEnded || complete?.({}));
    },
    request(options) {
      const task = send(options);
      return { abort: task.abort };
    },
    ...storage(phone, () => isEnded),
    ...interface_(navigation),
    ...device(phone),
    getExtConfigSync: () => structuredClone(phone.ext),
    getRandomValues({ length, success }) {
      const bytes = crypto.getRandomValues(new Uint8Array(length));
      queueMicrotask(() => success?.({ randomValues: bytes.buffer, errMsg: 'getRandomValues:ok' }));
    },
    getLaunchOptionsSync: () => ({ ...phone.launchOptions }),
    getEnterOptionsSync: () => ({ ...phone.enterOptions }),
    getAccountInfoSync: () => ({ miniProgram: { appId: phone.appid, envVersion: 'develop', version: '' } }),
  };

  function send({ url, method = 'GET', data, header = {}, timeout = 60000, success, fail, complete }) {
    const controller = new AbortController();
    let why = { errMsg: 'request:fail abort', errno: 600003 };
    const abort = (reason) => {
      if (reason) why = reason;
      controller.abort();
    };
    const refuse = (errMsg, errno) => {
      queueMicrotask(() => {
        fail?.({ errMsg, errno });
        complete?.({ errMsg, errno });
      });
      return { abort() {} };
    };
    if (isEnded) return { abort() {} };
    if (!URL.canParse(url)) return refuse('request:fail invalid url', 600009);
    if (!phone.domains.includes(new URL(url).origin)) return refuse('request:fail url not in domain list', 600002);
    if (phone.isStopped()) return refuse('request:fail interrupted', 600003);
    if (inFlight.size >= 10) return refuse('request:fail exceed max task count', 600007);
    const timer = setTimeout(() => abort({ errMsg: 'request:fail timeout', errno: 5 }), timeout);
    inFlight.add(abort);
    exchange({ url, method, data, header, signal: controller.signal })
      .then((result) => {
        if (isEnded) return;
        phone.sent({ url, data, header, statusCode: result.statusCode });
        success?.(result);
        complete?.(result);
      })
      .catch(() => {
        if (isEnded) return;
        const result = controller.signal.aborted ? why : { errMsg: 'request:fail', errno: 600000 };
        fail?.(result);
        complete?.(result);
      })
      .finally(() => {
        clearTimeout(timer);
        inFlight.delete(abort);
      });
    return { abort: () => abort() };
  }

  return {
    wx,
    hide() {
      cut = setTimeout(() => {
        for (const abort of inFlight) abort({ errMsg: 'request:fail interrupted', errno: 600003 });
      }, backgroundMs);
    },
    show: () => clearTimeout(cut),
    /** The process ends: nothing it asked for is answered any more. */
    end() {
      isEnded = true;
      clearTimeout(cut);
      for (const abort of inFlight) abort();
    },
  };
}

async function exchange({ url, method, data, header, signal }) {
  const target = new URL(url);
  const headers = { 'content-type': 'application/json' };
  for (const [name, value] of Object.entries(header)) headers[name.toLowerCase()] = value;
  const request = { method, headers, signal, credentials: 'omit', cache: 'no-store' };
  if (method === 'GET') {
    for (const [name, value] of Object.entries(data ?? {})) target.searchParams.append(name, value);
    // A GET has no body, so it needs no type, which would cost a preflight here.
    delete headers['content-type'];
  } else if (headers['content-type'].startsWith('application/x-www-form-urlencoded') && typeof data === 'object') {
    request.body = new URLSearchParams(data).toString();
  } else if (data !== undefined) request.body = typeof data === 'string' ? data : JSON.stringify(data);
  const answer = await fetch(target, request);
  return {
    statusCode: answer.status,
    header: Object.fromEntries(answer.headers),
    data: asData(await answer.text()),
    cookies: [],
    errMsg: 'request:ok',
  };
}

/** dataType json is the default: what cannot be parsed stays text. */
function asData(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** One user's storage for one mini-program, under a prefix in the browser's. What outlives its process must not write to the next one's. */
function storage(phone, isEnded) {
  const name = (key) => `${phone.storagePrefix}${key}`;
  const sizeOf = () =>
    Object.keys(localStorage)
      .filter((key) => key.startsWith(phone.storagePrefix))
      .reduce((sum, key) => sum + localStorage.getItem(key).length, 0);
  return {
    getStorageSync(key) {
      const text = localStorage.getItem(name(key));
      return text === null ? '' : JSON.parse(text);
    },
    setStorageSync(key, value) {
      if (isEnded()) return;
      const text = JSON.stringify(value);
      if (text.length > keyLimit || sizeOf() + text.length > totalLimit)
        throw new Error('setStorageSync:fail exceed storage max size');
      localStorage.setItem(name(key), text);
      phone.stored(key);
    },
    removeStorageSync(key) {
      if (isEnded()) return;
      localStorage.removeItem(name(key));
      phone.stored(key);
    },
    clearStorageSync() {
      if (isEnded()) return;
      phone.clearStorage();
      phone.stored('');
    },
  };
}

function interface_(navigation) {
  const done = (call, { success, complete } = {}) => {
    success?.({ errMsg: `${call}:ok` });
    complete?.({ errMsg: `${call}:ok` });
  };
  const calls = {};
  for (const call of [
    'navigateTo',
    'navigateBack',
    'redirectTo',
    'switchTab',
    'reLaunch',
    'setNavigationBarTitle',
    'setTabBarItem',
    'showToast',
    'hideToast',
    'showLoading',
    'hideLoading',
  ]) {
    calls[call] = (options = {}) => {
      navigation[call](options);
      done(call, options);
    };
  }
  calls.showModal = (options = {}) => {
    navigation
      .showModal(options)
      .then((confirm) => options.success?.({ confirm, cancel: !confirm, errMsg: 'showModal:ok' }));
  };
  return calls;
}

function device(phone) {
  const base = () => ({
    language: phone.language,
    version: '8.0.53',
    SDKVersion: '3.7.0',
    theme: matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light',
  });
  const hardware = () => ({ brand: 'demo', model: 'Demo Phone', platform: 'devtools', system: 'Demo 1.0' });
  const screen = () => ({ windowWidth: 375, windowHeight: 667, pixelRatio: 2, statusBarHeight: 20 });
  return {
    getAppBaseInfo: base,
    getDeviceInfo: hardware,
    getWindowInfo: screen,
    getSystemInfoSync: () => ({ ...base(), ...hardware(), ...screen() }),
  };
}
