/** What every page of a sign-in has around it: the visit, the CSRF field of a post, and a page for the visit that is no more. */
import { isDatabaseAway } from '../database.ts';
import { fail } from '../errors.ts';
import { readForm } from '../http/body.ts';
import type { Context } from '../http/server.ts';
import {
  type Deps,
  type LoginDependencies,
  type PostHandler,
  seeOther,
  translatorOf,
  type VisitHandler,
} from './dependencies.ts';
import { createFollow } from './follow.ts';
import { createPages } from './pages.ts';
import { createSteps } from './step.ts';
import { type Ended, openVisit } from './visit.ts';

export function createHandlers(given: LoginDependencies) {
  const steps = createSteps({ seal: given.seal, publicUrl: given.config.publicUrl });
  const deps: Deps = {
    ...given,
    steps,
    follow: createFollow(given),
    async showEnded(ctx) {
      given.render(ctx, 'login/done', { back: steps.read(ctx, String(ctx.params.uid))?.back });
    },
  };
  const showEnd = createEndPages(given);

  const visiting = (handler: VisitHandler) => async (ctx: Context) => {
    ctx.set('Cache-Control', 'no-store');
    try {
      const visit = await openVisit(ctx, deps);
      if ('kind' in visit) return showEnd(ctx, visit);
      ctx.state.wayBack = { name: translatorOf(ctx, deps)('login.page_name'), url: visit.base };
      await handler(ctx, visit);
    } catch (error) {
      // The engine's store says an outage in the engine's words, with the database's as the cause: the page answers 503, not 500.
      throw error instanceof Error && isDatabaseAway(error.cause) ? error.cause : error;
    }
  };
  const posting = (handler: PostHandler) =>
    visiting(async (ctx, visit) => {
      const form = await readForm(ctx);
      given.csrf.check(ctx, form);
      await handler(ctx, visit, form);
    });
  const leadOn = (ctx: Context, url: string | undefined) => (url ? seeOther(ctx, url) : deps.showEnded(ctx));
  return { deps, visiting, posting, leadOn };
}

export type Handlers = ReturnType<typeof createHandlers>;

function createEndPages(given: LoginDependencies) {
  const pages = createPages(given);
  return (ctx: Context, end: Ended): void => {
    if (end.kind === 'leads_on') seeOther(ctx, end.url);
    else if (end.kind === 'done') given.render(ctx, 'login/done', { back: end.back });
    else {
      const expired = fail('login_expired');
      ctx.status = expired.status;
      pages.error(ctx, expired, { back: end.back });
    }
  };
}
