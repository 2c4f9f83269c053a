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
import type { Context, RequestState } from '../http/server.ts';
import { allowClient, showConsent } from './consent.ts';
import { type LoginDependencies, type PostHandler, seeOther } from './dependencies.ts';
import { answer } from './finish.ts';
import { createHandlers } from './handlers.ts';
import { policyPurposes, policySections, policyVersion } from './privacy.ts';
import { showStart, startMethod } from './start.ts';
import { agree, resend, showAgree, showCode, showDelivery, verify } from './verify.ts';
import type { Visit } from './visit.ts';

export function loginRoutes(given: LoginDependencies): Router<RequestState> {
  const { deps, visiting, posting, leadOn } = createHandlers(given);
  const router = new Router<RequestState>();

  const cancel = async (ctx: Context) => {
    const error_description = 'The person cancelled the sign-in.';
    await leadOn(ctx, await answer(ctx, given.oidc.provider, { error: 'access_denied', error_description }));
  };
  const decide: PostHandler = async (ctx, visit, form) => {
    if (!asksConsent(visit)) return seeOther(ctx, visit.base);
    if (form.decision !== 'allow') return cancel(ctx);
    await leadOn(ctx, await allowClient(ctx, deps, visit));
  };

  quietPages(router, given);
  router.get(
    '/login/:uid',
    visiting((ctx, visit) => (asksConsent(visit) ? showConsent(ctx, deps, visit) : showStart(ctx, deps, visit))),
  );
  router.post('/login/:uid/cancel', posting(cancel));
  router.post('/login/:uid/consent', posting(decide));
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
    posting((ctx, visit, form) => resend(ctx, deps, visit, form)),
  );
  router.get(
    '/login/:uid/:method/verify',
    visiting((ctx, visit) => showCode(ctx, deps, visit)),
  );
  router.get(
    '/login/:uid/:method/delivery',
    visiting((ctx, visit) => showDelivery(ctx, deps, visit)),
  );
  router.post(
    '/login/:uid/:method/verify',
    posting((ctx, visit, form) => verify(ctx, deps, visit, form)),
  );
  return router;
}

/** The front page and the policy: open to all, no step of a sign-in. */
function quietPages(router: Router<RequestState>, { render, config }: LoginDependencies): void {
  const sandbox = config.sandbox && { sandbox_url: config.sandboxUrl, demo_url: config.demoUrl };
  router.get('/', (ctx) => render(ctx, 'home', { sandbox }));
  router.get('/privacy', (ctx) =>
    render(ctx, 'login/privacy', { version: policyVersion(), purposes: policyPurposes(), sections: policySections }),
  );
}

/** The engine's prompt: who are you, or do you let this client have your data. */
function asksConsent({ interaction }: Visit): boolean {
  return interaction.prompt.name === 'consent';
}
