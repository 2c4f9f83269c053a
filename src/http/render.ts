/**
 * Pages from views/ (Eta, which escapes every value) and their static files. A connector's form.eta is the named template
 * `@<connector>/form`.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { Eta } from 'eta';
import { projectRoot } from '../config.ts';
import { fail } from '../errors.ts';
import type { Csrf } from './csrf.ts';
import type { I18n, Language } from './i18n.ts';
import type { Context, Middleware } from './server.ts';

export type Render = (ctx: Context, view: string, values?: Record<string, unknown>) => void;

/**
 * Every page gets: t (translate), language, csrf (hidden field's value), asset (versioned URL of a static file), path, and
 * languageUrl: this page in the other language, undefined for an answer to a post unless the view's values name it.
 */
export function createRender({ i18n, csrf }: { i18n: I18n; csrf: Csrf }): Render {
  const eta = createEta();
  return (ctx, view, values = {}) => {
    const language = i18n.languageOf(ctx);
    if (ctx.query.lang) i18n.remember(ctx, language);
    const shared = {
      t: i18n.translator(language),
      language,
      languageUrl: languageUrl(ctx, language),
      csrf: csrf.token(ctx),
      asset: assetUrl,
      path: ctx.path,
    };
    ctx.set('Cache-Control', 'no-store');
    ctx.set('Content-Language', language);
    ctx.type = 'html';
    ctx.body = eta.render(view, { ...shared, ...values });
  };
}

/** Relative, so that whatever the path is (`//elsewhere`), it stays on our origin (threat E9). */
function languageUrl(ctx: Context, language: Language): string | undefined {
  if (ctx.method !== 'GET') return undefined;
  const query = new URLSearchParams(ctx.querystring);
  query.set('lang', language === 'en' ? 'zh-CN' : 'en');
  return `?${query}`;
}

function createEta(): Eta {
  const eta = new Eta({ views: join(projectRoot, 'views'), cache: true, autoTrim: false });
  const connectors = join(projectRoot, 'src/connectors');
  for (const name of readdirSync(connectors)) {
    const form = join(connectors, name, 'form.eta');
    if (existsSync(form)) eta.loadTemplate(`@${name}/form`, readFileSync(form, 'utf8'));
  }
  return eta;
}

const staticFolder = join(projectRoot, 'views/static');
const types: Record<string, string> = {
  '.css': 'text/css',
  '.js': 'text/javascript',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
};
type Asset = { bytes: Buffer; type: string; version: string };
let assets: Map<string, Asset> | undefined;

/** Read once: the list of what exists is also the guard against paths that climb out of the folder (threat E7). */
function loadAssets(): Map<string, Asset> {
  assets ??= new Map(
    readdirSync(staticFolder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => {
        const file = join(entry.parentPath, entry.name);
        const bytes = readFileSync(file);
        const version = createHash('sha256').update(bytes).digest('hex').slice(0, 10);
        const type = types[extname(file)] ?? 'application/octet-stream';
        return [file.slice(staticFolder.length + 1), { bytes, type, version }];
      }),
  );
  return assets;
}

export function assetUrl(name: string): string {
  return `/static/${name}?v=${loadAssets().get(name)?.version ?? ''}`;
}

export const staticFiles: Middleware = async (ctx, next) => {
  if (!ctx.path.startsWith('/static/') || (ctx.method !== 'GET' && ctx.method !== 'HEAD')) return next();
  const asset = loadAssets().get(ctx.path.slice('/static/'.length));
  if (!asset) throw fail('not_found');
  ctx.set(
    'Cache-Control',
    ctx.query.v === asset.version ? 'public, max-age=31536000, immutable' : 'public, max-age=300',
  );
  ctx.type = asset.type;
  ctx.body = asset.bytes;
};
