/**
 * Two subjects found to be one person (identity rules 7 and 8). In one transaction the identities move, the absorbed subject becomes
 * an alias that keeps resolving, and what was done is written down so that undo.ts can take it back. Events do not move: they are
 * read under whoever stands for the sub they were recorded with, so a merge costs the same however much the two have done.
 *
 *   previewMerge ─► mergeSubjects ─► mergeLocked ◄─ resolve.ts (by rule, inside a sign-in)
 *
 * Where both sides have one of a kind and issuer (two phones, two openids of one app), the one that is chosen stays current and the
 * other is put second: it still signs this person in, and is left out of claims and messages.
 */
import type { Knex } from 'knex';
import type { IdentityKind } from '../connectors/contract.ts';
import { inTransaction } from '../database.ts';
import { fail } from '../errors.ts';
import { publish } from '../outbox.ts';
import type { Seal } from '../seal.ts';
import { type Actor, endEverywhere, notify, recordFor, type SendJobs } from './actor.ts';
import { closeCasesBetween } from './case-store.ts';
import { hintOf, isReviewers } from './identity-key.ts';
import {
  addAlias,
  type Basis,
  type Filled,
  insertMerge,
  type MergeRow,
  membersOf,
  recordEffect,
  standingMergeOf,
} from './merge-store.ts';
import {
  type IdentityRow,
  identitiesOfSubject,
  isStaff,
  lockSubjects,
  moveIdentities,
  readSubject,
  type SubjectRow,
  setProfile,
  setStatus,
  supersede,
} from './store.ts';

export type MergeServices = { db: Knex; seal: Seal; jobs: SendJobs };

export type MergeInput = {
  survivor: string;
  absorbed: string;
  reason: string;
  basis: Basis;
  actor: Actor;
  /** Identities that stay current where both sides have one of a kind; unnamed, the survivor's do. */
  keep?: string[];
  case_id?: string;
};

export type Merge = { id: string; survivor: string; absorbed: string; basis: Basis; reason: string; merged_at: Date };

/** Why two subjects cannot be merged, whoever asks. */
export type Refusal =
  | 'unknown_subject'
  | 'same_subject'
  | 'already_absorbed'
  | 'not_active'
  /** Its code is known to others: whoever is merged with it would be open to them. */
  | 'reviewer'
  /** Only an owner of the console merges somebody who works in it. */
  | 'staff';

export type Conflict = {
  kind: IdentityKind;
  issuer: string;
  survivor: { id: string; hint: string }[];
  absorbed: { id: string; hint: string }[];
};

export type Side = Pick<SubjectRow, 'status' | 'created_at' | 'last_sign_in_at' | 'nickname' | 'picture' | 'locale'> & {
  sub: string;
  /** Subs that were merged into this one before. */
  absorbed_before: string[];
  identities: {
    id: string;
    kind: IdentityKind;
    issuer: string;
    hint: string;
    last_used_at: Date;
    is_superseded: boolean;
  }[];
};

export type MergePreview = {
  survivor: Side;
  absorbed: Side;
  /** Identities that come to the survivor. */
  moves: Side['identities'];
  conflicts: Conflict[];
  /** What the survivor lacks and takes over. */
  fills: Filled;
  refusal: Refusal | undefined;
};

/** Nothing is changed. @throws not_found for a sub that was never issued */
export async function previewMerge(
  { db, seal }: Pick<MergeServices, 'db' | 'seal'>,
  { survivor, absorbed }: { survivor: string; absorbed: string },
): Promise<MergePreview> {
  const [into, from] = [await side({ db, seal }, survivor), await side({ db, seal }, absorbed)];
  const [ours, theirs] = [await identitiesOfSubject(db, survivor), await identitiesOfSubject(db, absorbed)];
  return {
    survivor: into,
    absorbed: from,
    moves: from.identities,
    conflicts: conflictsOf(ours, theirs).map(({ kind, issuer, ...sides }) => ({
      kind,
      issuer,
      survivor: sides.ours.map((row) => ({ id: row.id, hint: hintOf(seal, row) })),
      absorbed: sides.theirs.map((row) => ({ id: row.id, hint: hintOf(seal, row) })),
    })),
    fills: fillsOf(into, from),
    refusal: await refusalOf(db, survivor, absorbed),
  };
}

async function side({ db, seal }: { db: Knex; seal: Seal }, sub: string): Promise<Side> {
  const row = await readSubject(db, sub);
  if (!row) throw fail('not_found');
  const identities = await identitiesOfSubject(db, sub);
  const { status, created_at, last_sign_in_at, nickname, picture, locale } = row;
  return {
    sub,
    status: row.subject_id === sub ? status : 'absorbed',
    created_at,
    last_sign_in_at,
    nickname,
    picture,
    locale,
    absorbed_before: (await membersOf(db, sub)).filter((member) => member !== sub),
    identities: identities.map((identity) => ({
      id: identity.id,
      kind: identity.kind,
      issuer: identity.issuer,
      hint: hintOf(seal, identity),
      last_used_at: identity.last_used_at,
      is_superseded: identity.superseded_at !== null,
    })),
  };
}

type Contested = { kind: IdentityKind; issuer: string; ours: IdentityRow[]; theirs: IdentityRow[] };

/** What both sides have one of, leaving out what an earlier merge put second. */
export function conflictsOf(ours: IdentityRow[], theirs: IdentityRow[]): Contested[] {
  const current = (rows: IdentityRow[]) => rows.filter(({ superseded_at }) => superseded_at === null);
  return [...Map.groupBy(current(theirs), ({ kind, issuer }) => `${kind} ${issuer}`).values()].flatMap((of) => {
    const [first] = of;
    const same = first && current(ours).filter(({ kind, issuer }) => kind === first.kind && issuer === first.issuer);
    return first && same?.length ? [{ kind: first.kind, issuer: first.issuer, ours: same, theirs: of }] : [];
  });
}

/** Undefined when they may be merged. Staff people are refused here too: whoever may merge them says so by `allowStaff`. */
export async function refusalOf(db: Knex, survivor: string, absorbed: string): Promise<Refusal | undefined> {
  if (survivor === absorbed) return 'same_subject';
  for (const sub of [survivor, absorbed]) {
    const row = await readSubject(db, sub);
    if (!row) return 'unknown_subject';
    if (row.subject_id !== sub) return 'already_absorbed';
    // A suspended person would come back through the other's account; a deleted one never does.
    if (row.status !== 'active') return 'not_active';
    if (isReviewers(await identitiesOfSubject(db, sub))) return 'reviewer';
  }
  const members = [...(await membersOf(db, survivor)), ...(await membersOf(db, absorbed))];
  return (await isStaff(db, members)) ? 'staff' : undefined;
}

/** Where nobody chooses: who holds a verified phone or e-mail stays, else the older one (rule 7; subs are UUIDv7: the smaller). */
export async function survivorOf(
  db: Knex,
  one: string,
  other: string,
): Promise<{ survivor: string; absorbed: string }> {
  const isReachable = async (sub: string) =>
    (await identitiesOfSubject(db, sub)).some(({ kind }) => kind === 'phone' || kind === 'email');
  const [first, second] = [await isReachable(one), await isReachable(other)];
  const oneStays = first === second ? one < other : first;
  return oneStays ? { survivor: one, absorbed: other } : { survivor: other, absorbed: one };
}

const sentences: Record<Refusal, string> = {
  unknown_subject: 'One of the two was never issued.',
  same_subject: 'A subject cannot be merged with itself.',
  already_absorbed: 'One of the two was merged into another subject already; merge that one, or undo first.',
  not_active: 'Only active subjects are merged.',
  reviewer: 'One of the two is the account of a reviewer, whose code others know: it is merged with nobody.',
  staff: 'One of the two works in the console: only an owner may merge them.',
};

/**
 * Repeating it answers with the first merge (threat D16). @throws merge_refused
 * `allowStaff` is said by the console for an owner.
 */
export async function mergeSubjects(
  { db, seal, jobs }: MergeServices,
  input: MergeInput & { allowStaff?: boolean },
): Promise<Merge> {
  return inTransaction(db, async (trx) => {
    await lockSubjects(trx, [input.survivor, input.absorbed]);
    const done = await standingMergeOf(trx, input.absorbed);
    if (done?.survivor_id === input.survivor) return mergeOf(done);
    const refusal = await refusalOf(trx, input.survivor, input.absorbed);
    if (refusal && !(refusal === 'staff' && input.allowStaff))
      throw fail('merge_refused', { message: sentences[refusal], fields: { reason: refusal } });
    return mergeOf(await mergeLocked({ trx, seal, jobs }, input));
  });
}

export function mergeOf({ id, survivor_id, absorbed_id, basis, reason, merged_at }: MergeRow): Merge {
  return { id, survivor: survivor_id, absorbed: absorbed_id, basis, reason, merged_at };
}

/** Both rows are locked, and nothing refuses. */
export async function mergeLocked(
  { trx, jobs }: { trx: Knex.Transaction; seal: Seal; jobs: SendJobs },
  { survivor, absorbed, reason, basis, actor, keep = [], case_id }: MergeInput,
): Promise<MergeRow> {
  const [into, from] = [await standing(trx, survivor), await standing(trx, absorbed)];
  const conflicts = conflictsOf(await identitiesOfSubject(trx, survivor), await identitiesOfSubject(trx, absorbed));
  const members = { ours: await membersOf(trx, survivor), theirs: await membersOf(trx, absorbed) };
  const filled = fillsOf(into, from);
  const merge = await insertMerge(trx, {
    survivor_id: survivor,
    absorbed_id: absorbed,
    basis,
    reason,
    actor_kind: actor.actor_kind,
    actor_id: actor.actor_id ?? null,
    case_id: case_id ?? null,
    filled,
  });
  await recordEffect(trx, merge.id, 'moved', await moveIdentities(trx, { from: absorbed, to: survivor }));
  const second = conflicts.flatMap((conflict) => putSecond(conflict, keep));
  await supersede(trx, second);
  await recordEffect(trx, merge.id, 'superseded', second);
  await setProfile(trx, survivor, filled);
  await addAlias(trx, merge);
  await setStatus(trx, absorbed, 'absorbed');
  const decided_by = `${actor.actor_kind} ${actor.actor_id ?? ''}`.trim();
  await closeCasesBetween(trx, { ...members, survivor_id: survivor, merge_id: merge.id, decided_by });
  await tell({ trx, jobs }, merge, actor);
  return merge;
}

async function standing(trx: Knex, sub: string): Promise<SubjectRow> {
  const row = await readSubject(trx, sub);
  if (!row) throw fail('not_found');
  return row;
}

function fillsOf(into: ProfileOf, from: ProfileOf): Filled {
  return {
    ...(!into.nickname && from.nickname && { nickname: from.nickname }),
    ...(!into.picture && from.picture && { picture: from.picture }),
    ...(!into.locale && from.locale && { locale: from.locale }),
  };
}

type ProfileOf = Pick<SubjectRow, 'nickname' | 'picture' | 'locale'>;

/** One side stays current: that of the one that was chosen, else the survivor's. What each side had before stays as it was. */
function putSecond({ ours, theirs }: Contested, keep: string[]): string[] {
  const isChosen = ({ id }: IdentityRow) => keep.includes(id);
  const second = theirs.some(isChosen) && !ours.some(isChosen) ? ours : theirs;
  return second.map(({ id }) => id);
}

async function tell(telling: { trx: Knex.Transaction; jobs: SendJobs }, merge: MergeRow, actor: Actor): Promise<void> {
  const { trx } = telling;
  const { id, survivor_id, absorbed_id, basis, reason } = merge;
  const details = { merge_id: id, survivor: survivor_id, absorbed: absorbed_id, basis, reason };
  for (const subject_id of [survivor_id, absorbed_id])
    await recordFor(trx, actor, { action: 'subject.merged', subject_id, details });
  await publish(trx, { topic: 'subject.merged', subject_id: survivor_id, payload: details });
  // Nobody is signed in as the absorbed one from the commit on; its clients are told first, then its sessions and grants go.
  await endEverywhere(telling, { sub: absorbed_id, merge_id: id });
  await notify(telling, { sub: survivor_id, what: 'merged' });
}
