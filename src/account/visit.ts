/**
 * One request to the account page: who it is, and how freshly they proved it.
 *
 * The session is the page's own (a sealed cookie of 30 idle minutes) and stands only as long as the person is signed in to us in this
 * very browser: it ends with a sign-out, with "end all others" pressed elsewhere, and with a merge (threat D4).
 */
import { createHash } from 'node:crypto';
import type { OwnSession } from '../http/own-session.ts';
import type { Context } from '../http/server.ts';
import { type BrowserSession, browserSession } from '../oidc/browser-session.ts';
import { createSelfClient, registerSelfClient, type SelfClient } from '../oidc/self-client.ts';
import type { Actor } from '../subjects/actor.ts';
import { currentSubject, identitiesOf, type SubjectIdentity } from '../subjects/subjects.ts';
import type { AccountDependencies } from './dependencies.ts';

export const accountClientId = 'heyi-account';
const registration = { client_id: accountClientId, path: '/account' };

/** At every start: PUBLIC_URL may have changed. */
export async function seedAccountClient({ db, seal }: Pick<AccountDependencies, 'db' | 'seal'>, publicUrl: string) {
  await registerSelfClient({ db, seal }, publicUrl, { ...registration, methods: [] });
}

/** Where the person was going, and as whom. */
type Carried = { to: string; sub?: string };
export type AccountClient = SelfClient<Carried>;

export function createAccountClient(deps: AccountDependencies): AccountClient {
  return createSelfClient<Carried>(deps, { ...registration, cookie: 'heyi_account' });
}

export type Visit = {
  sub: string;
  session: OwnSession;
  browser: BrowserSession;
  identities: SubjectIdentity[];
  /** Another one after any change of what the person can sign in with: what was under way before is void (threat D6). */
  stamp: string;
  actor: Actor;
};

/** Undefined: sign in first. */
export async function openVisit(
  ctx: Context,
  deps: AccountDependencies,
  client: AccountClient,
): Promise<Visit | undefined> {
  const session = client.readSession(ctx);
  const browser = session && (await browserSession(deps.oidc.provider, ctx));
  if (!session || browser?.sub !== session.sub) return undefined;
  const { sub } = session;
  const subject = await currentSubject(deps.db, sub);
  if (subject?.status !== 'active' || subject.sub !== sub) return undefined;
  const identities = await identitiesOf(deps, sub);
  const { ip, requestId: request_id } = ctx.state;
  const actor = { actor_kind: 'person' as const, actor_id: sub, client_id: accountClientId, ip, request_id };
  return { sub, session, browser, identities, stamp: stampOf(sub, identities), actor };
}

function stampOf(sub: string, identities: { id: string }[]): string {
  const ids = identities.map(({ id }) => id).sort();
  return createHash('sha256')
    .update([sub, ...ids].join(' '))
    .digest('base64url');
}

/** ASVS 7.5: what changes the account asks for a proof that is not older. */
export const freshSeconds = 300;

/**
 * A computer that was signed in by confirming on the phone shows that somebody has the phone's session, which a stolen token of the
 * mini-program has too: who can be asked for a code is asked for one.
 */
export function isFresh(
  { clock }: Pick<AccountDependencies, 'clock'>,
  { session, browser, identities }: Pick<Visit, 'session' | 'browser' | 'identities'>,
): boolean {
  return clock.now().getTime() / 1000 - session.auth_time <= freshSeconds && !provesTooLittle({ browser, identities });
}

export function provesTooLittle({ browser, identities }: Pick<Visit, 'browser' | 'identities'>): boolean {
  return browser.amr.includes('mca') && identities.some(({ kind }) => kind === 'phone' || kind === 'email');
}

/** Sign-ins note when an identity was used every ten minutes at most. */
const noticedWithin = 600;

/**
 * Whether the fresh sign-in was by this very identity. By what the engine says was used (RFC 8176), and, as there can be two of a
 * kind after a merge, by when it was used.
 */
export function isProvenBy(
  deps: Pick<AccountDependencies, 'clock'>,
  visit: Visit,
  { kind, last_used_at }: SubjectIdentity,
): boolean {
  const { amr, auth_time } = visit.browser;
  return (
    isFresh(deps, visit) &&
    familyUsed(amr) === familyOf(kind) &&
    last_used_at.getTime() / 1000 >= auth_time - noticedWithin
  );
}

export type Family = 'phone' | 'email' | 'wechat' | 'oidc' | 'member_no';

export function familyOf(kind: SubjectIdentity['kind']): Family {
  return kind === 'wechat_openid' || kind === 'wechat_unionid' ? 'wechat' : kind;
}

function familyUsed(amr: string[]): Family | undefined {
  if (amr.includes('wechat')) return 'wechat';
  if (amr.includes('sms')) return 'phone';
  if (amr.includes('federated')) return 'oidc';
  return amr.includes('otp') ? 'email' : undefined;
}
