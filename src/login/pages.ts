/**
 * Pages that are no step of a sign-in: errors (ours and the engine's), signing out. Made before the engine, which is given them.
 */
import type { KoaContextWithOIDC } from 'oidc-provider';
import { type AppError, fail } from '../errors.ts';
import type { I18n, Translate } from '../http/i18n.ts';
import type { Render } from '../http/render.ts';
import { contentSecurityPolicy } from '../http/security-headers.ts';
import type { Context } from '../http/server.ts';
import type { EnginePages } from '../oidc/configuration.ts';
import type { WayBack } from './step.ts';
import { formTarget } from './visit.ts';
import { duration } from './wait.ts';

export type Pages = EnginePages & {
  error(ctx: Context, error: AppError, extra?: { back?: WayBack | undefined }): void;
};

export function createPages({ render, i18n }: { render: Render; i18n: I18n }): Pages {
  const translatorOf = (ctx: Context) => i18n.translator(i18n.languageOf(ctx));
  const error: Pages['error'] = (ctx, thrown, { back } = {}) => {
    const t = translatorOf(ctx);
    const seconds = thrown.retryAfterSeconds;
    render(ctx, 'error', {
      // As a heading, without its full stop.
      sentence: t(`errors.${thrown.code}`).replace(/[。.]$/, ''),
      help: helpFor(t, thrown.code),
      wait: seconds ? duration(t, seconds) : undefined,
      back: back ?? ctx.state.wayBack,
      request_id: requestId(ctx),
    });
  };
  return {
    error,
    renderError(engineContext, out, cause) {
      const ctx = ours(engineContext);
      // The person stayed away too long, or opened the address in another browser: no fault of the application.
      if (cause.name === 'SessionNotFound') return error(ctx, fail('login_expired'));
      if (ctx.status >= 500) return error(ctx, fail('internal'));
      const t = translatorOf(ctx);
      render(ctx, 'error', {
        sentence: t('error.app_heading'),
        help: t('error.app_lead'),
        detail: { code: out.error.slice(0, 100), description: out.error_description?.slice(0, 300) },
        request_id: requestId(ctx),
      });
    },
    renderLogout(engineContext) {
      const ctx = ours(engineContext);
      const { session, client, params } = engineContext.oidc;
      const target = params?.post_logout_redirect_uri;
      if (typeof target === 'string') widenFormAction(ctx, new URL(target));
      render(ctx, 'logout', {
        action: engineContext.oidc.urlFor('end_session_confirm'),
        xsrf: session?.state?.secret,
        client: client && (client.clientName ?? client.clientId),
      });
    },
    renderLogoutDone(engineContext) {
      const { client } = engineContext.oidc;
      render(ours(engineContext), 'logout-done', { client: client && (client.clientName ?? client.clientId) });
    },
    settle,
  };
}

/**
 * What the engine writes by itself. Signing out with nobody signed in needs no page that posts itself by an inline script; and a
 * page that posts to the client (response_mode=form_post) may do so.
 */
function settle(ctx: KoaContextWithOIDC): void {
  const { oidc } = ctx;
  if (oidc?.route === 'end_session' && ctx.status === 200 && !oidc.session?.accountId) {
    // Undefined unless the engine found it registered for this client (threat A36).
    const { post_logout_redirect_uri: target, state } = oidc.params ?? {};
    const url = new URL(typeof target === 'string' ? target : oidc.urlFor('end_session_success'));
    if (typeof target === 'string' && typeof state === 'string') url.searchParams.set('state', state);
    ctx.status = 303;
    ctx.redirect(url.href);
    return;
  }
  const target = oidc?.params?.redirect_uri;
  if (oidc?.redirectUriCheckPerformed && typeof target === 'string' && ctx.response.is('html'))
    widenFormAction(ours(ctx), new URL(target));
}

/** Keeps what the engine added to the policy: the hash of its own script. */
function widenFormAction(ctx: Context, url: URL): void {
  const policy = ctx.response.get('Content-Security-Policy') || contentSecurityPolicy();
  ctx.set('Content-Security-Policy', policy.replace(/form-action 'self'/, `form-action 'self' ${formTarget(url)}`));
}

/** The engine is a Koa application too; its contexts differ in type only. */
function ours(ctx: KoaContextWithOIDC): Context {
  return ctx as unknown as Context;
}

function requestId(ctx: Context): string {
  return String(ctx.response.get('X-Request-Id'));
}

function helpFor(t: Translate, code: string): string {
  const key = `what_next.${code}`;
  const sentence = t(key);
  return sentence === key ? t('what_next.default') : sentence;
}
