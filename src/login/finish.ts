/**
 * From a proof to the way back: the subject, the consent, the record, the engine's answer. Somebody who is signed in elsewhere and said
 * there that this browser is theirs (a scan, a handover) comes without a proof and as nobody new.
 *
 *   who ── agreed in this sign-in, or by this person before ──► subject → consent → audit → interaction result → 303
 *    └──── otherwise ──► the page that asks, and then the same
 */
import type Provider from 'oidc-provider';
import { recordAudit } from '../audit/audit.ts';
import type { Clock } from '../clock.ts';
import type { Proof } from '../connectors/contract.ts';
import { hasAgreed, recordConsents } from '../consent/consent.ts';
import type { Database } from '../database.ts';
import { fail } from '../errors.ts';
import { claimHeldEvents } from '../events/jobs.ts';
import type { Context } from '../http/server.ts';
import type { Jobs } from '../jobs.ts';
import type { Logger } from '../log.ts';
import type { Seal } from '../seal.ts';
import { completeProfile } from '../subjects/profile.ts';
import { type Resolution, type ResolveInput, resolveSubject } from '../subjects/resolve.ts';
import { currentSubject, findByIdentity } from '../subjects/subjects.ts';
import { deviceOf } from './device.ts';
import { policyVersion } from './privacy.ts';
import type { Visit } from './visit.ts';

export type FinishDependencies = {
  db: Database;
  seal: Seal;
  clock: Clock;
  log: Logger;
  jobs: Pick<Jobs, 'send'>;
  config: { publicUrl: string };
  oidc: { provider: Provider };
};

/** `earlier`: signed in on the other side some time ago, not for this. */
type Elsewhere = { sub: string; earlier?: true };
/** `quiet`: a number that may have changed hands, proven before. `disown`: its old account was never this person's (rule 6). */
export type Who = { proof: Proof; quiet?: Proof; disown?: true } | Elsewhere;
export type SignIn = { who: Who; method: string };

/** True when this person has agreed to the policy in force, now or earlier, in whichever browser. */
export async function policyIsAgreed({ db, seal }: FinishDependencies, visit: Visit, who: Who): Promise<boolean> {
  if (visit.step.agreement?.version === policyVersion()) return true;
  if ('sub' in who) return hasAgreed(db, who.sub, 'privacy');
  // What the former owner of a number agreed to is nobody else's consent.
  if (who.disown) return false;
  for (const identity of who.proof.identities) {
    const sub = await findByIdentity({ db, seal }, identity);
    if (sub && (await hasAgreed(db, sub, 'privacy'))) return true;
  }
  return false;
}

/**
 * @returns the engine's address that leads on; undefined when the sign-in ended meanwhile in another tab.
 * @throws subject_suspended | second_proof_needed
 */
export async function finishSignIn(
  ctx: Context,
  deps: FinishDependencies,
  visit: Visit,
  { who, method }: SignIn,
): Promise<string | undefined> {
  const { ip, requestId: request_id } = ctx.state;
  const { client_id } = visit.client;
  const channel = visit.client.channel ?? 'website';
  const context = { channel, client_id, ip, request_id };
  const resolution =
    'proof' in who ? await resolveSubject(deps, resolving(ctx, deps, who, context)) : await standing(deps, who.sub);
  if ('proof' in who) await completeProfile(deps.db, resolution.sub, who.proof.profile);
  if (resolution.linked.length) await claimHeldEvents(deps, resolution.sub);
  await keepAgreement(ctx, deps, visit, resolution, channel);
  await recordAudit(deps.db, {
    action: 'subject.signed_in',
    actor_kind: 'person',
    actor_id: resolution.sub,
    subject_id: resolution.sub,
    client_id,
    ip,
    request_id,
    details: { method, channel, is_new: resolution.created },
  });
  await endOtherSession(ctx, deps, resolution.sub);
  const how = 'proof' in who ? { amr: amrOf(who, method) } : elsewhere(deps, who);
  return answer(ctx, deps.oidc.provider, { login: { accountId: resolution.sub, ...how, remember: true } });
}

type Proven = Exclude<Who, Elsewhere>;

function resolving(
  ctx: Context,
  { config }: FinishDependencies,
  { proof, quiet, disown }: Proven,
  context: ResolveInput['context'],
): ResolveInput {
  const device = deviceOf(ctx, { https: config.publicUrl.startsWith('https:') });
  return { proofs: quiet ? [proof, quiet] : [proof], create: true, context, device, disown };
}

/** RFC 8176: a one-time code; by text message it is also "sms". A number that needed a second proof makes two. */
function amrOf({ proof, quiet }: Proven, method: string): string[] {
  const first = proof.amr ?? (method === 'sms' ? bySms : ['otp']);
  return quiet ? [...new Set([...first, ...bySms])] : first;
}
const bySms = ['otp', 'sms'];
/**
 * Also there: more than one channel, and somebody was present at the other one. Who was merely handed over signed in earlier: a client
 * that asks for a fresh sign-in (max_age), as the account page does before it changes anything, asks for one here too.
 */
function elsewhere({ clock }: FinishDependencies, { earlier }: Elsewhere): { amr: string[]; ts?: number } {
  if (!earlier) return { amr: ['mca', 'user'] };
  return { amr: ['mca'], ts: Math.floor(clock.now().getTime() / 1000) - dayAgo };
}
const dayAgo = 86_400;

/** Merged meanwhile, it is the survivor who is the person. @throws subject_suspended */
async function standing({ db }: FinishDependencies, sub: string): Promise<Resolution> {
  const subject = await currentSubject(db, sub);
  if (subject?.status !== 'active') throw fail('subject_suspended');
  return { sub: subject.sub, created: false, linked: [] };
}

/** Hands the interaction's result to the engine; undefined when the interaction is gone. */
export async function answer(
  ctx: Context,
  provider: Provider,
  result: Parameters<Provider['interactionResult']>[2],
  options = { mergeWithLastSubmission: false },
): Promise<string | undefined> {
  try {
    return await provider.interactionResult(ctx.req, ctx.res, result, options);
  } catch (error) {
    if (error instanceof Error && error.name === 'SessionNotFound') return undefined;
    throw error;
  }
}

/** Version, channel, time, address, and the hash of the very text: what proves the consent later (PIPL article 14). */
async function keepAgreement(
  ctx: Context,
  { db }: FinishDependencies,
  { step }: Visit,
  { sub }: Resolution,
  channel: string,
): Promise<void> {
  const { agreement } = step;
  if (agreement?.version !== policyVersion() || (await hasAgreed(db, sub, 'privacy'))) return;
  const { ip, text_hash, at } = agreement;
  await recordConsents(db, {
    subject_id: sub,
    consents: [{ purpose: 'privacy', version: agreement.version }],
    channel,
    evidence: { ip, text_hash, ticked_at: at, request_id: ctx.state.requestId },
  });
}

/**
 * Somebody else was signed in in this browser: their session ends first. Left to itself the engine would show a page that
 * posts itself by an inline script.
 */
async function endOtherSession(ctx: Context, { clock, oidc }: FinishDependencies, sub: string): Promise<void> {
  const interaction = await oidc.provider.interactionDetails(ctx.req, ctx.res).catch(() => undefined);
  const before = interaction?.session;
  if (!interaction || !before || before.accountId === sub) return;
  const session = await oidc.provider.Session.findByUid(before.uid);
  interaction.session = undefined;
  await interaction.save(interaction.exp - Math.floor(clock.now().getTime() / 1000));
  await session?.destroy();
}
