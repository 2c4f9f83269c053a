/**
 * An identity that another subject holds, proven on the account page: what the person says about that other account.
 *
 * "Both accounts are mine": on the account page, or with a link of the website in the mini-program, a person has just proven an identity that another subject holds. They see what would
 * come together and say so; what contradicts makes it a case for staff instead (identity rule 7). Never by itself.
 */
import type { Knex } from 'knex';
import type { Proof } from '../connectors/contract.ts';
import { inTransaction } from '../database.ts';
import type { Seal } from '../seal.ts';
import { type Actor, recordFor } from './actor.ts';
import { openCase } from './case-store.ts';
import { type Contradiction, contradictionsBetween } from './contradictions.ts';
import { detach } from './identities.ts';
import { keyOf } from './identity-key.ts';
import { linkProof } from './link.ts';
import {
  type Merge,
  type MergePreview,
  type MergeServices,
  mergeLocked,
  mergeOf,
  previewMerge,
  survivorOf,
} from './merge.ts';
import { findOwners, lockIdentities, lockSubjects, type OwnedIdentity, readSubject } from './store.ts';

export type JoinInput = { sub: string /** Proven by the person in this very step. */; proof: Proof };

export type JoinPreview = { preview: MergePreview; contradictions: Contradiction[] };

/** Undefined when nothing of what was proven is another standing subject's (any more). */
export async function previewJoin(
  { db, seal }: { db: Knex; seal: Seal },
  input: JoinInput,
): Promise<JoinPreview | undefined> {
  const owner = await ownerOf(db, seal, input);
  if (!owner) return undefined;
  const sides = await survivorOf(db, input.sub, owner.subject_id);
  const contradictions = await contradictionsOf(db, input, owner);
  return { preview: await previewMerge({ db, seal }, sides), contradictions };
}

/** Who else holds some of it, as long as the one who asks still stands: of a double click the second finds them absorbed. */
async function ownerOf(db: Knex, seal: Seal, { sub, proof }: JoinInput): Promise<OwnedIdentity | undefined> {
  const standing = await readSubject(db, sub);
  if (standing?.subject_id !== sub || standing.status !== 'active') return undefined;
  const keys = proof.identities.map((identity) => keyOf(seal, identity));
  return (await findOwners(db, keys)).find(({ subject_id }) => subject_id !== sub);
}

/** A number that was quiet for long may be somebody else's by now (rule 6): staff look at it, whichever browser it is. */
async function contradictionsOf(db: Knex, { sub }: JoinInput, owner: OwnedIdentity): Promise<Contradiction[]> {
  const found = await contradictionsBetween(db, sub, owner.subject_id);
  return owner.is_quiet ? [...found, { reason: 'quiet_number' as const }] : found;
}

export type Joined = { kind: 'merged'; merge: Merge } | { kind: 'case'; case_id: string } | { kind: 'over' };

/** Decided anew under the locks: what the person saw may have changed since. */
export async function joinProven(
  { db, seal, jobs }: MergeServices,
  { reason = 'asked_by_person', ...input }: JoinInput & { actor: Actor; reason?: string },
): Promise<Joined> {
  const keys = input.proof.identities.map((identity) => keyOf(seal, identity));
  return inTransaction(db, async (trx) => {
    await lockIdentities(trx, keys);
    const held = await ownerOf(trx, seal, input);
    if (!held) return { kind: 'over' };
    await lockSubjects(trx, [input.sub, held.subject_id]);
    const owner = await ownerOf(trx, seal, input);
    if (owner?.subject_id !== held.subject_id) return { kind: 'over' };
    const contradictions = await contradictionsOf(trx, input, owner);
    if (contradictions.length) return { kind: 'case', case_id: await askStaff(trx, input, owner, contradictions) };
    const sides = await survivorOf(trx, input.sub, owner.subject_id);
    const merge = await mergeLocked({ trx, seal, jobs }, { ...sides, reason, basis: 'person', actor: input.actor });
    return { kind: 'merged', merge: mergeOf(merge) };
  });
}

async function askStaff(
  trx: Knex.Transaction,
  { sub, proof, actor }: JoinInput & { actor: Actor },
  { kind, issuer, lookup, subject_id: other_subject_id }: OwnedIdentity,
  contradictions: Contradiction[],
): Promise<string> {
  const reason = 'asked_by_person';
  const evidence = { proven: proof.identities.map((identity) => identity.kind), channel: 'website', contradictions };
  const found = { kind, issuer, lookup, reason, subject_id: sub, other_subject_id, evidence };
  const { id, is_new } = await openCase(trx, found);
  const details = { case_id: id, other_subject_id, kind, reason };
  if (is_new) await recordFor(trx, actor, { action: 'link_case.opened', subject_id: sub, details });
  return id;
}

/** Whether the number that was proven may have changed hands: only then can the account that has it be somebody else's. */
export async function isQuietNumber({ db, seal }: { db: Knex; seal: Seal }, input: JoinInput): Promise<boolean> {
  return (await ownerOf(db, seal, input))?.is_quiet === true;
}

/** The old account keeps everything else, and is told (threat B18). False when it is no such number (any more). */
export async function takeQuietNumber(
  { db, seal, jobs }: MergeServices,
  input: JoinInput & { actor: Actor; replace: boolean },
): Promise<boolean> {
  const keys = input.proof.identities.map((identity) => keyOf(seal, identity));
  return inTransaction(db, async (trx) => {
    await lockIdentities(trx, keys);
    const held = await ownerOf(trx, seal, input);
    if (!held) return false;
    await lockSubjects(trx, [input.sub, held.subject_id]);
    const owner = await ownerOf(trx, seal, input);
    if (!owner?.is_quiet || owner.subject_id !== held.subject_id) return false;
    const actor: Actor = { ...input.actor, actor_kind: 'system', actor_id: 'number changed hands' };
    const former = { sub: owner.subject_id, identity_id: owner.id, actor, what: 'phone_detached' as const };
    await detach({ trx, seal, jobs }, former);
    await linkProof({ db: trx, seal, jobs }, input);
    return true;
  });
}
