/**
 * The way into the console and who stands in it: an OpenID client of ourselves (`heyi-admin`), so staff sign in as everybody does and a
 * role decides what opens.
 *
 *   any page ─► sign in ─► /admin/callback ─► that page
 *
 * Whoever has to prove who they are in the middle of a form finds it as they had filled it in.
 */
import type { Database } from '../database.ts';
import type { OwnSession } from '../http/own-session.ts';
import { createSealedCookie } from '../http/sealed-cookie.ts';
import type { Context } from '../http/server.ts';
import { browserSession } from '../oidc/browser-session.ts';
import { createSelfClient, registerSelfClient } from '../oidc/self-client.ts';
import type { Seal } from '../seal.ts';
import { currentSubject } from '../subjects/subjects.ts';
import type { AdminDependencies } from './dependencies.ts';
import type { Role } from './permissions.ts';
import { endSession, isOpen, openSession } from './sessions.ts';
import { acceptEmailInvitations, acceptInvitation, roleOf } from './staff.ts';

export const adminClientId = 'heyi-admin';
const registration = { client_id: adminClientId, path: '/admin' };

/** At every start: PUBLIC_URL may have changed. */
export async function seedAdminClient(services: { db: Database; seal: Seal }, publicUrl: string): Promise<void> {
  await registerSelfClient(services, publicUrl, { ...registration, methods: ['email', 'sms'] });
}

/** What somebody had typed, on which page. */
type Draft = { sub: string; to: string; fields: Record<string, string> };

/** Carried through a sign-in: the page that was wanted and what was typed there, or the first administrator's link. */
type Carried = { to?: string; draft?: Draft; invitation?: string };

/** Somebody signed in here. Without a role they are shown that they have none. */
export type Visitor = { sub: string; role: Role | undefined; session: OwnSession };

/** ASVS 7.5, threat D21: what cannot be taken back easily asks for a proof that is not older. */
const freshSeconds = 300;
const draftSeconds = 900;
/** A browser keeps 4 kB of a cookie, and what is sealed grows by a third. What is longer has to be typed again. */
const longestDraft = 2_000;

export type Door = ReturnType<typeof createDoor>;

export function createDoor(deps: AdminDependencies) {
  const { db, seal, clock, publicUrl } = deps;
  const self = createSelfClient<Carried>(deps, { ...registration, cookie: 'heyi_admin' });
  const drafts = createSealedCookie<Draft>(
    { seal, clock, https: publicUrl.startsWith('https:') },
    { name: 'heyi_admin_draft', path: registration.path },
  );

  /**
   * By a code that was sent to them, here or at one of our websites. What a scan, a handover or another provider says of somebody is enough
   * for a shop: whoever holds the token of a mini-program must not stand in the console with it.
   */
  async function hasProven(ctx: Context, sub: string): Promise<boolean> {
    const browser = await browserSession(deps.oidc.provider, ctx);
    return browser?.sub === sub && browser.amr.includes('otp');
  }

  async function leave(ctx: Context): Promise<void> {
    const session = self.readSession(ctx);
    if (session) await endSession(deps, session.id);
    self.clearSession(ctx);
  }
  return {
    leave,
    startSignIn: self.startSignIn,
    /** Undefined: sign in first. */
    async visitor(ctx: Context): Promise<Visitor | undefined> {
      const session = self.readSession(ctx);
      if (!session || !(await isOpen(deps, { ...session, ip: ctx.state.ip }))) return undefined;
      const subject = await currentSubject(db, session.sub);
      // Of somebody who was merged into another meanwhile the session is nobody's.
      if (subject?.status !== 'active' || subject.sub !== session.sub) return undefined;
      return { sub: subject.sub, role: await roleOf(db, subject.sub), session };
    },
    isFresh: ({ auth_time }: OwnSession): boolean => clock.now().getTime() / 1000 - auth_time <= freshSeconds,
    /** They prove once more who they are, and come back to `to` with what they had typed there. */
    proveAgain(ctx: Context, { sub, to, fields: { csrf: _, ...fields } }: Draft): Promise<void> {
      const isKept = Object.keys(fields).length > 0 && Buffer.byteLength(JSON.stringify(fields)) <= longestDraft;
      const carried = { to, ...(isKept && { draft: { sub, to, fields } }) };
      return self.startSignIn(ctx, { carried, max_age: freshSeconds });
    },
    /** What was typed on this page before; once. */
    takeDraft(ctx: Context, to: string): Draft['fields'] {
      const draft = drafts.read(ctx);
      if (draft?.to !== to) return {};
      drafts.clear(ctx);
      return draft.fields;
    },
    renew: self.renewSession,
    /** @throws login_expired | not_found for a link that was used meanwhile */
    async finishSignIn(ctx: Context): Promise<void> {
      const proven = await self.finishSignIn(ctx);
      if (!proven) return ctx.redirect('/admin');
      const { sub, carried = {} } = proven;
      if (!(await hasProven(ctx, sub))) return self.startSignIn(ctx, { carried, max_age: 0 });
      if (carried.invitation !== undefined) await acceptInvitation({ db, seal }, carried.invitation, sub);
      await acceptEmailInvitations({ db, seal }, sub);
      await leave(ctx);
      await openSession(deps, { ...self.beginSession(ctx, proven), ip: ctx.state.ip });
      // What one person typed is not shown to another who signs in at the same desk.
      if (carried.draft?.sub === sub) drafts.write(ctx, carried.draft, draftSeconds);
      ctx.redirect(ownPage(carried.to));
    },
  };
}

/** It comes back in a cookie that only we can read and is checked all the same (threat E9). */
export function ownPage(path: string | undefined): string {
  return path && /^\/admin(?:[/?][\w\-./?=&%:+,~]*)?$/.test(path) ? path : '/admin';
}
