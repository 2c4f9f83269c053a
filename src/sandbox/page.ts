/** One page of the sandbox, in the reader's language. */
import { join } from 'node:path';
import { Eta } from 'eta';
import { projectRoot } from '../config.ts';
import { contentSecurityPolicy } from '../http/security-headers.ts';
import type { Context } from '../http/server.ts';
import { languageOf, translator } from './locales.ts';

export const views = join(projectRoot, 'views/sandbox');
const eta = new Eta({ views, cache: true, autoTrim: false });

export function page(ctx: Context, view: string, values: Record<string, unknown>): void {
  const language = languageOf(ctx);
  const chosen = ctx.query.lang === undefined ? '' : `?lang=${language}`;
  const others = new URLSearchParams(ctx.querystring);
  others.set('lang', language === 'en' ? 'zh-CN' : 'en');
  // Under no-referrer a browser posts our own forms with `Origin: null`, which looks like a foreign page.
  ctx.set('Referrer-Policy', 'same-origin');
  ctx.set('Cache-Control', 'no-store');
  ctx.set('Content-Language', language);
  ctx.type = 'html';
  const shared = {
    t: translator(language),
    language,
    link: (path: string) => `${path}${chosen}`,
    other_language: `?${others}`,
    time: (text: string | number) => timeFormat(language).format(new Date(text)),
  };
  ctx.body = eta.render(view, { ...shared, ...values });
}

/** For a page whose form's redirect goes on to addresses that only an app knows: Chromium checks each of them. */
export function letFormsLeave(ctx: Context): void {
  ctx.set('Content-Security-Policy', contentSecurityPolicy(['*']));
}

function timeFormat(language: string): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat(language, { dateStyle: 'short', timeStyle: 'medium' });
}
