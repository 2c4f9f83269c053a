/** Signing in and out at the shop, through Heyi: code flow with PKCE, state and nonce; the account page; the refresh. */
import Router from '@koa/router';
import { fail } from '../../errors.ts';
import type { Context, Middleware, RequestState } from '../../http/server.ts';
import { consentOf, consentParameter } from './consent.ts';
import { ownForm, ownPath } from './forms.ts';
import { maskPhone } from './pages.ts';
import type { Parts } from './parts.ts';
import { isSignInOver, refusalOf } from './provider.ts';
import type { Person, Session } from './sessions.ts';
import { report } from './shop.ts';

/** As the page names it (views/demo/static/tracking.js). */
const visitorCookie = 'shanyu_visitor';

export function signInRoutes(parts: Parts): Router<RequestState> {
  const { pages, sessions, provider, settings } = parts;
  const router = new Router<RequestState>();

  router.get('/sign-in', async (ctx) => {
    const session = sessions.of(ctx);
    const language = pages.languageOf(ctx);
    const started = await atHeyi(() => provider.signIn({ return_to: ownPath(ctx.query.return), language }));
    // A handful of open sign-ins is somebody with many tabs; more is a loop.
    const kept = Object.entries(session.pending).slice(-4);
    session.pending = { ...Object.fromEntries(kept), [started.state]: started.pending };
    sessions.save();
    ctx.redirect(started.url.href);
  });

  router.get('/callback', async (ctx) => {
    const session = sessions.of(ctx);
    const state = String(ctx.query.state ?? '');
    const pending = Object.hasOwn(session.pending, state) ? session.pending[state] : undefined;
    if (!pending) return signInFailed(parts, ctx, 'stale');
    delete session.pending[state];
    try {
      const currentUrl = new URL(ctx.url, settings.url);
      const input = { state, pending, anonymousId: anonymousIdOf(ctx), consents: consentParameter(consentOf(ctx)) };
      session.person = await provider.redeem(currentUrl, input);
    } catch (error) {
      parts.log.info({ err: error }, 'sign-in did not succeed');
      return signInFailed(parts, ctx, refusalOf(error) === 'access_denied' ? 'denied' : 'failed');
    }
    sessions.renew(ctx);
    session.notice = 'signed_in';
    await keepClaims(parts, session.person);
    sessions.save();
    ctx.redirect(pending.return_to);
  });

  router.get('/account', async (ctx) => {
    const session = sessions.of(ctx);
    const { person } = session;
    if (!person) return ctx.redirect('/sign-in?return=/account');
    for (const order of session.orders) await report(parts, session, order);
    const before = person.access_token;
    const claims = await signedIn(parts, ctx, session, () => provider.userinfo(person));
    if (!claims) return;
    sessions.save();
    const renewed = before !== person.access_token;
    const minutes = Math.max(0, Math.round((person.expires_at - parts.clock.now().getTime()) / 60_000));
    pages.render(ctx, 'account', { claims: shown(claims), orders: session.orders, renewed, minutes });
  });

  router.post('/sign-out', async (ctx) => {
    const session = sessions.of(ctx);
    await ownForm(ctx, session);
    const { person } = session;
    sessions.end(ctx);
    sessions.save();
    // A shared computer: whoever comes next is somebody else.
    ctx.cookies.set(visitorCookie, null);
    ctx.status = 303;
    if (!person) return ctx.redirect('/signed-out');
    const target = await provider.signOutUrl(person, pages.languageOf(ctx)).catch(() => undefined);
    // Heyi away: we have forgotten the person, Heyi has not; the page says so.
    ctx.redirect(target?.href ?? '/signed-out?provider=away');
  });

  router.get('/signed-out', (ctx) =>
    pages.render(ctx, 'signed-out', { is_away: ctx.query.provider === 'away' }, { is_signed_out: true }),
  );

  return router;
}

/** Runs before every page of a signed-in person; the page does not wait for it. */
export function keepBound(parts: Parts): Middleware {
  return (ctx, next) => {
    if (ctx.method === 'GET' && ctx.accepts('html')) void bindLate(parts, parts.sessions.of(ctx), anonymousIdOf(ctx));
    return next();
  };
}

async function atHeyi<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw fail('upstream_unavailable', { cause, retryAfterSeconds: 3 });
  }
}

/** Runs work that needs the person's token. A sign-in that Heyi has ended ends here too, with a word about it. */
async function signedIn<T>(parts: Parts, ctx: Context, session: Session, work: () => Promise<T>) {
  try {
    return await work();
  } catch (error) {
    if (!isSignInOver(error)) throw fail('upstream_unavailable', { cause: error, retryAfterSeconds: 3 });
    delete session.person;
    session.notice = 'sign_in_over';
    parts.sessions.save();
    ctx.redirect('/');
  }
}

function signInFailed({ pages, sessions }: Parts, ctx: Context, reason: 'stale' | 'denied' | 'failed'): void {
  sessions.save();
  ctx.status = reason === 'denied' ? 200 : 400;
  pages.render(ctx, 'sign-in-failed', { reason });
}

/** What the corner of the page shows. Signing in does not depend on it. */
async function keepClaims({ provider, log }: Parts, person: Person): Promise<void> {
  try {
    const claims = await provider.userinfo(person);
    if (claims.phone_number) person.phone_number = claims.phone_number;
    if (claims.email) person.email = claims.email;
    if (claims.name) person.name = claims.name;
  } catch (error) {
    log.warn({ err: error }, 'no userinfo');
  }
}

function shown(claims: Record<string, unknown>): [string, string][] {
  return Object.entries(claims).map(([name, value]) => [
    name,
    name === 'phone_number' ? maskPhone(String(value)) : String(value),
  ]);
}

/**
 * The SDK's id of this visitor, there once they consented. A person could plant another one, and would join events to their own record:
 * that is why only events collected with consent and never claimed before are joined, which Heyi decides.
 */
export function anonymousIdOf(ctx: Context): string | undefined {
  const id = ctx.cookies.get(visitorCookie);
  return id && /^[\w-]{8,100}$/.test(id) ? id : undefined;
}

/**
 * The visitor had no id yet when they signed in, so the token request could not name it: it is bound now, the second way Heyi
 * knows: an identify with the server key, with both ids.
 */
async function bindLate({ api, clock, log }: Parts, session: Session, anonymousId: string | undefined) {
  const { person } = session;
  if (!person || !anonymousId || person.anonymous_id === anonymousId) return;
  person.anonymous_id = anonymousId;
  await api
    .send({
      type: 'identify',
      messageId: `bind-${anonymousId}-${person.sub}`.slice(0, 100),
      userId: person.sub,
      anonymousId,
      timestamp: clock.now().toISOString(),
      context: { channel: 'website' },
    })
    .catch((error) => {
      // The next page tries again.
      delete person.anonymous_id;
      log.warn({ err: error }, 'anonymous id not bound');
    });
}
