/** App, Page, Component and the page stack with their lifecycles. */
import { asyncCall, type Callbacks, type Process, WxError } from './process.ts';

export type LaunchOptions = {
  path: string;
  query: Record<string, string>;
  scene: number;
  shareTicket?: string;
  referrerInfo: { appId?: string; extraData?: Record<string, unknown> };
  apiCategory: 'default' | 'nativeFunctionalized' | 'browseOnly' | 'embedded';
};
type Options = Record<string, unknown>;
/** A page as its code sees it: `this`. */
export type PageInstance = Options & {
  route: string;
  options: Record<string, string>;
  data: Record<string, unknown>;
  setData(changes: Record<string, unknown>, done?: () => void): void;
};
const deepest = 10;

type Settings = {
  /** Runs the script of a page, whose Page() or Component() registers it. */
  loadPage(route: string): void;
  tabs: string[];
};

export function createPages(process: Process, { loadPage, tabs }: Settings) {
  let app: Options | undefined;
  let loading: string | undefined;
  const registered = new Map<string, Options>();
  let stack: PageInstance[] = [];
  const keptTabs = new Map<string, PageInstance>();

  /** What a lifecycle function returns; its fault does not stop the phone. */
  function call(self: Options | undefined, name: string, ...values: unknown[]): unknown {
    let result: unknown;
    process.deliver(() => {
      const method = self?.[name];
      if (typeof method === 'function') result = method.apply(self, values);
    });
    return result;
  }

  function register(options: Options): void {
    if (!loading) throw new Error('Page() or Component() outside of a page of the program');
    registered.set(loading, options);
  }

  /** A page may be written with Component(): its methods are the page's. */
  function asPage(options: Options): Options {
    const methods = options.methods;
    if (!methods || typeof methods !== 'object') return options;
    const { created, attached, ready, detached } = { ...options, ...(options.lifetimes as Options) } as Options;
    return { data: options.data, created, attached, ready, detached, ...methods };
  }

  function create(url: string): PageInstance {
    const [path = '', search = ''] = url.replace(/^\//, '').split('?');
    if (!registered.has(path)) {
      loading = path;
      loadPage(path);
      loading = undefined;
    }
    const options = registered.get(path);
    if (!options) throw new WxError(`page "${path}" is not found`);
    const query = process.own(queryOf(search));
    const { data, ...methods } = asPage(options);
    const page: PageInstance = Object.assign(process.own({}), methods, {
      route: path,
      __route__: path,
      options: query,
      data: process.own(data ?? {}) as Record<string, unknown>,
      setData(changes: Record<string, unknown>, done?: () => void) {
        for (const [key, value] of Object.entries(changes)) assign(page.data, key, process.own(value));
        if (done) process.deliver(done);
      },
    });
    call(page, 'created');
    call(page, 'attached');
    call(page, 'onLoad', query);
    return page;
  }

  const top = () => stack.at(-1);
  const end = (page: PageInstance | undefined) => {
    call(page, 'onUnload');
    call(page, 'detached');
  };
  function put(page: PageInstance): void {
    stack.push(page);
    call(page, 'onShow');
    call(page, 'onReady');
    call(page, 'ready');
  }

  const moves: Record<string, (options: { url: string; delta?: number }) => void> = {
    navigateTo({ url }) {
      if (tabs.includes(pathOf(url))) throw new WxError('can not navigateTo a tabbar page');
      if (stack.length >= deepest) throw new WxError('webview count limit exceed');
      call(top(), 'onHide');
      put(create(url));
    },
    redirectTo({ url }) {
      if (tabs.includes(pathOf(url))) throw new WxError('can not redirectTo a tabbar page');
      end(stack.pop());
      put(create(url));
    },
    reLaunch({ url }) {
      for (const page of [...stack.reverse(), ...keptTabs.values()]) end(page);
      stack = [];
      keptTabs.clear();
      put(create(url));
    },
    navigateBack({ delta = 1 }) {
      if (stack.length < 2) throw new WxError('cannot navigate back at first page.');
      for (let i = 0; i < delta && stack.length > 1; i++) end(stack.pop());
      call(top(), 'onShow');
    },
    switchTab({ url }) {
      const path = pathOf(url);
      if (!tabs.includes(path)) throw new WxError('can not switch to no-tabBar page');
      if (stack.length === 1 && top()?.route === path) return;
      for (const page of stack.splice(0).reverse()) {
        if (!tabs.includes(page.route)) end(page);
        else {
          call(page, 'onHide');
          keptTabs.set(page.route, page);
        }
      }
      const kept = keptTabs.get(path);
      if (!kept) return put(create(path));
      stack = [kept];
      call(kept, 'onShow');
    },
  };
  const navigation = Object.fromEntries(
    Object.entries(moves).map(([name, move]) => [
      name,
      (options: Callbacks & { url: string; delta?: number }) =>
        asyncCall(process, name, options, () => {
          move(options ?? {});
          return {};
        }),
    ]),
  );

  return {
    navigation,
    globals: {
      App(options: Options) {
        app = options;
      },
      Page: register,
      Component: register,
      Behavior: (options: Options) => options,
      getApp: () => app,
      getCurrentPages: () => {
        const list = process.own([]) as PageInstance[];
        list.push(...stack);
        return list;
      },
    },
    app: () => app,
    top,
    stack: () => [...stack],
    callApp: (name: string, ...values: unknown[]) => call(app, name, ...values),
    call,
    /** The page that the person comes to; the others end. */
    open: (url: string) => moves.reLaunch?.({ url }),
    move: (name: string, options: { url: string; delta?: number }) => moves[name]?.(options),
  };
}

const pathOf = (url: string) => url.replace(/^\//, '').split('?')[0] ?? '';

/** WeChat leaves the values of a page's query as they stand in the address. */
export function queryOf(search: string): Record<string, string> {
  const pairs = search.split('&').filter(Boolean);
  return Object.fromEntries(pairs.map((pair) => [pair.split('=')[0], pair.split('=').slice(1).join('=')]));
}

/** `setData` takes paths: 'list[0].name'. */
function assign(data: Record<string, unknown>, path: string, value: unknown): void {
  const keys = path.replace(/\[(\d+)\]/g, '.$1').split('.');
  const last = keys.pop() ?? '';
  let at = data;
  for (const key of keys) {
    at[key] ??= {};
    at = at[key] as Record<string, unknown>;
  }
  at[last] = value;
}
