/** The sandbox's own sentences, views/sandbox/locales.json: it shares none with the product's pages. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { projectRoot } from '../config.ts';
import type { Context } from '../http/server.ts';

export type Language = 'zh-CN' | 'en';

const sentences = z.record(z.string(), z.string());
const locales = z
  .object({ 'zh-CN': sentences, en: sentences })
  .parse(JSON.parse(readFileSync(join(projectRoot, 'views/sandbox/locales.json'), 'utf8')));

export function languageOf(ctx: Context): Language {
  const asked = String(ctx.query.lang ?? '') || ctx.acceptsLanguages('zh-CN', 'zh', 'en') || '';
  return /^en/i.test(asked) ? 'en' : 'zh-CN';
}

export function translator(language: Language): (key: string, values?: Record<string, string | number>) => string {
  return (key, values = {}) =>
    (locales[language][key] ?? key).replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ''));
}
