/**
 * What a person sees between /authorize and the way back.
 *
 *   /authorize ─► GET /login/:uid ─► POST /login/:uid/:method ─► GET …/:method/verify ─► POST …/:method/verify ─┬─► /authorize/:uid ─► client
 *                  choose, agree       sends the code              type the code            proves             └─► /login/:uid/agree
 *                                 └─► somebody else's page ─► its callback ─► GET …/:method/return ─ proves ─► the same
 *
 * Owns the pages and their order. Proofs are connectors/', people subjects/', tokens and sessions the engine's. A GET changes
 * nothing (threat B12), but for the return from another page, which takes the ticket of this browser; every POST carries its CSRF
 * field (A30).
 */
import Router from '@koa/router';
import type { Context, RequestState } from '../http/server.ts';
import { comeBack, leaveOrStay, leftStraight } from './away.ts';
import { allowClient, showConsent } from './consent.ts';
import { type LoginDependencies, type PostHandler, seeOther, type VisitHandler } from './dependencies.ts';
import { answer } from './finish.ts';
import { createHandlers, type Handlers } from './handlers.ts';
import { enterHandover, finishByHandover, showHandover } from './handover.ts';
import { wayCalled } from './methods.ts';
import { policyPurposes, policySections, policyVersion } from './privacy.ts';
import { agree, disown, showAgree } from './proven.ts';
import { startOver } from './quiet.ts';
import { redirectCallback } from './redirect.ts';
import { finishScan, followScan, showPicture, showScan, startScan } from './scan.ts';
import { showStart, startMethod } from './start.ts';
import { resend, showCode, showDelivery, verify } from './verify.ts';
import type { Visit } from './visit.ts';

/** Where providers send browsers back to: one is fixed by WeChat's console, the other is given to each identity provider. */
const callbacks = ['/wechat/:appid/callback', '/upstream/:key/callback'];

export function loginRoutes(given: LoginDependencies): Router<RequestState> {
  const handlers = createHandlers(given);
  const { deps, visiting, posting, leadOn } = handlers;
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

  const begin: VisitHandler = async (ctx, visit) => {
    if (asksConsent(visit)) return showConsent(ctx, deps, visit);
    if (await finishByHandover(ctx, deps, visit)) return;
    if (!(await leftStraight(ctx, deps, visit))) await showStart(ctx, deps, visit);
  };
  const choose: PostHandler = async (ctx, visit, form) => {
    const way = await wayCalled(ctx, deps, visit, String(ctx.params.method));
    if (way.kind === 'redirect') await leaveOrStay(ctx, deps, visit, way);
    else if (way.kind === 'scan') await startScan(ctx, deps, visit, way);
    else await startMethod(ctx, deps, visit, { method: way, form });
  };

  quietPages(router, given);
  for (const path of callbacks) router.get(path, redirectCallback(deps));
  router.get('/handover/:ticket', (ctx) => showHandover(ctx, deps));
  router.post('/handover/:ticket', (ctx) => enterHandover(ctx, deps));
  router.get('/login/:uid', visiting(begin));
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
  secondProof(router, handlers);
  scanPages(router, handlers);
  router.post('/login/:uid/:method', posting(choose));
  router.get(
    '/login/:uid/:method/return',
    visiting((ctx, visit) => comeBack(ctx, deps, visit)),
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

/** A number that may have changed hands: the page itself is the first one, which asks for another proof meanwhile. */
function secondProof(router: Router<RequestState>, { deps, posting }: Handlers): void {
  router.post(
    '/login/:uid/never-mine',
    posting((ctx, visit) => disown(ctx, deps, visit)),
  );
  router.post(
    '/login/:uid/start-over',
    posting((ctx, visit) => startOver(ctx, deps, visit)),
  );
}

/** A mini-program code on a computer's screen. */
function scanPages(router: Router<RequestState>, { deps, visiting, posting }: Handlers): void {
  router.get(
    '/login/:uid/scan',
    visiting((ctx, visit) => showScan(ctx, deps, visit)),
  );
  router.get(
    '/login/:uid/scan/code',
    visiting((ctx, visit) => showPicture(ctx, deps, visit)),
  );
  router.get(
    '/login/:uid/scan/state',
    visiting((ctx, visit) => followScan(ctx, deps, visit)),
  );
  router.post(
    '/login/:uid/scan',
    posting((ctx, visit) => finishScan(ctx, deps, visit)),
  );
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
