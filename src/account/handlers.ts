/** What every page of the account has around it: somebody signed in, the CSRF field of a post, and a fresh proof where it matters. */
import { readForm } from '../http/body.ts';
import type { Context } from '../http/server.ts';
import { translatorOf } from '../login/dependencies.ts';
import type { AccountDependencies } from './dependencies.ts';
import { type AccountClient, isFresh, openVisit, type Visit } from './visit.ts';

export type Form = Record<string, string>;
export type Handler = (ctx: Context, visit: Visit, form: Form) => Promise<void> | void;

export function createHandlers(deps: AccountDependencies, client: AccountClient) {
  const open = async (ctx: Context, handler: Handler, form: Form) => {
    ctx.set('Cache-Control', 'no-store');
    const visit = await openVisit(ctx, deps, client);
    if (!visit) return client.startSignIn(ctx, { carried: { to: ctx.method === 'GET' ? ctx.path : '/account' } });
    client.renewSession(ctx);
    ctx.state.wayBack = { name: translatorOf(ctx, deps)('account.page_name'), url: '/account' };
    await handler(ctx, visit, form);
  };
  return {
    visiting: (handler: Handler) => (ctx: Context) => open(ctx, handler, {}),
    posting: (handler: Handler) => async (ctx: Context) => {
      const form = await readForm(ctx);
      deps.csrf.check(ctx, form);
      await open(ctx, handler, form);
    },
    /**
     * Whoever stands at a browser that was left open changes nothing (threats B20, D8): a page asks for the proof, and leads on to
     * `page` after it, this one unless it only answers to posts.
     */
    fresh:
      (handler: Handler, page?: string): Handler =>
      async (ctx, visit, form) => {
        if (isFresh(deps, visit)) return handler(ctx, visit, form);
        if (ctx.method !== 'GET') ctx.status = 403;
        deps.render(ctx, 'account/prove', { to: page ?? ctx.path });
      },
  };
}
