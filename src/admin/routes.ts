/**
 * What is mounted below /admin. The pages are in the file of their noun; what stands before each of them is console.ts, and the way in
 * is door.ts.
 *
 *   /admin/setup/{token}  the one-time link → agree → sign in → owner
 */
import Router from '@koa/router';
import { fail } from '../errors.ts';
import { catalogueReader } from '../events/catalogue.ts';
import { readForm } from '../http/body.ts';
import type { RequestState } from '../http/server.ts';
import { auditRoutes } from './audit-pages.ts';
import { caseRoutes } from './cases.ts';
import { type AdminRoute, mountConsole } from './console.ts';
import type { AdminDependencies } from './dependencies.ts';
import { adminClientId, createDoor } from './door.ts';
import { catalogueRoutes } from './event-catalogue.ts';
import { eventRoutes } from './events.ts';
import { homeRoutes } from './home.ts';
import { linkRoutes } from './links.ts';
import { mergeRoutes } from './merges.ts';
import { personRoutes } from './people.ts';
import { searchRoutes } from './search.ts';
import { segmentBuilderRoutes } from './segment-builder.ts';
import { segmentRoutes } from './segments.ts';
import { isInvitation } from './staff.ts';
import { staffRoutes } from './staff-pages.ts';
import { writeKeyRoutes } from './write-keys.ts';

/** Every page of the console; test/admin/permissions.test.ts walks all of them in every role. */
export const consoleRoutes: AdminRoute[] = [
  ...homeRoutes,
  ...searchRoutes,
  ...personRoutes,
  ...linkRoutes,
  ...mergeRoutes,
  ...caseRoutes,
  ...segmentRoutes,
  ...segmentBuilderRoutes,
  ...eventRoutes,
  ...catalogueRoutes,
  ...writeKeyRoutes,
  ...staffRoutes,
  ...auditRoutes,
];

export function adminRoutes(given: Omit<AdminDependencies, 'readCatalogue'>): Router<RequestState> {
  const deps: AdminDependencies = { ...given, readCatalogue: catalogueReader(given) };
  const { csrf, render } = deps;
  const router = new Router<RequestState>({ strict: true, sensitive: true });
  const door = createDoor(deps);

  router.get('/admin/setup/:token', async (ctx) => {
    const valid = await isInvitation(deps, String(ctx.params.token));
    if (!valid) ctx.status = 404;
    render(ctx, 'admin/setup', { valid });
  });

  // The link itself changes nothing when opened: mail scanners and previews open links too (threat B12).
  router.post('/admin/setup/:token', async (ctx) => {
    csrf.check(ctx, await readForm(ctx));
    const token = String(ctx.params.token);
    if (!(await isInvitation(deps, token))) throw fail('not_found');
    await door.startSignIn(ctx, { carried: { invitation: token } });
  });

  router.get('/admin/callback', async (ctx) => {
    await door.finishSignIn(ctx);
  });

  router.post('/admin/sign-out', async (ctx) => {
    csrf.check(ctx, await readForm(ctx));
    await door.leave(ctx);
    ctx.status = 303;
    ctx.redirect(`/logout?client_id=${adminClientId}`);
  });

  mountConsole(router, consoleRoutes, { deps, door });
  return router;
}
