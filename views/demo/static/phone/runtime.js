/**
 * Runs the packed mini-program: modules, App and Page with their lifecycles, the page stack, bars, toasts and sheets. A cold
 * start runs every module afresh; nothing outlives it but storage.
 */
import { createWx } from './wx.js';
import { compileTemplate, lay } from './wxml.js';

const definitions = new Map();
globalThis.wxDefine = (name, factory) => definitions.set(name, factory);

/** `screen` holds the phone's elements by name; `phone` is what wx.js asks of it; `ask` shows WeChat's own sheets. */
export function createMiniProgram({ screen, phone, manifest, ask }) {
  const templates = new Map(manifest.pages.map((page) => [page.route, compileTemplate(page.template)]));
  const windows = new Map(manifest.pages.map((page) => [page.route, page.window]));
  const tabs = manifest.app.tabBar.list.map((tab) => tab.pagePath);
  let app;
  let stack = [];
  const kept = new Map();
  const registered = new Map();
  let loading;

  const navigation = {
    navigateTo: ({ url }) => push(url),
    redirectTo: ({ url }) => {
      pop();
      push(url);
    },
    reLaunch: ({ url }) => {
      for (const page of [...stack.splice(0), ...kept.values()]) unload(page);
      kept.clear();
      open(url);
    },
    navigateBack: ({ delta = 1 } = {}) => {
      for (let i = 0; i < delta && stack.length > 1; i++) pop();
      stack.at(-1).shown();
    },
    switchTab: ({ url }) => open(url),
    setNavigationBarTitle: ({ title }) => {
      const page = loading ?? stack.at(-1);
      page.title = title;
      bars();
    },
    setTabBarItem: ({ index, text }) => screen.nameTab(index, text),
    showToast: ({ title, icon = 'success', duration = 1800 }) => screen.toast(title, icon, duration),
    hideToast: () => screen.toast(''),
    showLoading: ({ title }) => screen.toast(title, 'loading', 30000),
    hideLoading: () => screen.toast(''),
    showModal: (options) => ask.modal(options),
  };
  const engine = createWx({ phone, navigation });
  const timers = createTimers();
  const modules = new Map();

  function require_(from, path) {
    const name = path.startsWith('.') ? new URL(path, `http://x/${from}`).pathname.slice(1) : path;
    return load(name.endsWith('.js') ? name : `${name}.js`);
  }

  function load(name) {
    if (modules.has(name)) return modules.get(name).exports;
    const factory = definitions.get(name);
    if (!factory) throw new Error(`module '${name}' is not defined`);
    const module = { exports: {} };
    modules.set(name, module);
    const App = (options) => {
      app = options;
    };
    const Page = (options) => registered.set(name.replace(/\.js$/, ''), options);
    factory(
      (path) => require_(name, path),
      module,
      module.exports,
      engine.wx,
      App,
      Page,
      () => app,
      () => stack.map((page) => page.self),
      timers.setTimeout,
      timers.setInterval,
    );
    return module.exports;
  }

  function createPage(url) {
    const [path, search = ''] = url.replace(/^\//, '').split('?');
    if (!registered.has(path)) load(`${path}.js`);
    const options = registered.get(path);
    const element = document.createElement('div');
    element.className = 'wx-page';
    element.dataset.route = path;
    const self = { ...options, route: path, data: structuredClone(options.data ?? {}) };
    const page = { self, path, element, title: windows.get(path).navigationBarTitleText };
    const draw = () => lay(element, templates.get(path)(self.data));
    self.setData = (changes, done) => {
      for (const [key, value] of Object.entries(changes)) assign(self.data, key, value);
      if (!page.isGone) draw();
      done?.();
    };
    page.shown = () => {
      for (const other of screen.pages.children) other.hidden = other !== element;
      bars();
      call(self, 'onShow');
    };
    listen(page);
    draw();
    screen.pages.append(element);
    // setNavigationBarTitle inside onLoad speaks of this page, which is not on the stack yet.
    loading = page;
    call(self, 'onLoad', Object.fromEntries(new URLSearchParams(search)));
    loading = undefined;
    return page;
  }

  function push(url) {
    const before = stack.at(-1);
    if (before) call(before.self, 'onHide');
    const page = createPage(url);
    stack.push(page);
    page.shown();
    call(page.self, 'onReady');
  }

  function pop() {
    const page = stack.pop();
    if (page) unload(page);
  }

  function unload(page) {
    call(page.self, 'onUnload');
    page.isGone = true;
    page.element.remove();
  }

  /** A tab stays alive beside the others; pages above it end. */
  function open(url) {
    const path = url.replace(/^\//, '').split('?')[0];
    if (stack.length === 1 && stack[0].path === path) return;
    for (const page of stack.splice(0).reverse()) {
      if (tabs.includes(page.path)) {
        call(page.self, 'onHide');
        kept.set(page.path, page);
      } else unload(page);
    }
    const page = kept.get(path) ?? createPage(url);
    stack = [page];
    page.shown();
  }

  function bars() {
    const page = stack.at(-1);
    if (!page) return;
    screen.bars({
      title: page.title,
      isDeep: stack.length > 1,
      tab: stack.length === 1 ? tabs.indexOf(page.path) : -1,
    });
  }

  function call(self, name, ...values) {
    try {
      const result = self[name]?.(...values);
      if (result instanceof Promise) result.catch(report);
    } catch (error) {
      report(error);
    }
  }

  function report(error) {
    console.error(error);
    app?.onError?.(String(error?.stack ?? error));
  }

  /** Taps and typing, up from the element that was touched to the page. */
  function listen(page) {
    const { element } = page;
    const emit = (type, target, detail) => {
      for (let at = target; at && at !== element.parentNode; at = at.parentNode) {
        const handler = at.wxHandlers?.[type];
        if (!handler) continue;
        const event = {
          type,
          detail,
          target: { dataset: target.wxDataset ?? {} },
          currentTarget: { dataset: at.wxDataset ?? {} },
        };
        call(page.self, handler.method, event);
        if (handler.stops) return;
      }
    };
    element.addEventListener('click', async (event) => {
      const target = event.target;
      const button = target.closest('button');
      if (button?.getAttribute('open-type') === 'getPhoneNumber') {
        const detail = await ask.phoneNumber();
        if (!page.isGone) emit('getphonenumber', button, detail);
        return;
      }
      emit('tap', target, {});
    });
    element.addEventListener('input', ({ target }) => emit('input', target, { value: target.value }));
    element.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter') return;
      if (event.target.tagName === 'INPUT') emit('confirm', event.target, { value: event.target.value });
      else if (event.target.wxHandlers?.tap && event.target.tagName !== 'BUTTON') emit('tap', event.target, {});
    });
  }

  return {
    launch(options) {
      load('app.js');
      call(app, 'onLaunch', options);
      call(app, 'onShow', options);
      if (templates.has(options.path)) return open(`${options.path}?${new URLSearchParams(options.query)}`);
      call(app, 'onPageNotFound', options);
      open(manifest.pages[0].route);
    },
    show(options) {
      engine.show();
      call(app, 'onShow', options);
      stack.at(-1)?.shown();
    },
    hide() {
      const page = stack.at(-1);
      if (page) call(page.self, 'onHide');
      call(app, 'onHide');
      engine.hide();
    },
    /** As when WeChat destroys it: no more lifecycle calls. */
    end() {
      engine.end();
      timers.end();
      for (const page of [...stack, ...kept.values()]) {
        page.isGone = true;
        page.element.remove();
      }
    },
    back: () => navigation.navigateBack(),
    tab: (index) => open(tabs[index]),
  };
}

/** The process's own timers: they end with it. */
function createTimers() {
  const running = new Set();
  const keep =
    (start) =>
    (work, ms, ...values) => {
      const id = start(work, ms, ...values);
      running.add(id);
      return id;
    };
  return {
    setTimeout: keep((work, ms, ...values) => setTimeout(work, ms, ...values)),
    setInterval: keep((work, ms, ...values) => setInterval(work, ms, ...values)),
    end() {
      for (const id of running) clearTimeout(id);
    },
  };
}

/** `setData` takes paths ('list[0].name') and passes values between two worlds: a copy, as JSON would make it. */
function assign(data, path, value) {
  const keys = path.replace(/\[(\d+)\]/g, '.$1').split('.');
  if (keys.some((key) => key === '__proto__' || key === 'constructor')) return;
  const last = keys.pop();
  let at = data;
  for (const key of keys) {
    at[key] ??= {};
    at = at[key];
  }
  at[last] = value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}
