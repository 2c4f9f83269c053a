/** What people see of the sandbox: the overview, the inbox, and WeChat's authorise pages. Chinese first; no script needed. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Eta } from 'eta';
import { projectRoot } from '../config.ts';
import type { AppError } from '../errors.ts';
import { fail } from '../errors.ts';
import { readForm } from '../http/body.ts';
import { contentSecurityPolicy } from '../http/security-headers.ts';
import type { Context } from '../http/server.ts';
import { describePerson, newPerson } from './controls.ts';
import { breakable, targets } from './faults.ts';
import { languageOf, translator } from './locales.ts';
import type { Parts, SandboxRouter } from './parts.ts';
import { agree, readAuthorisePage, refuseToAgree } from './wechat/authorise.ts';

const views = join(projectRoot, 'views/sandbox');
const eta = new Eta({ views, cache: true, autoTrim: false });

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

function page(ctx: Context, view: string, values: Record<string, unknown>): void {
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
    time: (text: string) => timeFormat(language).format(new Date(text)),
  };
  ctx.body = eta.render(view, { ...shared, ...values });
}

function timeFormat(language: string): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat(language, { dateStyle: 'short', timeStyle: 'medium' });
}

type FormState = { nickname: string; phone: string; fault: string };

function overview(parts: Parts, ctx: Context, form?: FormState): void {
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
    form: form ?? { nickname: '', phone: '', fault: '' },
  });
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
  router.post('/page/faults', async (ctx) => {
    const { limits } = await readForm(ctx);
    if (limits !== 'vendor' && limits !== 'off') faults.remove();
    else for (const target of ['aliyun_sms', 'tencent_sms'] as const) faults.put({ target, limits });
    back(ctx, 'faults');
  });
}

function mountAuthorise(router: SandboxRouter, parts: Parts): void {
  for (const [path, target] of [
    ['/open.weixin.qq.com/connect/qrconnect', 'qrconnect'],
    ['/open.weixin.qq.com/connect/oauth2/authorize', 'authorize'],
  ] as const) {
    const broken = breakable(parts.faults, target, (ctx, fault) =>
      page(ctx, './problem', { title: 'authorise.unreachable', reason: fault.errmsg ?? String(fault.errcode) }),
    );
    router.get(path, broken, (ctx) => authorise(parts, ctx));
    router.post(path, broken, (ctx) => decide(parts, ctx));
  }
}

function authorise(parts: Parts, ctx: Context): void {
  const request = readAuthorisePage(parts, ctx.URL);
  if (typeof request === 'string') {
    unreachable(ctx, request);
    return;
  }
  page(ctx, './authorise', { request, people: parts.state.people(), action: `${ctx.path}?${ctx.querystring}` });
  // The form's redirect goes on through addresses that only the client knows, and Chromium checks each of them.
  ctx.set('Content-Security-Policy', contentSecurityPolicy(['*']));
}

async function decide(parts: Parts, ctx: Context): Promise<void> {
  const request = readAuthorisePage(parts, ctx.URL);
  if (typeof request === 'string') return unreachable(ctx, request);
  const form = await readForm(ctx);
  const person = parts.state.person(form.person_id ?? '');
  if (!person && form.deny === undefined) throw fail('bad_request', { message: 'Nobody was chosen.' });
  ctx.status = 303;
  ctx.redirect(person ? agree(parts, request, { person }) : refuseToAgree(request));
}

/** WeChat shows such a page with HTTP 200. */
function unreachable(ctx: Context, problem: string): void {
  const t = translator(languageOf(ctx));
  page(ctx, './problem', { title: 'authorise.unreachable', reason: t(`authorise.problems.${problem}`) });
}

export function pageOfError(ctx: Context, error: AppError): void {
  const reason = error.code === 'not_found' ? translator(languageOf(ctx))('problem.not_found') : error.message;
  page(ctx, './problem', { title: 'problem.title', reason });
}
