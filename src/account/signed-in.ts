/** Where a person is signed in: browsers, and the applications that were given access; and the end of it. */

import { recordAudit } from '../audit/audit.ts';
import { fail } from '../errors.ts';
import type { Context } from '../http/server.ts';
import { seeOther } from '../login/dependencies.ts';
import { browserSessionsOf, endGrantOf, endOthersOf, endSessionOf, grantsOf } from '../oidc/grants.ts';
import type { AccountDependencies } from './dependencies.ts';
import { accountClientId, type Visit } from './visit.ts';

export async function signedInOf(deps: AccountDependencies, { sub, browser }: Visit) {
  const sessions = await browserSessionsOf(deps.db, sub);
  const grants = (await grantsOf(deps, sub)).filter(({ client_id }) => client_id !== accountClientId);
  const apps = [];
  for (const { grant_id, client_id, created_at, last_used_at } of grants) {
    const client = await deps.oidc.loginClient(client_id);
    apps.push({ grant_id, name: client?.name ?? client_id, created_at, last_used_at });
  }
  return {
    browsers: sessions.map(({ uid, created_at }) => ({ uid, created_at, is_this: uid === browser.uid })),
    apps,
  };
}

export async function endBrowser(ctx: Context, deps: AccountDependencies, visit: Visit): Promise<void> {
  const uid = String(ctx.params.uid);
  if (uid === visit.browser.uid) throw fail('bad_request', { message: 'Sign out to end this one.' });
  if (!(await endSessionOf(deps, { sub: visit.sub, uid }))) throw fail('not_found');
  await ended(ctx, deps, visit, 'browser');
}

export async function endApp(ctx: Context, deps: AccountDependencies, visit: Visit): Promise<void> {
  if (!(await endGrantOf(deps, { sub: visit.sub, grant_id: String(ctx.params.id) }))) throw fail('not_found');
  await ended(ctx, deps, visit, 'application');
}

export async function endOthers(ctx: Context, deps: AccountDependencies, visit: Visit): Promise<void> {
  await endOthersOf(deps, { sub: visit.sub, uid: visit.browser.uid });
  await ended(ctx, deps, visit, 'all_others');
}

async function ended(ctx: Context, { db }: AccountDependencies, { sub, actor }: Visit, what: string): Promise<void> {
  await recordAudit(db, { ...actor, action: 'session.ended', subject_id: sub, details: { what } });
  seeOther(ctx, '/account?note=ended');
}
