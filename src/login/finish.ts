/**
 * From a proof to the way back: the subject, the consent, the record, the engine's answer.
 *
 *   proof ── agreed in this sign-in, or by this person before ──► subject → consent → audit → interaction result → 303
 *     └───── otherwise ──► the page that asks, and then the same
 */
import type Provider from 'oidc-provider';
import { recordAudit } from '../audit/audit.ts';
import type { Clock } from '../clock.ts';
import type { Proof } from '../connectors/contract.ts';
import { hasAgreed, recordConsents } from '../consent/consent.ts';
import type { Database } from '../database.ts';
import { claimHeldEvents } from '../events/jobs.ts';
import type { Context } from '../http/server.ts';
import type { Logger } from '../log.ts';
import type { Seal } from '../seal.ts';
import { type Resolution, resolveSubject } from '../subjects/resolve.ts';
import { findByIdentity } from '../subjects/subjects.ts';
import { policyVersion } from './privacy.ts';
import type { Visit } from './visit.ts';

export type FinishDependencies = { db: Database; seal: Seal; clock: Clock; log: Logger; oidc: { provider: Provider } };

/** True when this person has agreed to the policy in force, now or earlier, in whichever browser. */
export async function policyIsAgreed({ db, seal }: FinishDependencies, visit: Visit, proof: Proof): Promise<boolean> {
  if (visit.step.agreement?.version === policyVersion()) return true;
  const [identity] = proof.identities;
  const sub = identity && (await findByIdentity({ db, seal }, identity));
  return sub !== undefined && (await hasAgreed(db, sub, 'privacy'));
}

/**
 * @returns the engine's address that leads on; undefined when the sign-in ended meanwhile in another tab.
 * @throws subject_suspended
 */
export async function finishSignIn(
  ctx: Context,
  deps: FinishDependencies,
  visit: Visit,
  { proof, method }: { proof: Proof; method: string },
): Promise<string | undefined> {
  const { ip, requestId: request_id } = ctx.state;
  const { client_id } = visit.client;
  const channel = visit.client.channel ?? 'website';
  const resolution = await resolveSubject(deps, {
    proofs: [proof],
    create: true,
    context: { channel, client_id, ip, request_id },
  });
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
  // RFC 8176: a one-time code; by text message it is also "sms".
  const amr = method === 'sms' ? ['otp', 'sms'] : ['otp'];
  return answer(ctx, deps.oidc.provider, { login: { accountId: resolution.sub, amr, remember: true } });
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
