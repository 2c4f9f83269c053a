/**
 * The website opened from the mini-program, signed in. The address opens a page that posts itself: a GET changes nothing, so whatever
 * looks at addresses beforehand spends nothing (threat B12). Whatever is not as it should be, the person lands on the website and
 * signs in as anybody does: never an error, never as somebody else.
 */
import { recordAudit } from '../audit/audit.ts';
import { isDatabaseAway } from '../database.ts';
import { readForm } from '../http/body.ts';
import { networkOf } from '../http/client-address.ts';
import { contentSecurityPolicy } from '../http/security-headers.ts';
import type { Context } from '../http/server.ts';
import { currentSubject } from '../subjects/subjects.ts';
import { type Deps, seeOther, translatorOf } from './dependencies.ts';
import { type Handover, makePass, passSeconds, readHandover, takeHandover, takePass } from './handover-ticket.ts';
import { proven } from './proven.ts';
import { formTarget, type Visit } from './visit.ts';

const ticketOf = (ctx: Context) => String((ctx as { params?: Record<string, string> }).params?.ticket ?? '');

export async function showHandover(ctx: Context, deps: Deps): Promise<void> {
  ctx.set('Cache-Control', 'no-store');
  const ticket = ticketOf(ctx);
  const handover = await readHandover(deps, ticket);
  if (!handover) return showSpent(ctx, deps);
  // The way leads to the website, to us, and back to the website: Chromium checks all of it against this form's page.
  ctx.set('Content-Security-Policy', contentSecurityPolicy(handover.origins.map((text) => formTarget(new URL(text)))));
  deps.render(ctx, 'login/handover', { action: `/handover/${ticket}`, client: handover.client });
}

function showSpent(ctx: Context, { render }: Deps): void {
  ctx.status = 410;
  render(ctx, 'login/handover', {});
}

export async function enterHandover(ctx: Context, deps: Deps): Promise<void> {
  ctx.set('Cache-Control', 'no-store');
  deps.csrf.check(ctx, await readForm(ctx));
  const handover = await takeHandover(deps, ticketOf(ctx));
  if (!handover) return showSpent(ctx, deps);
  const refused = await refusal(ctx, deps, handover);
  await recordAudit(deps.db, {
    action: refused ? 'handover.refused' : 'handover.entered',
    actor_kind: 'person',
    subject_id: handover.sub,
    client_id: handover.client_id,
    ip: ctx.state.ip,
    request_id: ctx.state.requestId,
    details: { from_client: handover.from_client_id, ...(refused && { reason: refused }) },
  });
  if (!refused && !(await isSignedInAlready(ctx, deps, handover.sub)))
    keepPass(ctx, deps, await makePass(deps, handover));
  seeOther(ctx, handover.url);
}

/** A browser can call itself anything, but the one an address was smuggled into calls itself what it is. */
async function refusal(ctx: Context, { db }: Deps, { sub, network }: Handover): Promise<string | undefined> {
  const agent = ctx.get('user-agent');
  if (!/\bMicroMessenger\b/i.test(agent) || !/\bminiProgram\b/i.test(agent)) return 'not_a_web_view';
  if (networkOf(ctx.state.ip) !== network) return 'other_network';
  const subject = await currentSubject(db, sub);
  return subject?.status === 'active' ? undefined : 'person_gone';
}

/** Another person's session in this web view ends here: left alone, the website would go on as them. */
async function isSignedInAlready(ctx: Context, { oidc: { provider } }: Deps, sub: string): Promise<boolean> {
  try {
    const id = ctx.cookies.get(provider.cookieName('session'), { signed: false });
    const session = id ? await provider.Session.find(id) : undefined;
    if (!session?.accountId) return false;
    if (session.accountId !== sub) await session.destroy();
    return session.accountId === sub;
  } catch (error) {
    throw error instanceof Error && isDatabaseAway(error.cause) ? error.cause : error;
  }
}

const isHttps = ({ config }: Deps) => config.publicUrl.startsWith('https:');
/** `__Host-`: a page of a sibling domain cannot plant its own pass, and so its own identity (threat A31). */
const cookieName = (deps: Deps) => (isHttps(deps) ? '__Host-heyi_handover' : 'heyi_handover');

function keepPass(ctx: Context, deps: Deps, value: string, seconds = passSeconds): void {
  const secure = isHttps(deps) ? '; Secure' : '';
  ctx.append('Set-Cookie', `${cookieName(deps)}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Lax${secure}`);
}

/** Nobody was signed in. Who asks for a fresh sign-in gets a fresh one. */
const plain = new Set(['no_session', 'subject_gone']);

/** Finishes the sign-in for who was handed over to this client, once. False: the person signs in as anybody does. */
export async function finishByHandover(ctx: Context, deps: Deps, visit: Visit): Promise<boolean> {
  const value = ctx.cookies.get(cookieName(deps), { signed: false });
  if (!value || !visit.interaction.prompt.reasons.every((reason) => plain.has(reason))) return false;
  const pass = await takePass(deps, value, visit.client.client_id);
  if (!pass) return false;
  keepPass(ctx, deps, '', 0);
  const subject = await currentSubject(deps.db, pass.sub);
  if (pass.network !== networkOf(ctx.state.ip) || subject?.status !== 'active') return false;
  const masked_to = translatorOf(ctx, deps)('login.scan_who');
  await proven(ctx, deps, visit, { who: { sub: subject.sub, earlier: true }, method: 'handover', masked_to });
  return true;
}
