/**
 * OpenID Connect Back-Channel Logout 1.0 at the shop: Heyi says that somebody's session has ended elsewhere (their account was merged
 * into another, say), and the shop forgets its own. The token is checked as section 2.6 asks.
 */
import Router from '@koa/router';
import { createRemoteJWKSet, type JWTPayload, jwtVerify } from 'jose';
import { readForm } from '../../http/body.ts';
import type { RequestState } from '../../http/server.ts';
import type { Parts } from './parts.ts';

const event = 'http://schemas.openid.net/event/backchannel-logout';

export function backchannelRoutes({ settings, sessions, log }: Parts): Router<RequestState> {
  const router = new Router<RequestState>();
  const keys = createRemoteJWKSet(new URL(`${settings.issuer}/jwks`));

  router.post('/backchannel-logout', async (ctx) => {
    ctx.set('Cache-Control', 'no-store');
    const { logout_token = '' } = await readForm(ctx);
    const claims = await jwtVerify(logout_token, keys, {
      issuer: settings.issuer,
      audience: settings.clientId,
      typ: 'logout+jwt',
      requiredClaims: ['iat', 'exp', 'jti', 'sub'],
    }).then(
      ({ payload }) => payload,
      () => undefined,
    );
    if (!claims || !isLogout(claims)) {
      ctx.status = 400;
      ctx.body = { error: 'invalid_request' };
      return;
    }
    const ended = sessions.endOf(String(claims.sub));
    sessions.save();
    log.info({ ended }, 'signed out by Heyi');
    ctx.status = 200;
    ctx.body = '';
  });
  return router;
}

function isLogout({ events, nonce }: JWTPayload): boolean {
  return nonce === undefined && typeof events === 'object' && events !== null && Object.hasOwn(events, event);
}
