/** One thing that happens in a history, done by whichever process it is given to. Everything in it can be sent to another process. */
import type { Identity, Proof } from '../../src/connectors/contract.ts';
import { recordConsents } from '../../src/consent/consent.ts';
import type { Database } from '../../src/database.ts';
import { AppError } from '../../src/errors.ts';
import { storeOnce } from '../../src/events/store-once.ts';
import { createSeal } from '../../src/seal.ts';
import { decideCase } from '../../src/subjects/cases.ts';
import { keyOf } from '../../src/subjects/identity-key.ts';
import { linkProof, unlinkIdentity } from '../../src/subjects/link.ts';
import { mergeSubjects } from '../../src/subjects/merge.ts';
import { type ResolveInput, resolveSubject } from '../../src/subjects/resolve.ts';
import { undoMerge } from '../../src/subjects/undo.ts';
import { noJobs } from '../helpers/jobs.ts';

export type Step =
  | { does: 'sign in'; channel: string; proofs: [Proof, ...Proof[]]; device?: string }
  /** The number was quiet for long; whoever has it now says whether the old account is theirs. */
  | { does: 'quiet number'; channel: string; phone: Identity; device?: string; disown: boolean }
  | { does: 'link'; sub: string; proof: Proof; replace: boolean }
  | { does: 'unlink'; sub: string; identity_id: string }
  | { does: 'merge'; survivor: string; absorbed: string; keep: string[] }
  | { does: 'undo'; merge_id: string }
  | { does: 'decide'; case_id: string; decision: 'merge' | 'dismiss' }
  | { does: 'event'; sub: string; message_id: string }
  | { does: 'consent'; sub: string; purpose: 'profiling' | 'marketing'; is_granted: boolean }
  | { does: 'suspend' | 'reinstate'; sub: string };

/** A refusal is an answer; anything else that is thrown is a fault of ours. */
export type Outcome = { done: unknown } | { refused: string } | { broke: string };

export const seal = createSeal('a secret of at least thirty-two characters');
const staff = { actor_kind: 'staff' as const, actor_id: 'somebody' };

export async function take(db: Database, step: Step): Promise<Outcome> {
  try {
    return { done: (await act(db, step)) ?? null };
  } catch (error) {
    if (error instanceof AppError) return { refused: error.code };
    return { broke: error instanceof Error ? `${error.message}\n${error.stack}` : String(error) };
  }
}

async function act(db: Database, step: Step): Promise<unknown> {
  const services = { db, seal, jobs: noJobs };
  const person = (sub: string) => ({ actor_kind: 'person' as const, actor_id: sub });
  switch (step.does) {
    case 'sign in':
      return resolveSubject(services, signIn(step, step.proofs));
    case 'quiet number':
      await beQuiet(db, step.phone);
      return resolveSubject(services, {
        ...signIn(step, [{ connector: 'sms', identities: [step.phone] }]),
        disown: step.disown,
      });
    case 'link':
      return linkProof(services, { ...step, actor: person(step.sub) });
    case 'unlink':
      return unlinkIdentity(services, { ...step, actor: person(step.sub) });
    case 'merge':
      return mergeSubjects(services, { ...step, reason: 'one person', basis: 'staff', actor: staff });
    case 'undo':
      return undoMerge(services, { ...step, reason: 'two people', actor: staff });
    case 'decide':
      return decideCase(services, { ...step, id: step.case_id, reason: 'looked at', actor: staff });
    case 'event':
      return record(db, step);
    case 'consent':
      return recordConsents(db, {
        subject_id: step.sub,
        consents: [{ purpose: step.purpose, version: '1' }],
        is_granted: step.is_granted,
        channel: 'website',
        evidence: {},
      });
    case 'suspend':
      return db('subjects').where({ id: step.sub, status: 'active' }).update({ status: 'suspended' });
    case 'reinstate':
      return db('subjects').where({ id: step.sub, status: 'suspended' }).update({ status: 'active' });
  }
}

function signIn({ channel, device }: { channel: string; device?: string }, proofs: [Proof, ...Proof[]]): ResolveInput {
  return { proofs, create: true, context: { channel }, device };
}

async function beQuiet(db: Database, phone: Identity): Promise<void> {
  const { kind, issuer, lookup } = keyOf(seal, phone);
  await db('identities')
    .where({ kind, issuer, lookup })
    .update({ last_used_at: db.raw(`now() - interval '100 days'`) });
}

/** Through the one statement that makes events durable, under any sub that was ever issued. */
async function record(db: Database, { sub, message_id }: { sub: string; message_id: string }): Promise<void> {
  const received_at = new Date();
  const row = {
    id: message_id,
    received_at,
    source_id: 1,
    timestamp: received_at.getTime(),
    original_timestamp: null,
    subject_id: sub,
    counts: true,
    is_attributable: true,
    message_id,
    type: 'track',
    event: 'page_viewed',
    original_event: null,
    channel: 'website',
    trust: 'token' as const,
    anonymous_id: null,
    claimed_user_id: null,
    consents: ['service'],
    properties: {},
    context: {},
  };
  await storeOnce(db, [row]);
}
