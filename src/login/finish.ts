/**
 * From a proof to the way back: the subject, the consent, the record, the engine's answer. Somebody who is signed in elsewhere and said
 * there that this browser is theirs (a scan, a hand-over) comes without a proof and as nobody new.
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
import { type Resolution, resolveSubject } from '../subjects/resolve.ts';
import { currentSubject, findByIdentity } from '../subjects/subjects.ts';
import { policyVersion } from './privacy.ts';
import type { Visit } from './visit.ts';

export type FinishDependencies = {
  db: Database;
  seal: Seal;
  clock: Clock;
  log: Logger;
  jobs: Pick<Jobs, 'send'>;
  oidc: { provider: Provider };
};

export type Who = { proof: Proof } | { sub: string };
export type SignIn = { who: Who; method: string };

/** True when this person has agreed to the policy in force, now or earlier, in whichever browser. */
export async function policyIsAgreed({ db, seal }: FinishDependencies, visit: Visit, who: Who): Promise<boolean> {
  if (visit.step.agreement?.version === policyVersion()) return true;
  if ('sub' in who) return hasAgreed(db, who.sub, 'privacy');
  for (const identity of who.proof.identities) {
    const sub = await findByIdentity({ db, seal }, identity);
    if (sub && (await hasAgreed(db, sub, 'privacy'))) return true;
  }
  return false;
}

/**
 * @returns the engine's address that leads on; undefined when the sign-in ended meanwhile in another tab.
 * @throws subject_suspended
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
    'proof' in who
      ? await resolveSubject(deps, { proofs: [who.proof], create: true, context })
      : await standing(deps, who.sub);
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
  const amr = 'proof' in who ? (who.proof.amr ?? amrOf[method] ?? ['otp']) : elsewhere;
  return answer(ctx, deps.oidc.provider, { login: { accountId: resolution.sub, amr, remember: true } });
}

/** RFC 8176: a one-time code; by text message it is also "sms". */
const amrOf: Record<string, string[]> = { sms: ['otp', 'sms'] };
/** Also there: more than one channel, and somebody was present at the other one. */
const elsewhere = ['mca', 'user'];

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
