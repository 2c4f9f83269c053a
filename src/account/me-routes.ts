/**
 * The person's own API under /me: what an application does for the person whose token it holds. Browsers may call it from the pages of
 * our public clients; it knows no cookie, so no other page can (threats A41, G10).
 */
import Router from '@koa/router';
import { type MountOptions, mountRoutes } from '../http/routes.ts';
import type { RequestState } from '../http/server.ts';
import type { Cors } from '../oidc/cors.ts';
import { handoverRoutes } from './handovers.ts';
import type { MeServices } from './me.ts';
import { meProfileRoutes } from './me-profile.ts';
import { miniprogramLinkRoutes } from './miniprogram-links.ts';
import { signInRoutes } from './sign-ins.ts';

const prefix = '/me';

export type MeOptions = MeServices & Pick<MountOptions<MeServices>, 'log' | 'authenticate'> & { cors: Cors };

export function meRoutes({ cors, log, authenticate, ...services }: MeOptions): Router<RequestState> {
  const router = new Router<RequestState>();
  router.all(`${prefix}/{*path}`, async (ctx, next) => {
    if (ctx.method === 'OPTIONS') return cors.preflight(ctx);
    await cors.settle(ctx);
    await next();
  });
  const routes = [...meProfileRoutes, ...signInRoutes, ...handoverRoutes, ...miniprogramLinkRoutes];
  router.use(mountRoutes(routes, { prefix, services, log, authenticate, callers: 'people' }).routes());
  return router;
}
