/** Acts of people as pages: the buttons on their cards, the scan box, what a code or a link shows in a browser, and the pushes. */
import { AppError, fail } from '../errors.ts';
import { readForm } from '../http/body.ts';
import type { Context } from '../http/server.ts';
import { accountOf, closeAccount, follow, modify, type Pushed, revoke, say, unfollow } from './acts.ts';
import { personOf } from './controls.ts';
import { languageOf, translator } from './locales.ts';
import { letFormsLeave, page } from './page.ts';
import { overview } from './pages.ts';
import { type Parts, query, type SandboxRouter } from './parts.ts';
import { readCode, type ScannedCode, scan } from './scan.ts';
import type { Person, WechatApp } from './state.ts';

type Form = Record<string, string>;
type Act = (parts: Parts, person: Person, form: Form) => Promise<Pushed>;

const acts: Record<string, Act> = {
  follow: (parts, person, { appid = '' }) => follow(parts, { app: accountOf(parts, appid), person }),
  unfollow: (parts, person, { appid = '' }) => unfollow(parts, accountOf(parts, appid), person),
  say: (parts, person, { appid = '', text = '' }) =>
    say(parts, { app: accountOf(parts, appid), person, text: text.slice(0, 600) }),
  revoke: (parts, person, { appid, revoke_info = '' }) =>
    revoke(parts, { app: appOf(parts, appid), person, revoke_info: revoke_info.trim().slice(0, 32) || undefined }),
  modify: (parts, person, { appid }) => modify(parts, { app: appOf(parts, appid), person }),
  'close-account': closeAccount,
};

export function mountActPages(router: SandboxRouter, parts: Parts): void {
  for (const [name, act] of Object.entries(acts))
    router.post(`/page/people/:id/${name}`, async (ctx) => {
      const { pushes } = await act(parts, personOf(parts, ctx.params.id), await readForm(ctx));
      seeOther(ctx, pushes.length > 0 ? '/pushes' : '/', pushes.length > 0 ? '' : '#people');
    });
  router.post('/page/scan', (ctx) => scanBox(parts, ctx));
  for (const path of ['/weixin.qq.com/wxacode', '/weixin.qq.com/q/:key', '/wxaurl.cn/:ticket']) {
    router.get(path, (ctx) => codePage(parts, ctx));
    router.post(path, async (ctx) => {
      const { person_id } = await readForm(ctx);
      await scanned(parts, ctx, { person: personOf(parts, person_id), code: readCode(parts, ctx.href) });
    });
  }
  router.post('/page/pushes/:id/again', async (ctx) => {
    if (!(await parts.pushes.again(String(ctx.params.id)))) throw fail('not_found');
    seeOther(ctx, '/pushes');
  });
  router.get('/pushes', (ctx) => pushLog(parts, ctx));
}

function seeOther(ctx: Context, path: string, anchor = ''): void {
  ctx.status = 303;
  ctx.redirect(`${path}${ctx.query.lang === undefined ? '' : `?lang=${languageOf(ctx)}`}${anchor}`);
}

function appOf({ state }: Parts, appid = ''): WechatApp {
  const app = state.app(appid);
  if (!app) throw fail('not_found');
  return app;
}

async function scanBox(parts: Parts, ctx: Context): Promise<void> {
  const { person_id, recent = '', address = '' } = await readForm(ctx);
  const person = personOf(parts, person_id);
  const text = address.trim() || recent;
  try {
    await scanned(parts, ctx, { person, code: readCode(parts, text) });
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    ctx.status = error.status;
    overview(parts, ctx, { scan_fault: error.code === 'conflict' ? 'over' : 'unknown', address: text });
  }
}

/** In WeChat the person would be there at once; here the browser is sent to where that is. */
async function scanned(parts: Parts, ctx: Context, { person, code }: { person: Person; code: ScannedCode }) {
  const result = await scan(parts, person, code);
  const goal = result.kind === 'authorise' ? result.redirect : result.kind === 'miniprogram' ? result.page_url : null;
  if (goal) {
    ctx.status = 303;
    ctx.redirect(goal);
    return;
  }
  if (result.kind !== 'authorise') page(ctx, './opened', { result, person, app: appOf(parts, result.appid) });
}

/** Somebody opened the address of a code in a browser: whose phone is held before it? */
function codePage(parts: Parts, ctx: Context): void {
  const code = codeOf(parts, ctx);
  if (typeof code === 'string') {
    const t = translator(languageOf(ctx));
    page(ctx, './problem', { title: `code.${code}`, reason: t(`code.${code}.reason`) });
    return;
  }
  const appid = code.kind === 'miniprogram' ? code.goal.appid : code.code.appid;
  const people = parts.state.people().filter(({ closed }) => !closed);
  page(ctx, './code', { code, app: appOf(parts, appid), people, action: `${ctx.path}${ctx.search}` });
  letFormsLeave(ctx);
}

type OpenedCode = Exclude<ScannedCode, { kind: 'authorise' }>;

function codeOf(parts: Parts, ctx: Context): OpenedCode | 'over' | 'unknown' {
  try {
    const code = readCode(parts, ctx.href);
    return code.kind === 'authorise' ? 'unknown' : code;
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return error.code === 'conflict' ? 'over' : 'unknown';
  }
}

/** JSON for programs, a page for browsers. */
function pushLog({ pushes, state }: Parts, ctx: Context): void {
  const list = pushes.list(query(ctx, 'appid'));
  const app_name = (appid: string) => state.app(appid)?.name ?? appid;
  ctx.vary('Accept');
  if (ctx.accepts('json', 'html') === 'html') page(ctx, './pushes-page', { pushes: list, app_name });
  else ctx.body = { pushes: list };
  ctx.set('Cache-Control', 'no-store');
}
