/**
 * The web view of the phone: a browser of its own, with its own cookies and the name that WeChat's web views have. A frame in the page
 * could be neither, so pages are loaded here and shown there as they came, without their scripts.
 */
import Router from '@koa/router';
import { request } from 'undici';
import { fail } from '../../errors.ts';
import { readJson } from '../../http/body.ts';
import type { Context, RequestState } from '../../http/server.ts';
import { checkCsrf } from './forms.ts';
import type { Parts } from './parts.ts';
import type { Session } from './sessions.ts';

/** Cookies by origin and name; of one phone, in memory. */
type Jar = Map<string, Map<string, string>>;
type Loaded = { url: string; status: number; location: string | undefined; html: string };

const agent =
  'Mozilla/5.0 (Linux; Android 15; Demo Phone) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/138.0.0.0 Mobile Safari/537.36 MicroMessenger/8.0.53 Language/';
const mostHops = 15;

export function webViewRoutes({ sessions, settings, pages }: Parts): Router<RequestState> {
  const jars = new WeakMap<Session, { person: string; jar: Jar }>();
  const router = new Router<RequestState>();
  router.post('/miniprogram/web-view', async (ctx) => {
    const session = sessions.of(ctx);
    const { csrf, url, person_id } = await asked(ctx);
    checkCsrf(session, csrf);
    const known = jars.get(session);
    // Another person means another phone.
    const view = known?.person === person_id ? known : { person: person_id, jar: new Map() };
    jars.set(session, view);
    const language = pages.languageOf(ctx);
    const origins = [settings.issuer, settings.url];
    const load = createLoader({ jar: view.jar, origins, language, appid: settings.miniprogram.appid });
    ctx.set('Cache-Control', 'no-store');
    ctx.body = await browse(load, url);
  });
  return router;
}

async function asked(ctx: Context): Promise<{ csrf: string; url: string; person_id: string }> {
  const body = (await readJson(ctx, { limit: 8_192 })) as Record<string, unknown> | null;
  return { csrf: String(body?.csrf), url: String(body?.url), person_id: String(body?.person_id) };
}

type Load = (url: string, form?: URLSearchParams) => Promise<Loaded>;

/** Redirects, and the one script that a page may count on: the form that posts itself. */
async function browse(load: Load, address: string): Promise<{ url: string; html: string }> {
  let page = await load(address);
  for (let hops = 0; hops < mostHops; hops++) {
    const form = page.location === undefined ? selfPosting(page) : undefined;
    if (page.location !== undefined) page = await load(page.location);
    else if (form) page = await load(form.action, form.fields);
    else return { url: page.url, html: shown(page) };
  }
  throw fail('upstream_unavailable');
}

function selfPosting({ html, url }: Loaded): { action: string; fields: URLSearchParams } | undefined {
  const [, head = '', body = ''] = /<form\b([^>]*\bdata-post-now[^>]*)>([\s\S]*?)<\/form>/.exec(html) ?? [];
  if (!head) return undefined;
  const attribute = (text: string, name: string) => new RegExp(`\\b${name}="([^"]*)"`).exec(text)?.[1] ?? '';
  const fields = new URLSearchParams();
  for (const [input] of body.matchAll(/<input\b[^>]*>/g))
    fields.append(attribute(input, 'name'), attribute(input, 'value'));
  return { action: new URL(attribute(head, 'action'), url).href, fields };
}

/** Without its scripts, which would not run there, and with addresses that mean the same in a frame of another page. */
function shown({ html, url }: Loaded): string {
  return html
    .replace(/<script\b[^>]*>[\s\S]*?<\/script>/g, '')
    .replace(/\b(href|src|action)="(\/[^"]*|\?[^"]*)"/g, (_all, name: string, path: string) => {
      return `${name}="${new URL(path, url).href.replaceAll('"', '%22')}"`;
    });
}

type LoaderOptions = { jar: Jar; origins: string[]; language: string; appid: string };

function createLoader({ jar, origins, language, appid }: LoaderOptions): Load {
  return async (address, form) => {
    const url = URL.canParse(address) ? new URL(address) : undefined;
    // As with WeChat: only domains that the mini-program registered for its web views.
    if (!url || !origins.includes(url.origin)) throw fail('forbidden');
    const cookies = jar.get(url.origin) ?? new Map<string, string>();
    jar.set(url.origin, cookies);
    const answer = await request(url, {
      method: form ? 'POST' : 'GET',
      headers: {
        accept: 'text/html',
        'accept-language': language,
        'user-agent': `${agent}${language} MiniProgramEnv/Android miniProgram/${appid}`,
        cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; '),
        ...(form && { 'content-type': 'application/x-www-form-urlencoded' }),
      },
      ...(form && { body: form.toString() }),
    });
    for (const line of [answer.headers['set-cookie'] ?? []].flat()) keepCookie(cookies, line);
    const to = [answer.headers.location ?? []].flat()[0];
    return {
      url: url.href,
      status: answer.statusCode,
      location: to === undefined ? undefined : new URL(to, url).href,
      html: await answer.body.text(),
    };
  };
}

/** Paths are left out: in one sign-in of the demo no two cookies share a name. */
function keepCookie(cookies: Map<string, string>, line: string): void {
  const [pair = ''] = line.split(';');
  const name = pair.slice(0, pair.indexOf('='));
  const isGone = /;\s*max-age=0\b/i.test(line) || /;\s*expires=Thu, 01 Jan 1970/i.test(line);
  if (isGone) cookies.delete(name);
  else cookies.set(name, pair.slice(name.length + 1));
}
