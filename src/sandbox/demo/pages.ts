/**
 * The shop's pages (views/demo), its sentences, its static files and its Content-Security-Policy. The shop shares no page, no
 * locale file and no cookie with Heyi: it stands for somebody else's website.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { Eta } from 'eta';
import i18next from 'i18next';
import { projectRoot } from '../../config.ts';
import { contentSecurityPolicy } from '../../http/security-headers.ts';
import type { Context, Middleware } from '../../http/server.ts';
import { consentOf } from './consent.ts';
import { productById } from './products.ts';
import type { Session, Sessions } from './sessions.ts';
import type { Settings } from './settings.ts';

export type Language = 'zh-CN' | 'en';
export type Pages = {
  languageOf(ctx: Context): Language;
  translator(ctx: Context): (key: string) => string;
  money(ctx: Context, yuan: number): string;
  /** `data` is what the page's scripts may know; everything else stays on the server. */
  render(ctx: Context, view: string, values?: Record<string, unknown>, data?: Record<string, unknown>): void;
};

const folder = join(projectRoot, 'views/demo');
const languageCookie = 'shanyu_lang';

export function createPages(settings: Settings, sessions: Sessions): Pages {
  const eta = new Eta({ views: folder, cache: true, autoTrim: false });
  const translations = loadSentences();
  const languageOf = (ctx: Context): Language =>
    parse(String(ctx.query.lang ?? '')) ??
    parse(ctx.cookies.get(languageCookie) ?? '') ??
    parse(ctx.acceptsLanguages('zh-CN', 'zh', 'en') || '') ??
    'zh-CN';
  return {
    languageOf,
    translator: (ctx) => translations.getFixedT(languageOf(ctx)),
    money: (ctx, yuan) => formatYuan(languageOf(ctx), yuan),
    render(ctx, view, values = {}, data = {}) {
      const language = languageOf(ctx);
      if (ctx.query.lang) ctx.cookies.set(languageCookie, language, { sameSite: 'lax', maxAge: 365 * 86_400_000 });
      const session = sessions.of(ctx);
      const shared = sharedValues(settings, { language, session, ctx, t: translations.getFixedT(language) });
      session.notice = undefined;
      ctx.set('Cache-Control', 'no-store');
      ctx.set('Content-Language', language);
      ctx.type = 'html';
      const all = { ...shared, ...values };
      ctx.body = eta.render(view, { ...all, data: json({ ...shared.script, ...data }) });
    },
  };
}

type Shown = { language: Language; session: Session; ctx: Context; t: (key: string) => string };

function sharedValues(settings: Settings, { language, session, ctx, t }: Shown) {
  const { issuer, sandboxUrl, writeKey, url } = settings;
  const consent = consentOf(ctx);
  return {
    t,
    language,
    consent,
    csrf: session.csrf,
    person: session.person,
    notice: session.notice,
    cart_count: Object.values(session.cart).reduce((sum, quantity) => sum + quantity, 0),
    path: ctx.path,
    sandbox_url: sandboxUrl,
    issuer,
    asset: (name: string) => `/assets/${name}`,
    money: (yuan: number) => formatYuan(language, yuan),
    name_of: (product_id: string) => (productById(product_id) ? t(`products.${product_id}.name`) : product_id),
    other_language: {
      code: language === 'en' ? 'zh-CN' : 'en',
      url: `${ctx.path}?lang=${language === 'en' ? 'zh' : 'en'}`,
    },
    mask: maskPhone,
    script: {
      issuer,
      url,
      sandbox_url: sandboxUrl,
      write_key: writeKey,
      language,
      consent,
      csrf: session.csrf,
      sub: session.person?.sub ?? null,
      strings: sentences(language).script,
    },
  };
}

function formatYuan(language: Language, yuan: number): string {
  return new Intl.NumberFormat(language, {
    style: 'currency',
    currency: 'CNY',
    currencyDisplay: 'narrowSymbol',
    maximumFractionDigits: 0,
  }).format(yuan);
}

export const maskPhone = (phone: string | undefined): string =>
  (phone ?? '').replace(/^(\+\d{2})?(\d{3})\d+(\d{4})$/, '$2****$3');

/** Inside a script element only `<` could end it early. */
const json = (value: unknown) => JSON.stringify(value).replaceAll('<', '\\u003c');

function parse(tag: string): Language | undefined {
  if (/^zh/i.test(tag)) return 'zh-CN';
  return /^en/i.test(tag) ? 'en' : undefined;
}

const read = (language: Language) => JSON.parse(readFileSync(join(folder, `locales/${language}.json`), 'utf8'));
let loaded: Record<Language, Record<string, unknown>> | undefined;
function sentences(language: Language): Record<string, unknown> {
  loaded ??= { 'zh-CN': read('zh-CN'), en: read('en') };
  return loaded[language];
}

function loadSentences() {
  const resources = { 'zh-CN': { translation: sentences('zh-CN') }, en: { translation: sentences('en') } };
  const instance = i18next.createInstance();
  // Eta escapes what a page prints; escaping twice would show entities.
  instance.init({ resources, fallbackLng: 'zh-CN', interpolation: { escapeValue: false }, initAsync: false });
  return instance;
}

/** Scripts only of our own, requests only to ourselves, Heyi and the sandbox. A form's redirect chain ends at Heyi. */
export function demoPolicy({ issuer, sandboxUrl }: Settings): Middleware {
  const policy = contentSecurityPolicy([issuer]).replace(
    "connect-src 'self'",
    `connect-src 'self' ${issuer} ${sandboxUrl}`,
  );
  return async (ctx, next) => {
    ctx.set('Content-Security-Policy', policy);
    await next();
  };
}

const types: Record<string, string> = { '.css': 'text/css', '.js': 'text/javascript', '.svg': 'image/svg+xml' };

/** Static files by a list read once, which is also the guard against paths that climb out of the folder. */
export function demoAssets(): Middleware {
  const files = new Map<string, { bytes: Buffer; type: string }>();
  // The browser SDK as it is: a browser takes the modules that a bundler would.
  const roots = { '': join(folder, 'static'), 'heyi/': join(projectRoot, 'sdk/web/src') };
  for (const [place, root] of Object.entries(roots))
    for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
      const file = join(entry.parentPath, entry.name);
      if (!entry.isFile()) continue;
      const type = types[extname(file)] ?? 'application/octet-stream';
      files.set(`${place}${file.slice(root.length + 1)}`, { bytes: readFileSync(file), type });
    }
  return async (ctx, next) => {
    if (!ctx.path.startsWith('/assets/') || (ctx.method !== 'GET' && ctx.method !== 'HEAD')) return next();
    const file = files.get(ctx.path.slice('/assets/'.length));
    if (!file) return next();
    ctx.set('Cache-Control', 'no-cache');
    ctx.type = file.type;
    ctx.body = file.bytes;
  };
}
