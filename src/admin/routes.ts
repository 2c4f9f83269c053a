/**
 * The staff console's door: it is an OpenID client of ourselves (`heyi-admin`), so staff sign in as everybody does and a role
 * decides what opens.
 *
 *   /admin/setup/{token}  the one-time link → agree → sign in → owner
 *   /admin                → sign in → /admin/callback → the console
 */
import Router from '@koa/router';
import type { Database } from '../database.ts';
import { fail } from '../errors.ts';
import { readForm } from '../http/body.ts';
import type { Csrf } from '../http/csrf.ts';
import type { Render } from '../http/render.ts';
import type { RequestState } from '../http/server.ts';
import { createSelfClient, registerSelfClient, type SelfClientDependencies } from '../oidc/self-client.ts';
import type { Seal } from '../seal.ts';
import { currentSubject } from '../subjects/subjects.ts';
import { acceptEmailInvitations, acceptInvitation, isInvitation, roleOf } from './staff.ts';

const adminClientId = 'heyi-admin';

/** At every start: PUBLIC_URL may have changed. */
export async function seedAdminClient(services: { db: Database; seal: Seal }, publicUrl: string): Promise<void> {
  await registerSelfClient(services, publicUrl, {
    client_id: adminClientId,
    path: '/admin',
    methods: ['email', 'sms'],
  });
}

export type AdminDependencies = SelfClientDependencies & { db: Database; csrf: Csrf; render: Render };

export function adminRoutes(deps: AdminDependencies): Router<RequestState> {
  const { db, seal, csrf, render } = deps;
  const router = new Router<RequestState>();
  // The role is read anew at each request; what is carried through a sign-in is the invitation.
  const self = createSelfClient<string>(deps, { client_id: adminClientId, path: '/admin', cookie: 'heyi_admin' });

  router.get('/admin/setup/:token', async (ctx) => {
    const valid = await isInvitation({ db, seal }, String(ctx.params.token));
    if (!valid) ctx.status = 404;
    render(ctx, 'admin/setup', { valid });
  });

  // The link itself changes nothing when opened: mail scanners and previews open links too (threat B12).
  router.post('/admin/setup/:token', async (ctx) => {
    csrf.check(ctx, await readForm(ctx));
    const token = String(ctx.params.token);
    if (!(await isInvitation({ db, seal }, token))) throw fail('not_found');
    await self.startSignIn(ctx, { carried: token });
  });

  router.get('/admin', async (ctx) => {
    const session = self.readSession(ctx);
    const standing = session && (await currentSubject(db, session.sub));
    if (standing?.status !== 'active') return self.startSignIn(ctx);
    const role = await roleOf(db, standing.sub);
    if (!role) ctx.status = 403;
    else self.renewSession(ctx);
    render(ctx, 'admin/home', { role, sub: standing.sub });
  });

  router.get('/admin/callback', async (ctx) => {
    const proven = await self.finishSignIn(ctx);
    if (!proven) return ctx.redirect('/admin');
    const { sub, carried: invitation } = proven;
    if (invitation) await acceptInvitation({ db, seal }, invitation, sub);
    await acceptEmailInvitations({ db, seal }, sub);
    self.beginSession(ctx, proven);
    ctx.redirect('/admin');
  });

  router.post('/admin/sign-out', async (ctx) => {
    csrf.check(ctx, await readForm(ctx));
    self.clearSession(ctx);
    ctx.status = 303;
    ctx.redirect(`/logout?client_id=${adminClientId}`);
  });
  return router;
}
