/**
 * Parting two subjects that were merged by mistake. What came from the absorbed one goes back to it, wherever later merges carried it;
 * what was added to the survivor since stays there and is listed. Events were never moved, so each side has its own again.
 *
 * Both sides sign in anew: a browser of one person may hold a session that the other's identity opened.
 */
import type { Knex } from 'knex';
import type { IdentityKind } from '../connectors/contract.ts';
import { inTransaction } from '../database.ts';
import { fail } from '../errors.ts';
import { publish } from '../outbox.ts';
import type { Seal } from '../seal.ts';
import { type Actor, endEverywhere, notify, recordFor, type SendJobs } from './actor.ts';
import { hintOf } from './identity-key.ts';
import { type MergeServices, mergeOf } from './merge.ts';
import {
  type Filled,
  forgetMoves,
  lockMerge,
  type MergeRow,
  markUndone,
  membersOf,
  mergesAbove,
  mergesOfSubjects,
  movedBy,
  readMergeRow,
  removeAlias,
  setFilled,
} from './merge-store.ts';
import {
  type IdentityRow,
  identitiesOfSubject,
  isStaff,
  lockSubjects,
  moveIdentities,
  ownProfile,
  readSubject,
  setProfile,
  setStatus,
  settleCurrent,
} from './store.ts';

type Shown = { id: string; kind: IdentityKind; issuer: string; hint: string };

export type UndoPreview = {
  id: string;
  /** Who stands for the survivor today: not the merge's own survivor when that was merged further. */
  survivor: string;
  absorbed: string;
  merged_at: Date;
  undone_at: Date | null;
  /** Identities that go back to the absorbed one. */
  returned: Shown[];
  /** Identities that were added after the merge and stay with the survivor. */
  stays: Shown[];
  /** Identities that came with the merge and were taken away since: nobody gets them back. */
  gone: number;
};

/** Nothing is changed. @throws not_found */
export async function previewUndo({ db, seal }: { db: Knex; seal: Seal }, merge_id: string): Promise<UndoPreview> {
  const merge = await readMergeRow(db, merge_id);
  if (!merge) throw fail('not_found');
  return planOf({ db, seal }, merge);
}

async function planOf({ db, seal }: { db: Knex; seal: Seal }, merge: MergeRow): Promise<UndoPreview> {
  const root = (await readSubject(db, merge.survivor_id))?.subject_id ?? merge.survivor_id;
  const moved = new Set(await movedBy(db, merge.id));
  const rows = await identitiesOfSubject(db, merge.undone_at ? merge.absorbed_id : root);
  const returned = rows.filter(({ id }) => moved.has(id));
  const shown = (row: IdentityRow): Shown => ({
    id: row.id,
    kind: row.kind,
    issuer: row.issuer,
    hint: hintOf(seal, row),
  });
  const theirs = merge.undone_at ? await identitiesOfSubject(db, root) : rows.filter(({ id }) => !moved.has(id));
  return {
    id: merge.id,
    survivor: root,
    absorbed: merge.absorbed_id,
    merged_at: merge.merged_at,
    undone_at: merge.undone_at,
    returned: returned.map(shown),
    stays: theirs.filter(({ created_at }) => created_at > merge.merged_at).map(shown),
    gone: moved.size - returned.length,
  };
}

/** Repeating it answers the same and changes nothing. @throws not_found | merge_refused when the survivor was deleted */
export async function undoMerge(
  { db, seal, jobs }: MergeServices,
  { merge_id, reason, actor }: { merge_id: string; reason: string; actor: Actor },
): Promise<UndoPreview> {
  return inTransaction(db, async (trx) => {
    const found = await readMergeRow(trx, merge_id);
    if (!found) throw fail('not_found');
    const above = await lockTree(trx, found);
    const merge = await lockMerge(trx, merge_id);
    if (!merge) throw fail('not_found');
    if (merge.undone_at) return planOf({ db: trx, seal }, merge);
    const plan = await planOf({ db: trx, seal }, merge);
    // Deletion outranks the undo log: of somebody who is gone nothing comes back (identity rule 8).
    if ((await readSubject(trx, plan.survivor))?.status === 'deleted')
      throw fail('merge_refused', {
        message: 'The survivor was deleted: there is nothing to give back.',
        fields: { reason: 'deleted' },
      });
    // Their sign-ins end with it: programs leave people of the console alone (threat D17).
    if (actor.actor_kind === 'client' && (await isStaff(trx, [plan.survivor, merge.absorbed_id])))
      throw fail('merge_refused', {
        message: 'One of the two works in the console: it is undone there.',
        fields: { reason: 'staff' },
      });
    await giveBack(trx, merge, plan, above);
    const undone = await markUndone(trx, merge.id, actor, reason);
    await tell({ trx, jobs }, undone, plan, actor, reason);
    return { ...plan, undone_at: undone.undone_at };
  });
}

/** Who stands for the absorbed one can change until it is locked. @returns the later merges that carried it on. */
async function lockTree(trx: Knex.Transaction, merge: MergeRow): Promise<MergeRow[]> {
  for (;;) {
    const path = await mergesAbove(trx, merge.absorbed_id);
    await lockSubjects(trx, [merge.absorbed_id, merge.survivor_id, ...path.map(({ survivor_id }) => survivor_id)]);
    const again = await mergesAbove(trx, merge.absorbed_id);
    if (again.length === path.length) return again.filter(({ id }) => id !== merge.id);
  }
}

async function giveBack(trx: Knex.Transaction, merge: MergeRow, plan: UndoPreview, above: MergeRow[]): Promise<void> {
  const ids = plan.returned.map(({ id }) => id);
  await moveIdentities(trx, { from: plan.survivor, to: merge.absorbed_id, only: ids });
  await forgetMoves(
    trx,
    above.map(({ id }) => id),
    ids,
  );
  await removeAlias(trx, merge);
  await setStatus(trx, merge.absorbed_id, 'active');
  await settleCurrent(trx, [plan.survivor, merge.absorbed_id]);
  for (const field of ['nickname', 'picture', 'locale'] as const) await takeBack(trx, field, [merge, ...above]);
}

/** What the survivor lacked and took over, and whoever took it over from them in turn. */
async function takeBack(trx: Knex.Transaction, field: keyof Filled, [merge, ...above]: MergeRow[]): Promise<void> {
  const value = merge?.filled[field];
  for (const { id, survivor_id, filled } of merge && value ? [merge, ...above] : []) {
    if (filled[field] !== value) return;
    // Changed since by the person: theirs.
    if ((await ownProfile(trx, survivor_id))[field] === value) await setProfile(trx, survivor_id, { [field]: null });
    const { [field]: _, ...rest } = filled;
    if (id !== merge?.id) await setFilled(trx, id, rest);
  }
}

async function tell(
  telling: { trx: Knex.Transaction; jobs: SendJobs },
  merge: MergeRow,
  { survivor, absorbed, returned, stays }: UndoPreview,
  actor: Actor,
  reason: string,
): Promise<void> {
  const { trx } = telling;
  const details = { merge_id: merge.id, survivor, absorbed, reason, returned: returned.length, stays: stays.length };
  for (const subject_id of [survivor, absorbed])
    await recordFor(trx, actor, { action: 'subject.merge_undone', subject_id, details });
  await publish(trx, { topic: 'subject.merge_undone', subject_id: survivor, payload: details });
  await endEverywhere(telling, { sub: survivor, merge_id: merge.id });
  for (const sub of [survivor, absorbed]) await notify(telling, { sub, what: 'merge_undone' });
}

export type ListedMerge = ReturnType<typeof mergeOf> &
  Pick<MergeRow, 'actor_kind' | 'actor_id' | 'case_id' | 'undone_at' | 'undone_by' | 'undo_reason'>;

function listed(row: MergeRow): ListedMerge {
  const { actor_kind, actor_id, case_id, undone_at, undone_by, undo_reason } = row;
  return { ...mergeOf(row), actor_kind, actor_id, case_id, undone_at, undone_by, undo_reason };
}

/** Those this person was part of under any of their subs, newest first, undone ones too. */
export async function mergesOf(db: Knex, sub: string): Promise<ListedMerge[]> {
  return (await mergesOfSubjects(db, await membersOf(db, sub))).map(listed);
}

/** @throws not_found */
export async function readMerge(db: Knex, id: string): Promise<ListedMerge> {
  const row = await readMergeRow(db, id);
  if (!row) throw fail('not_found');
  return listed(row);
}
