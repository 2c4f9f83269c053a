/**
 * A WeChat user's phone without a screen, to run any mini-program SDK in Node: `wx`, App, Page, getApp and getCurrentPages, over real
 * HTTP, in a world of its own that has nothing of Node or a browser. Its parts are in wx/. Words and limits follow WeChat's documents.
 *
 *   const phone = createPhone({ login: (kind, appid) => …a code… });
 *   const running = phone.launch({ app: ({ require, App, wx }) => { const sdk = require('/abs/sdk.js'); App({ … }) }, pages: { 'pages/index/index': ({ Page }) => Page({ … }) } });
 *   running.move('navigateTo', { url: '/pages/product/product?id=1' }); running.hide(); running.suspend(); running.show(); running.kill();
 */

import { createDevice, type Make, userAgentOf } from './wx/device.ts';
import { createLine, createNetwork, type RequestCall } from './wx/network.ts';
import { createPages, type LaunchOptions, queryOf } from './wx/pages.ts';
import { createPrivacy, type PrivacyState } from './wx/privacy.ts';
import { asyncCall, type Callbacks, createProcess, type Process, WxError } from './wx/process.ts';
import { createStorage } from './wx/storage.ts';

export type { LaunchOptions, PageInstance } from './wx/pages.ts';

type CodeKind = 'login-code' | 'phone-code';
export type PhoneSettings = {
  /** WeChat's servers: the code that wx.login or the phone-number button gives the holder. See `sandboxCodes`. */
  codes?: (kind: CodeKind, appid: string) => Promise<string>;
  appid?: string;
  version?: string;
  envVersion?: 'develop' | 'trial' | 'release';
  /** request 合法域名, as origins. Left out they are not checked, as in WeChat's tools with the box ticked. */
  domains?: string[];
  make?: Make;
  language?: 'zh_CN' | 'en';
  /** How long the background may use the network. Five seconds on a phone. */
  backgroundMs?: number;
  /** What wx.getExtConfigSync gives. */
  ext?: Record<string, unknown>;
  privacy?: Partial<PrivacyState>;
};

/** The names that the code of a mini-program finds; those of its own that it adds to `globalThis` are there too. */
// biome-ignore lint/suspicious/noExplicitAny: the code under test is JavaScript, and what it makes of these has no type here
export type Scope = Record<string, any> & { require(file: string): any };
export type Program = {
  /** app.js. `require` takes an absolute path or a package's name. */
  app: (scope: Scope) => void;
  /** Pages by route, the first being the home page. Run when they are first opened. */
  pages?: Record<string, (scope: Scope) => void>;
  tabs?: string[];
};

/** Codes of the sandbox's person. */
export function sandboxCodes(sandboxUrl: string, personId: string): NonNullable<PhoneSettings['codes']> {
  return async (kind, appid) => {
    const answer = await fetch(`${sandboxUrl}/people/${personId}/${kind}`, {
      method: 'POST',
      headers: { accept: 'application/json', 'content-type': 'application/json' },
      body: JSON.stringify({ appid }),
    });
    const body = (await answer.json()) as { code?: string };
    if (!body.code) throw new WxError(`系统错误,错误码:${answer.status}`);
    return body.code;
  };
}

export function createPhone(settings: PhoneSettings = {}) {
  const storage = new Map<string, string>();
  const line = createLine();
  const privacy: PrivacyState = {
    isRequired: false,
    hasAgreed: false,
    declared: undefined,
    answer: 'agree',
    ...settings.privacy,
  };
  const phone = {
    ...settings,
    appid: settings.appid ?? 'wxsandbox0000000001',
    codes: settings.codes ?? (async (kind: CodeKind) => `${kind}-${crypto.randomUUID()}`),
    /** What wx.request goes through: cut it, slow it, take its answers away, read what was sent. */
    line,
    /** Values as JSON, by key. */
    storage,
    stored: (key: string) => JSON.parse(storage.get(key) ?? 'null'),
    privacy,
    networkType: 'wifi',
    /** A cold start. What ran before must be killed or is still there, as two processes are not on a phone. */
    launch: (program: Program, options: Partial<LaunchOptions> = {}) => launch(phone, program, options),
  };
  return phone;
}
export type Phone = ReturnType<typeof createPhone>;
export type Running = ReturnType<typeof launch>;

const busOf = () => {
  const listeners = new Map<string, Set<(value: unknown) => void>>();
  const of = (name: string) => listeners.get(name) ?? listeners.set(name, new Set()).get(name) ?? new Set();
  return {
    /** on<Name> and off<Name>, as `wx` has them. */
    calls: (...names: string[]) =>
      Object.fromEntries(
        names.flatMap((name) => [
          [`on${name}`, (listener: (value: unknown) => void) => void of(name).add(listener)],
          [
            `off${name}`,
            (listener?: (value: unknown) => void) => (listener ? void of(name).delete(listener) : of(name).clear()),
          ],
        ]),
      ),
    emit: (process: Process, name: string, value: unknown) => {
      for (const listener of [...of(name)]) process.deliver(() => listener(value));
    },
  };
};

function launch(phone: Phone, program: Program, given: Partial<LaunchOptions>) {
  const { appid, version = '1.0.0', envVersion = 'release', make = 'android', language = 'zh_CN' } = phone;
  const process = createProcess();
  const scope = process.globals as Scope;
  const routes = Object.keys(program.pages ?? {});
  const pages = createPages(process, {
    loadPage: (route) => program.pages?.[route]?.(scope),
    tabs: program.tabs ?? [],
  });
  const network = createNetwork(process, phone.line, {
    appid,
    version: envVersion === 'release' ? version : '0',
    domains: phone.domains,
    userAgent: userAgentOf(make, language),
  });
  const privacy = createPrivacy(process, phone.privacy);
  const bus = busOf();
  const opened = (options: Partial<LaunchOptions>): LaunchOptions =>
    process.own({
      path: routes[0] ?? 'pages/index/index',
      query: {},
      scene: 1001,
      referrerInfo: {},
      apiCategory: 'default',
      ...options,
    });
  const launchOptions = opened(given);
  let enterOptions = launchOptions;
  let dozing: NodeJS.Timeout | undefined;
  process.atEnd(() => clearTimeout(dozing));

  const wx: Record<string, unknown> = {
    ...createDevice(process, { make, language, appid, version, envVersion }),
    ...createStorage(process, phone.storage),
    ...privacy.calls,
    ...pages.navigation,
    ...bus.calls('AppShow', 'AppHide', 'NetworkStatusChange', 'Error', 'UnhandledRejection', 'PageNotFound'),
    request: (options: RequestCall) => network.request(options),
    // Neither has a promise form.
    login: (options: Callbacks) =>
      asyncCall(process, 'login', options, async () => ({ code: await reach('login-code') }), { hasPromise: false }),
    checkSession: (options: Callbacks) => asyncCall(process, 'checkSession', options, () => ({})),
    getLaunchOptionsSync: () => process.own(launchOptions),
    getEnterOptionsSync: () => process.own(enterOptions),
    getExtConfigSync: () => process.own(phone.ext ?? {}),
    getNetworkType: (options?: Callbacks) =>
      asyncCall(process, 'getNetworkType', options, () => ({
        networkType: phone.line.isOffline ? 'none' : phone.networkType,
      })),
    setClipboardData: (options: Callbacks & { data: string }) =>
      asyncCall(process, 'setClipboardData', options, async () => {
        await privacy.gate('setClipboardData');
        return {};
      }),
    reportEvent() {},
    reportAnalytics() {},
    canIUse(schema: string) {
      const [name = '', ...rest] = schema.split('.');
      // Names of components and their attributes: what this base library draws it has.
      return name in wx || (rest.length > 0 && ['button', 'input', 'web-view'].includes(name));
    },
  };
  for (const name of ['showToast', 'hideToast', 'showLoading', 'hideLoading', 'setNavigationBarTitle', 'showShareMenu'])
    wx[name] = (options?: Callbacks) => asyncCall(process, name, options, () => ({}));
  Object.assign(scope, pages.globals, { wx, require: process.require });
  process.onError((error) => {
    const words = error instanceof Error || isError(error) ? `${error.message}\n${error.stack}` : String(error);
    pages.callApp('onError', words);
  });

  /** WeChat's servers are reached over the same line. */
  async function reach(kind: CodeKind): Promise<string> {
    if (phone.line.isOffline) throw new WxError('request fail', 600001);
    return phone.codes(kind, appid);
  }

  const urlOf = ({ path, query }: LaunchOptions) => {
    const search = Object.entries(query).map(([name, value]) => `${name}=${value}`);
    return search.length ? `${path}?${search.join('&')}` : path;
  };

  function suspend() {
    clearTimeout(dozing);
    process.suspend();
    network.cut();
  }

  program.app(scope);
  pages.callApp('onLaunch', launchOptions);
  pages.callApp('onShow', launchOptions);
  bus.emit(process, 'AppShow', launchOptions);
  if (routes.length && !routes.includes(launchOptions.path)) {
    const missing = process.own({ path: launchOptions.path, query: launchOptions.query, isEntryPage: true });
    pages.callApp('onPageNotFound', missing);
    bus.emit(process, 'PageNotFound', missing);
    pages.open(routes[0] ?? '');
  } else if (routes.length) pages.open(urlOf(launchOptions));

  return {
    scope,
    wx: wx as Scope,
    app: () => pages.app() as Scope,
    page: () => pages.top() as Scope | undefined,
    pages: pages.stack,
    network,
    /** What the program threw in a callback or a lifecycle function. */
    errors: process.errors,
    /** What it wrote to the console: [level, …values]. */
    logs: process.logs,
    /** The person goes somewhere: navigateTo, redirectTo, reLaunch, switchTab, navigateBack. */
    move: (name: string, options: { url?: string; delta?: number } = {}) => pages.move(name, { url: '', ...options }),
    /** The person leaves. After five seconds (`backgroundMs`) WeChat cuts the network and stops the program. */
    hide() {
      pages.call(pages.top(), 'onHide');
      pages.callApp('onHide');
      bus.emit(process, 'AppHide', process.own({ reason: 0 }));
      dozing = setTimeout(suspend, phone.backgroundMs ?? 5000);
    },
    /** The five seconds at once: what was under way fails as interrupted, and neither that nor a timer is told before the return. */
    suspend,
    /** The person comes back, by a new entrance when options are given. */
    show(options?: Partial<LaunchOptions>) {
      clearTimeout(dozing);
      network.restore();
      process.resume();
      enterOptions = options ? opened(options) : process.own({ ...enterOptions, scene: 1001 });
      pages.callApp('onShow', enterOptions);
      bus.emit(process, 'AppShow', enterOptions);
      if (options?.path) pages.open(urlOf(enterOptions));
      else pages.call(pages.top(), 'onShow');
    },
    /** The process ends where it is: no more callbacks, nothing written. The phone's storage stays. */
    kill: () => process.end(),
    networkChanges(isConnected: boolean, networkType = isConnected ? 'wifi' : 'none') {
      phone.line.isOffline = !isConnected;
      bus.emit(process, 'NetworkStatusChange', process.own({ isConnected, networkType }));
    },
    /** The person taps a <button open-type="getPhoneNumber">: `event.detail` for its handler. */
    async tapPhoneButton(
      answer: 'allow' | 'deny' = 'allow',
    ): Promise<{ code?: string; errMsg: string; errno?: number }> {
      try {
        await privacy.gate('getPhoneNumber');
        if (answer === 'deny') throw new WxError('user deny');
        return process.own({ errMsg: 'getPhoneNumber:ok', code: await reach('phone-code') });
      } catch (error) {
        const { message, errno } = error instanceof WxError ? error : new WxError(String(error));
        return process.own({ errMsg: `getPhoneNumber:fail ${message}`, ...(errno && { errno }) });
      }
    },
    /** The person taps a <button open-type="agreePrivacyAuthorization">. */
    agreeToPrivacy: () => privacy.agree(),
    /** The person forwards the page (`button` with what it was, or the menu) or puts it on Moments: what the page said to share. */
    share(from: 'button' | 'menu' = 'menu', target?: unknown) {
      return pages.call(
        pages.top(),
        'onShareAppMessage',
        process.own({ from, ...(target !== undefined && { target }) }),
      );
    },
    shareToMoments: () => pages.call(pages.top(), 'onShareTimeline', process.own({})),
    queryOf,
  };
}

const isError = (error: unknown): error is Error =>
  Boolean(error) && typeof error === 'object' && 'message' in (error ?? {}) && 'stack' in (error ?? {});
