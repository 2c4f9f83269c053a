/** Sentences for people, Chinese first. Locale files: views/locales/, and locales.json of each connector under its name. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import i18next, { type i18n } from 'i18next';
import { projectRoot } from '../config.ts';
import type { Context } from './server.ts';

export const languages = ['zh-CN', 'en'] as const;
export type Language = (typeof languages)[number];
export type Translate = (key: string, values?: Record<string, unknown>) => string;

export type I18n = {
  /**
   * The reader's language: ?lang=, the choice kept in the cookie, what the client asked for (ui_locales), Accept-Language; else
   * Chinese.
   */
  languageOf(ctx: Context): Language;
  translator(language: Language): Translate;
  /** Keeps the reader's choice for a year. */
  remember(ctx: Context, language: Language): void;
};

/** A moment as the company's customers read it: China has one time, whichever language they read in. */
export function formatTime(language: Language, at: Date): string {
  return new Intl.DateTimeFormat(language === 'en' ? 'en-GB' : language, {
    dateStyle: 'long',
    timeStyle: 'short',
    timeZone: 'Asia/Shanghai',
  }).format(at);
}

/** Both languages group digits by thousands. At most three decimals. */
export function formatNumber(value: number): string {
  return new Intl.NumberFormat('en').format(value);
}

const cookie = 'heyi_lang';

export function createI18n({ https = false } = {}): I18n {
  const instance = load();
  return {
    languageOf(ctx) {
      // Unsigned on purpose: the engine's context has signing keys, and both must read the same cookie.
      const chosen = ctx.cookies.get(cookie, { signed: false });
      const asked = [ctx.query.lang, chosen, ctx.state.uiLocales, ctx.query.ui_locales].flatMap((value) =>
        String(value ?? '').split(' '),
      );
      return asked.map(parse).find(Boolean) ?? parse(ctx.acceptsLanguages('zh-CN', 'zh', 'en') || '') ?? 'zh-CN';
    },
    translator: (language) => {
      const translate = instance.getFixedT(language);
      return (key, values) => translate(key, values ?? {});
    },
    remember: (ctx, language) =>
      void ctx.append(
        'Set-Cookie',
        `${cookie}=${language}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax${https ? '; Secure' : ''}`,
      ),
  };
}

function parse(tag: string): Language | undefined {
  if (/^zh/i.test(tag)) return 'zh-CN';
  return /^en/i.test(tag) ? 'en' : undefined;
}

function load(): i18n {
  const resources: Record<string, { translation: Record<string, unknown> }> = {};
  for (const language of languages) {
    const folder = join(projectRoot, 'views/locales');
    resources[language] = { translation: JSON.parse(readFileSync(join(folder, `${language}.json`), 'utf8')) };
  }
  const connectors = join(projectRoot, 'src/connectors');
  for (const entry of readdirSync(connectors, { withFileTypes: true })) {
    if (!entry.isDirectory() || !readdirSync(join(connectors, entry.name)).includes('locales.json')) continue;
    const sentences = JSON.parse(readFileSync(join(connectors, entry.name, 'locales.json'), 'utf8'));
    for (const language of languages)
      Object.assign(resources[language]?.translation ?? {}, { [entry.name]: sentences[language] });
  }
  const instance = i18next.createInstance();
  // Eta escapes what a page prints; escaping twice would show entities.
  instance.init({ resources, fallbackLng: 'zh-CN', interpolation: { escapeValue: false }, initAsync: false });
  return instance;
}
