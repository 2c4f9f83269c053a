/** What the engine reports, as lines of our log: ids and error codes, never a parameter or a token (threat G1). */
import type { KoaContextWithOIDC } from 'oidc-provider';
import type { Logger } from '../log.ts';
import { type Engine, engineEvents } from './engine.ts';
import { isOAuthError } from './oauth-errors.ts';

const refusals = [
  'authorization.error',
  'discovery.error',
  'end_session.error',
  'end_session_confirm.error',
  'end_session_success.error',
  'grant.error',
  'introspection.error',
  'jwks.error',
  'pushed_authorization_request.error',
  'revocation.error',
  'userinfo.error',
];

export function logEngine(provider: Engine, log: Logger): void {
  const events = engineEvents(provider);
  for (const event of refusals) {
    events.on(event, (ctx: KoaContextWithOIDC, error: Error) =>
      log.info({ ...about(ctx), event, ...reason(error) }, 'oidc: refused'),
    );
  }
  events.on('server_error', (ctx: KoaContextWithOIDC, error: Error) =>
    log.error({ ...about(ctx), err: error }, 'oidc: failed'),
  );
  events.on('grant.revoked', (ctx: KoaContextWithOIDC) => log.info(about(ctx), 'oidc: grant ended'));
  // Koa reports here what no handler of the engine caught.
  events.on('error', (error: Error) => log.error({ err: error }, 'oidc: failed outside the engine'));
}

function about(ctx: KoaContextWithOIDC) {
  return { request_id: ctx.state.requestId, path: ctx.path, client_id: ctx.oidc?.client?.clientId };
}

/** `error_detail` is the engine's reason in words of its own: it repeats no value of the request. */
function reason(error: Error) {
  if (!isOAuthError(error)) return { error: error.name };
  const { error: code, error_detail: detail, error_reason } = error;
  return { error: code, detail, error_reason };
}
