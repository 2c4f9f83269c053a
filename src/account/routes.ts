/**
 * The person's own page: how they sign in, where they are signed in, and what changes it. An OpenID client of ourselves, as the
 * console is. Every change asks for a sign-in of the last five minutes (handlers.ts), and a GET changes nothing (threat B12).
 *
 *   /account                             ways of signing in, where signed in, accounts that were joined
 *   /account/{add,change}/:method        change.ts      /account/doors/:door                 doors.ts
 *   /account/join                        join.ts, from the page that says an identity is another account's
 *   /account/remove/:key, /keep/:key     removal.ts     /account/{browsers,apps,others}/…    signed-in.ts
 */
import Router from '@koa/router';
import { fail } from '../errors.ts';
import { formatTime } from '../http/i18n.ts';
import type { Context, RequestState } from '../http/server.ts';
import { seeOther, translatorOf } from '../login/dependencies.ts';
import { mergesOf } from '../subjects/undo.ts';
import { type ChangeDependencies, resend, showCode, showStart, start, verify } from './change.ts';
import type { AccountDependencies } from './dependencies.ts';
import { comeBack, doorsFor, leave, showDoor } from './doors.ts';
import { createHandlers } from './handlers.ts';
import { join, showJoin, takeNumber } from './join.ts';
import { type Method, methodsOf, othersThan, wasProven } from './methods.ts';
import { askRemoval, keep, removeNow, waitingDays } from './removal.ts';
import { endApp, endBrowser, endOthers, signedInOf } from './signed-in.ts';
import { type Act, createSteps } from './step.ts';
import { accountClientId, createAccountClient, freshSeconds, provesTooLittle, type Visit } from './visit.ts';

export function accountRoutes(given: AccountDependencies): Router<RequestState> {
  const https = given.publicUrl.startsWith('https:');
  const deps: ChangeDependencies = { ...given, steps: createSteps({ seal: given.seal, clock: given.clock, https }) };
  const client = createAccountClient(given);
  const { visiting, posting, fresh } = createHandlers(given, client);
  const router = new Router<RequestState>();

  router.get(
    '/account',
    visiting((ctx, visit) => showHome(ctx, deps, visit)),
  );
  router.get('/account/callback', async (ctx) => {
    ctx.set('Cache-Control', 'no-store');
    const proven = await client.finishSignIn(ctx);
    if (!proven) return seeOther(ctx, '/account');
    const { sub, auth_time, carried } = proven;
    client.beginSession(ctx, { sub, auth_time });
    const isOther = carried?.sub !== undefined && carried.sub !== sub;
    seeOther(ctx, isOther ? '/account?note=other_person' : (carried?.to ?? '/account'));
  });
  router.post(
    '/account/prove',
    posting((ctx, visit, form) => {
      const { sub } = visit;
      const max_age = form.again === 'yes' || provesTooLittle(visit) ? 0 : freshSeconds;
      return client.startSignIn(ctx, { carried: { to: ownPath(form.to), sub }, max_age });
    }),
  );
  router.post(
    '/account/sign-out',
    posting((ctx) => {
      client.clearSession(ctx);
      seeOther(ctx, `/logout?client_id=${accountClientId}`);
    }),
  );

  for (const act of ['add', 'change'] as Act[]) {
    const path = `/account/${act}/:method`;
    router.get(path, visiting(fresh((ctx, visit) => showStart(ctx, deps, visit, act))));
    router.post(path, posting(fresh((ctx, visit, form) => start(ctx, deps, visit, form, act))));
    // The proof that the step began with was fresh; the code has its own, short life.
    router.get(
      `${path}/verify`,
      visiting((ctx, visit) => showCode(ctx, deps, visit, act)),
    );
    router.post(
      `${path}/verify`,
      posting((ctx, visit, form) => verify(ctx, deps, visit, form, act)),
    );
    router.post(
      `${path}/resend`,
      posting(fresh((ctx, visit, form) => resend(ctx, deps, visit, form, act), '/account')),
    );
  }
  const door = '/account/doors/:door';
  router.get(door, visiting(fresh((ctx) => showDoor(ctx, deps))));
  router.post(door, posting(fresh((ctx, visit) => leave(ctx, deps, visit))));
  router.get(
    `${door}/return`,
    visiting((ctx, visit) => comeBack(ctx, deps, visit)),
  );
  router.get(
    '/account/join',
    visiting((ctx, visit) => showJoin(ctx, deps, visit)),
  );
  router.post(
    '/account/join',
    posting((ctx, visit) => join(ctx, deps, visit, client)),
  );
  router.post(
    '/account/take-number',
    posting((ctx, visit) => takeNumber(ctx, deps, visit)),
  );

  router.get('/account/remove/:key', visiting(fresh(async (ctx, visit) => showRemoval(ctx, deps, visit))));
  router.post('/account/remove/:key', posting(fresh((ctx, visit) => remove(ctx, deps, visit))));
  router.post(
    '/account/keep/:key',
    posting(async (ctx, visit) => {
      await keep(deps, visit, (await methodCalled(ctx, deps, visit)).method);
      seeOther(ctx, '/account?note=kept');
    }),
  );
  router.post('/account/browsers/:uid/end', posting(fresh((ctx, visit) => endBrowser(ctx, deps, visit), '/account')));
  router.post('/account/apps/:id/end', posting(fresh((ctx, visit) => endApp(ctx, deps, visit), '/account')));
  router.post('/account/others/end', posting(fresh((ctx, visit) => endOthers(ctx, deps, visit), '/account')));
  return router;
}

/** One of our own pages and nothing else (threat E9). */
function ownPath(to = ''): string {
  return /^\/account(\/\w[\w:.%~-]*)*$/.test(to) ? to : '/account';
}

const notes = new Set([
  'added',
  'changed',
  'unchanged',
  'removed',
  'removal_asked',
  'kept',
  'refused',
  'ended',
  'joined',
  'start_over',
  'contradicts',
  'other_person',
]);
const bad = new Set(['start_over', 'contradicts', 'other_person']);

async function showHome(ctx: Context, deps: ChangeDependencies, visit: Visit): Promise<void> {
  const [methods, forms, signedIn, merges] = await Promise.all([
    methodsOf(deps, visit),
    deps.connectors.forms(),
    signedInOf(deps, visit),
    mergesOf(deps.db, visit.sub),
  ]);
  const note = String(ctx.query.note ?? '');
  const t = translatorOf(ctx, deps);
  deps.render(ctx, 'account/home', {
    languageUrl: `/account?lang=${deps.i18n.languageOf(ctx) === 'en' ? 'zh-CN' : 'en'}`,
    when: whenOf(ctx, deps),
    notice: notes.has(note) ? { text: t(`account.notes.${note}`), is_bad: bad.has(note) } : undefined,
    methods: methods.map((method) => ({
      ...method,
      change: forms.find(({ field }) => field === method.family)?.name,
      is_last: !othersThan(methods, method).length,
    })),
    doors: await doorsFor(ctx, deps, methods),
    addable: forms
      .filter(({ field }) => !methods.some(({ family }) => family === field))
      .map(({ name, field }) => ({ name, field })),
    ...signedIn,
    merges: merges.filter(({ undone_at }) => !undone_at).map(({ merged_at }) => ({ merged_at })),
  });
}

/** For views: a moment in the reader's words. */
function whenOf(ctx: Context, { i18n }: ChangeDependencies): (at: Date) => string {
  const language = i18n.languageOf(ctx);
  return (at) => formatTime(language, at);
}

/** @throws not_found */
async function methodCalled(ctx: Context, deps: ChangeDependencies, visit: Visit) {
  const methods = await methodsOf(deps, visit);
  const method = methods.find(({ key, is_removable }) => key === ctx.params.key && is_removable);
  if (!method) throw fail('not_found');
  return { method, others: othersThan(methods, method) };
}

/** Each is told on every channel: asking and keeping again and again must not flood them. */
const askLimit = { name: 'account_removals', points: 10, seconds: 86_400 };

type Called = { method: Method; others: Method[] };

async function showRemoval(ctx: Context, deps: ChangeDependencies, visit: Visit): Promise<void> {
  renderRemoval(ctx, deps, visit, await methodCalled(ctx, deps, visit));
}

function renderRemoval(ctx: Context, deps: ChangeDependencies, visit: Visit, { method, others }: Called): void {
  deps.render(ctx, 'account/remove', {
    method,
    others,
    is_last: !others.length,
    at_once: wasProven(deps, visit, method),
    days: waitingDays,
    languageUrl: `${ctx.path}?lang=${deps.i18n.languageOf(ctx) === 'en' ? 'zh-CN' : 'en'}`,
  });
}

async function remove(ctx: Context, deps: ChangeDependencies, visit: Visit): Promise<void> {
  const called = await methodCalled(ctx, deps, visit);
  const { method, others } = called;
  if (!others.length) {
    ctx.status = 409;
    return renderRemoval(ctx, deps, visit, called);
  }
  if (wasProven(deps, visit, method)) {
    await removeNow(deps, visit, method);
    return seeOther(ctx, '/account?note=removed');
  }
  await deps.limits.spend(askLimit, visit.sub);
  await askRemoval(deps, visit, { method, others: others.length });
  seeOther(ctx, '/account?note=removal_asked');
}
