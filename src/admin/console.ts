/**
 * A page of the console as one object: path, the permission it needs, whether it asks for a fresh sign-in, and what it does. Mounting
 * checks them in one place, so that no page can forget to (threats D17, D21).
 *
 *   session ─► role ─► permission ─► CSRF of a post ─► fresh sign-in ─► handle
 *
 * What a form posts to is the address of the page that shows it: whoever has to sign in between comes back to the form.
 */
import type Router from '@koa/router';
import { type AppError, fail } from '../errors.ts';
import { readForm } from '../http/body.ts';
import { formatNumber, formatTime, type Language, type Translate } from '../http/i18n.ts';
import { type Context, type Middleware, type RequestState, toAppError } from '../http/server.ts';
import type { Actor } from '../subjects/actor.ts';
import type { AdminDependencies } from './dependencies.ts';
import { adminClientId, type Door, type Visitor } from './door.ts';
import { reasonInWords } from './lines.ts';
import { isAllowed, type Permission, type Role } from './permissions.ts';
import { recordRefusal } from './refusals.ts';

export type Fields = Record<string, string>;

export type AdminRequest = {
  ctx: Context;
  params: Fields;
  query: Fields;
  /** What was posted; when a page is opened, what was typed on it before a fresh sign-in came between. */
  form: Fields;
  staff: { sub: string; role: Role };
  actor: Actor;
  language: Language;
  t: Translate;
  may(permission: Permission): boolean;
  /** A page in the console's frame. */
  show(view: string, values?: Record<string, unknown>): void;
  /** After a post: to another page of the console. */
  go(path: string): void;
};

export type AdminRoute = {
  method: 'get' | 'post';
  path: string;
  needs: Permission;
  /** Signed in within the last minutes. */
  fresh?: true;
  /** Bytes that may be posted, where it is more than a short form. */
  limit?: number;
  handle(deps: AdminDependencies, request: AdminRequest): Promise<void> | void;
};

export function mountConsole(router: Router<RequestState>, routes: AdminRoute[], parts: Parts): void {
  for (const route of routes) {
    const isPage = routes.some(({ method, path }) => method === 'get' && path === route.path);
    router.register(route.path, [route.method], [serve(route, isPage, parts)]);
  }
}

type Parts = { deps: AdminDependencies; door: Door };

function serve(route: AdminRoute, isPage: boolean, { deps, door }: Parts): Middleware {
  return async (ctx) => {
    // Also for refusals: a cache must not keep what one member of staff may see (threat E10).
    ctx.set('Cache-Control', 'no-store');
    const back = isPage ? `${ctx.path}${ctx.search}` : '/admin';
    const visitor = await door.visitor(ctx);
    if (!visitor) return askToSignIn(ctx, door, back);
    const { role } = visitor;
    if (!role || !isAllowed(role, route.needs)) return refuse(ctx, deps, visitor, route);
    const posted = route.method === 'post' ? await readPost(ctx, deps, route) : undefined;
    if (route.fresh && !door.isFresh(visitor.session))
      return door.proveAgain(ctx, { sub: visitor.sub, to: back, fields: posted ?? {} });
    door.renew(ctx);
    const form = posted ?? (route.fresh ? door.takeDraft(ctx, back) : {});
    const request = requestOf(ctx, deps, { sub: visitor.sub, role }, form);
    try {
      await route.handle(deps, request);
    } catch (error) {
      showProblem(request, toAppError(error));
    }
  };
}

/** Programs are told in their own way; a token is no way in here, whoever's it is (threat D19). */
async function askToSignIn(ctx: Context, door: Door, back: string): Promise<void> {
  if (!wantsPage(ctx) || ctx.get('authorization')) throw fail('unauthorized');
  await door.startSignIn(ctx, { carried: { to: back } });
}

const wantsPage = (ctx: Context) => ctx.accepts('json', 'html') === 'html';

async function refuse(ctx: Context, deps: AdminDependencies, visitor: Visitor, route: AdminRoute): Promise<void> {
  const { sub, role } = visitor;
  deps.log.warn(
    { request_id: ctx.state.requestId, sub, role: role ?? 'none', needs: route.needs, path: route.path },
    'admin: refused',
  );
  // Of strangers there is no end: they are in the log alone.
  if (role) await recordRefusal(deps.db, actorOf(ctx, sub), route);
  if (!wantsPage(ctx)) throw fail('forbidden');
  ctx.status = 403;
  if (!role) return deps.render(ctx, 'admin/refused', { sub });
  requestOf(ctx, deps, { sub, role }, {}).show('admin/forbidden');
}

async function readPost(ctx: Context, { csrf }: AdminDependencies, { limit }: AdminRoute): Promise<Fields> {
  const form = await readForm(ctx, limit === undefined ? {} : { limit });
  csrf.check(ctx, form);
  // PostgreSQL's text refuses a NUL.
  if (Object.values(form).some((value) => value.includes('\0'))) throw fail('bad_request');
  return form;
}

function actorOf(ctx: Context, sub: string): Actor {
  const { ip, requestId: request_id } = ctx.state;
  return { actor_kind: 'staff', actor_id: sub, client_id: adminClientId, ip, request_id };
}

function requestOf(
  ctx: Context,
  { i18n, render }: AdminDependencies,
  staff: AdminRequest['staff'],
  form: Fields,
): AdminRequest {
  const language = i18n.languageOf(ctx);
  const t = i18n.translator(language);
  const mayDo = (permission: Permission) => isAllowed(staff.role, permission);
  const is_kept = ctx.method === 'GET' && Object.keys(form).length > 0;
  const when = (at: Date | string | null) => (at === null ? '—' : formatTime(language, new Date(at)));
  const day = (at: Date) =>
    new Intl.DateTimeFormat(language, { month: 'short', day: 'numeric', timeZone: 'Asia/Shanghai' }).format(at);
  const clock = (at: Date) =>
    new Intl.DateTimeFormat(language, { timeStyle: 'medium', hourCycle: 'h23', timeZone: 'Asia/Shanghai' }).format(at);
  const why = (reason: string) => reasonInWords(reason, t) ?? reason;
  return {
    ctx,
    params: (ctx as { params?: Fields }).params ?? {},
    query: queryOf(ctx),
    form,
    staff,
    actor: actorOf(ctx, staff.sub),
    language,
    t,
    may: mayDo,
    show: (view, values = {}) =>
      render(ctx, view, {
        staff,
        may: mayDo,
        when,
        day,
        clock,
        number: formatNumber,
        why,
        short: shortId,
        typed: form,
        is_kept,
        ...values,
      }),
    go(path) {
      ctx.status = 303;
      ctx.redirect(path);
    },
  };
}

/** Enough of an id to tell two apart at a glance: its end, as those of one hour begin alike. */
const shortId = (id: string) => `…${id.slice(-6)}`;

/** A parameter sent twice counts once, and nothing that the database's text refuses gets further. */
function queryOf(ctx: Context): Fields {
  const query: Fields = Object.create(null);
  for (const [name, value] of new URLSearchParams(ctx.querystring)) query[name] ??= value.replaceAll('\0', '');
  return query;
}

/** In the frame, so that the way on is in sight. What is our own fault goes the way of all such faults. */
function showProblem({ ctx, t, show }: AdminRequest, error: AppError): void {
  if (error.status >= 500 || !wantsPage(ctx)) throw error;
  ctx.status = error.status;
  const reason = error.code === 'merge_refused' ? error.fields?.reason : undefined;
  const sentence = reason ? t(`admin.refusal.${reason}`) : t(`errors.${error.code}`);
  show('admin/problem', { sentence: sentence.replace(/[。.]$/, ''), request_id: ctx.state.requestId });
}
