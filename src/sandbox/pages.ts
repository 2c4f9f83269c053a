/** What people see of the sandbox: the overview with its forms, and the inbox. Chinese first; no script needed. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AppError } from '../errors.ts';
import { fail } from '../errors.ts';
import { readForm } from '../http/body.ts';
import type { Context } from '../http/server.ts';
import { mountAuthorise } from './authorise-pages.ts';
import { describePerson, newPerson, newPush } from './controls.ts';
import { targets } from './faults.ts';
import { languageOf, translator } from './locales.ts';
import { letFormsLeave, page, views } from './page.ts';
import type { Parts, SandboxRouter } from './parts.ts';
import type { WechatApp } from './state.ts';

export function mountPages(router: SandboxRouter, parts: Parts): void {
  router.get('/', (ctx) => overview(parts, ctx));
  router.get('/inbox', (ctx) => inbox(parts, ctx));
  mountForms(router, parts);
  mountAuthorise(router, parts);
  for (const [path, type] of [
    ['/sandbox.css', 'text/css'],
    ['/sandbox.js', 'text/javascript'],
    ['/mark.svg', 'image/svg+xml'],
  ] as const) {
    const bytes = readFileSync(join(views, path));
    router.get(path, (ctx) => {
      ctx.set('Cache-Control', 'no-cache');
      ctx.type = type;
      ctx.body = bytes;
    });
  }
}

/** The name of a sentence and what it speaks of. */
type PushProblem = { sentence: string; detail: string };
type Refused = {
  nickname?: string;
  phone?: string;
  fault?: string;
  scan_fault?: 'over' | 'unknown';
  address?: string;
  push?: { appid: string; given: Record<string, string>; problem: PushProblem };
};

/** `refused`: what a form held that could not be done, and why. */
export function overview(parts: Parts, ctx: Context, refused: Refused = {}): void {
  const { state, inbox, faults } = parts;
  page(ctx, './overview', {
    origin: `http://${ctx.host}`,
    messages: inbox.messages().slice(0, 50),
    to: '',
    people: state.people().map((person) => describePerson(parts, person)),
    apps: state.apps(),
    app_name: (appid: string) => state.app(appid)?.name ?? appid,
    faults: faults.list(),
    targets,
    sms_limited: faults.limited('aliyun_sms'),
    codes: parts.made.recent().slice(0, 20),
    push_of: (app: WechatApp) => parts.pushes.setting(app),
    pushed: parts.pushes.list().length,
    form: { nickname: '', phone: '', fault: '', scan_fault: '', address: '', ...refused },
  });
  letFormsLeave(ctx);
}

/** Undefined when it was saved. */
async function savePush(parts: Parts, app: WechatApp, given: Record<string, string>): Promise<PushProblem | undefined> {
  const { url = '', token, encoding_aes_key, mode, format, off } = given;
  if (off !== undefined) {
    parts.state.changeApp(app, { push: null });
    return undefined;
  }
  const key = encoding_aes_key ? { encoding_aes_key } : {};
  const setting = newPush.safeParse({ url, token, mode, format, ...key });
  if (!setting.success) return { sentence: `push.wrong.${String(setting.error.issues[0]?.path[0])}`, detail: '' };
  const found = await parts.pushes.verify(setting.data);
  if (found) return { sentence: `pushes.fault.${found.fault}`, detail: found.detail };
  parts.state.changeApp(app, { push: setting.data });
  return undefined;
}

/** JSON for programs, a page for browsers. */
function inbox({ inbox }: Parts, ctx: Context): void {
  const to = [ctx.query.to].flat()[0];
  const messages = inbox.messages(to || undefined);
  ctx.vary('Accept');
  if (ctx.accepts('json', 'html') === 'html') page(ctx, './inbox-page', { messages, to: to ?? '' });
  else ctx.body = { messages };
  ctx.set('Cache-Control', 'no-store');
}

/** The overview's own forms: HTML knows no PUT, so they have paths of their own beside the controls. */
function mountForms(router: SandboxRouter, parts: Parts): void {
  const { state, faults } = parts;
  const back = (ctx: Context, anchor: string) => {
    ctx.status = 303;
    ctx.redirect(`/${ctx.query.lang === undefined ? '' : `?lang=${languageOf(ctx)}`}#${anchor}`);
  };
  router.post('/page/people', async (ctx) => {
    const { nickname = '', phone = '' } = await readForm(ctx);
    const person = newPerson.safeParse({ nickname, phone: phone.trim() || null });
    if (!person.success) {
      ctx.status = 400;
      return overview(parts, ctx, { nickname, phone, fault: String(person.error.issues[0]?.path[0] ?? 'nickname') });
    }
    state.addPerson({ nickname: person.data.nickname, phone: person.data.phone ?? null });
    back(ctx, 'people');
  });
  router.post('/page/apps/:appid', async (ctx) => {
    const app = state.app(String(ctx.params.appid));
    if (!app) throw fail('not_found');
    const { open_platform = '' } = await readForm(ctx);
    state.changeApp(app, { open_platform: open_platform.trim().slice(0, 64) || null });
    back(ctx, 'apps');
  });
  router.post('/page/apps/:appid/push', async (ctx) => {
    const app = state.app(String(ctx.params.appid));
    if (!app) throw fail('not_found');
    const given = await readForm(ctx);
    const problem = await savePush(parts, app, given);
    if (!problem) return back(ctx, 'apps');
    ctx.status = 400;
    overview(parts, ctx, { push: { appid: app.appid, given, problem } });
  });
  router.post('/page/faults', async (ctx) => {
    const { limits } = await readForm(ctx);
    if (limits !== 'vendor' && limits !== 'off') faults.remove();
    else for (const target of ['aliyun_sms', 'tencent_sms'] as const) faults.put({ target, limits });
    back(ctx, 'faults');
  });
}

export function pageOfError(ctx: Context, error: AppError): void {
  const reason = error.code === 'not_found' ? translator(languageOf(ctx))('problem.not_found') : error.message;
  page(ctx, './problem', { title: 'problem.title', reason });
}
