/**
 * What a person sees between /authorize and the way back.
 *
 *   /authorize ─► GET /login/:uid ─► POST /login/:uid/:method ─► GET …/:method/verify ─► POST …/:method/verify ─┬─► /authorize/:uid ─► client
 *                  choose, agree       sends the code              type the code            proves             └─► /login/:uid/agree
 *
 * Owns the pages and their order. Proofs are connectors/', people subjects/', tokens and sessions the engine's. A GET changes
 * nothing (threat B12); every POST carries its CSRF field (A30).
 */
import Router from '@koa/router';
import { isDatabaseAway } from '../database.ts';
import { fail } from '../errors.ts';
import { readForm } from '../http/body.ts';
import type { Context, RequestState } from '../http/server.ts';
import { allowClient, showConsent } from './consent.ts';
import {
  type Deps,
  type LoginDependencies,
  type PostHandler,
  seeOther,
  translatorOf,
  type VisitHandler,
} from './dependencies.ts';
import { answer } from './finish.ts';
import { createPages } from './pages.ts';
import { policyPurposes, policySections, policyVersion } from './privacy.ts';
import { showStart, startMethod } from './start.ts';
import { createSteps } from './step.ts';
import { agree, resend, showAgree, showCode, verify } from './verify.ts';
import { type Ended, openVisit, type Visit } from './visit.ts';

export function loginRoutes(given: LoginDependencies): Router<RequestState> {
  const { render, csrf, config } = given;
  const router = new Router<RequestState>();
  const steps = createSteps({ seal: given.seal, publicUrl: config.publicUrl });
  const pages = createPages(given);

  const ended = (ctx: Context, { ...end }: Ended) => {
    if (end.kind === 'leads_on') return seeOther(ctx, end.url);
    if (end.kind === 'done') return render(ctx, 'login/done', { back: end.back });
    const expired = fail('login_expired');
    ctx.status = expired.status;
    pages.error(ctx, expired, { back: end.back });
  };
  const deps: Deps = {
    ...given,
    steps,
    async showEnded(ctx) {
      const back = steps.read(ctx, String(ctx.params.uid))?.back;
      render(ctx, 'login/done', { back });
    },
  };

  const visiting = (handler: VisitHandler) => async (ctx: Context) => {
    ctx.set('Cache-Control', 'no-store');
    try {
      const visit = await openVisit(ctx, deps);
      if ('kind' in visit) return ended(ctx, visit);
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
      csrf.check(ctx, form);
      await handler(ctx, visit, form);
    });
  const leadOn = (ctx: Context, url: string | undefined) => (url ? seeOther(ctx, url) : deps.showEnded(ctx));
  const cancel = async (ctx: Context) => {
    const error_description = 'The person cancelled the sign-in.';
    await leadOn(ctx, await answer(ctx, given.oidc.provider, { error: 'access_denied', error_description }));
  };

  router.get('/', (ctx) =>
    render(ctx, 'home', { sandbox: config.sandbox && { sandbox_url: config.sandboxUrl, demo_url: config.demoUrl } }),
  );
  router.get('/privacy', (ctx) =>
    render(ctx, 'login/privacy', { version: policyVersion(), purposes: policyPurposes(), sections: policySections }),
  );

  router.get(
    '/login/:uid',
    visiting((ctx, visit) => (asksConsent(visit) ? showConsent(ctx, deps, visit) : showStart(ctx, deps, visit))),
  );
  router.post('/login/:uid/cancel', posting(cancel));
  router.post(
    '/login/:uid/consent',
    posting(async (ctx, visit, form) => {
      if (!asksConsent(visit)) return seeOther(ctx, visit.base);
      if (form.decision !== 'allow') return cancel(ctx);
      await leadOn(ctx, await allowClient(ctx, deps, visit));
    }),
  );
  router.get(
    '/login/:uid/agree',
    visiting((ctx, visit) => showAgree(ctx, deps, visit)),
  );
  router.post(
    '/login/:uid/agree',
    posting((ctx, visit, form) => agree(ctx, deps, visit, form)),
  );
  router.post(
    '/login/:uid/:method',
    posting((ctx, visit, form) => startMethod(ctx, deps, visit, form)),
  );
  router.post(
    '/login/:uid/:method/resend',
    posting((ctx, visit) => resend(ctx, deps, visit)),
  );
  router.get(
    '/login/:uid/:method/verify',
    visiting((ctx, visit) => showCode(ctx, deps, visit)),
  );
  router.post(
    '/login/:uid/:method/verify',
    posting((ctx, visit, form) => verify(ctx, deps, visit, form)),
  );
  return router;
}

/** The engine's prompt: who are you, or do you let this client have your data. */
function asksConsent({ interaction }: Visit): boolean {
  return interaction.prompt.name === 'consent';
}
