/**
 * The queue of link cases: two subjects of whom one sign-in proved identities, where something spoke against joining them by rule.
 * Staff look at the evidence and say "one person" (they are merged) or "two people" (no rule asks again).
 */
import type { Knex } from 'knex';
import { inTransaction } from '../database.ts';
import { fail } from '../errors.ts';
import { type Actor, recordFor } from './actor.ts';
import {
  type CaseRow,
  type CaseStatus,
  casePage,
  casesOfSubjects,
  decideRow,
  lockCase,
  readCaseRow,
} from './case-store.ts';
import { subjectsOnSameDevices } from './devices.ts';
import { type Merge, type MergeServices, mergeOf, mergeSubjects } from './merge.ts';
import { membersOf, readMergeRow } from './merge-store.ts';
import { currentSubs } from './store.ts';

/** Without the identity itself: its kind and issuer say what was proven. */
export type Case = Omit<CaseRow, 'identity_lookup'> & {
  /** Who stands for the two today. */
  current: { subject: string; other: string };
};

async function casesFrom(db: Knex, rows: CaseRow[]): Promise<Case[]> {
  const current = await currentSubs(
    db,
    rows.flatMap(({ subject_id, other_subject_id }) => [subject_id, other_subject_id]),
  );
  const today = (sub: string) => current.get(sub) ?? sub;
  return rows.map(({ identity_lookup: _, ...row }) => ({
    ...row,
    current: { subject: today(row.subject_id), other: today(row.other_subject_id) },
  }));
}

async function caseOf(db: Knex, row: CaseRow): Promise<Case> {
  const [found] = await casesFrom(db, [row]);
  if (!found) throw fail('not_found');
  return found;
}

export type CaseCursor = { last_seen_at: string; id: string };

/** Newest first. `next` is null on the last page. */
export async function listCases(
  db: Knex,
  { status, before, limit }: { status?: CaseStatus | undefined; before?: CaseCursor | undefined; limit: number },
): Promise<{ cases: Case[]; next: CaseCursor | null }> {
  const rows = await casePage(db, { status, before, limit: limit + 1 });
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  const more = rows.length > limit && last;
  const cases = await casesFrom(db, page);
  return { cases, next: more ? { last_seen_at: last.last_seen_at.toISOString(), id: last.id } : null };
}

/** @throws not_found */
export async function readCase(db: Knex, id: string): Promise<Case> {
  const row = await readCaseRow(db, id);
  if (!row) throw fail('not_found');
  return caseOf(db, row);
}

/** Those this person is in, under any of their subs. */
export async function casesOf(db: Knex, sub: string): Promise<Case[]> {
  return casesFrom(db, await casesOfSubjects(db, await membersOf(db, sub)));
}

export type Decision = {
  id: string;
  decision: 'merge' | 'dismiss';
  /** Of a merge; unnamed, the one who had signed in. */
  survivor?: string | undefined;
  reason: string;
  keep?: string[] | undefined;
  actor: Actor;
  allowStaff?: boolean;
};

/** The same decision again answers the same. @throws not_found | case_decided | merge_refused */
export async function decideCase(services: MergeServices, decision: Decision): Promise<{ case: Case; merge?: Merge }> {
  return inTransaction(services.db, async (trx) => {
    const row = await lockCase(trx, decision.id);
    if (!row) throw fail('not_found');
    const wanted = decision.decision === 'merge' ? 'merged' : 'dismissed';
    if (row.status !== 'open' && row.status !== wanted) throw fail('case_decided');
    if (row.status !== 'open') return { case: await caseOf(trx, row), ...(await decidedMerge(trx, row)) };
    const merge = wanted === 'merged' ? await mergeCase({ ...services, db: trx }, row, decision) : undefined;
    await close(trx, row, decision, merge);
    return { case: await readCase(trx, row.id), ...(merge && { merge }) };
  });
}

/** Not merged again: it may have been undone meanwhile, and a repeated request must not bring it back. */
async function decidedMerge(trx: Knex, { merge_id }: CaseRow): Promise<{ merge?: Merge }> {
  const row = merge_id ? await readMergeRow(trx, merge_id) : undefined;
  return row ? { merge: mergeOf(row) } : {};
}

async function mergeCase(services: MergeServices, row: CaseRow, decision: Decision): Promise<Merge> {
  const { current } = await caseOf(services.db, row);
  const survivor = decision.survivor ?? current.subject;
  if (survivor !== current.subject && survivor !== current.other)
    throw fail('invalid_fields', { fields: { survivor: 'is one of the two subjects of the case' } });
  const absorbed = survivor === current.subject ? current.other : current.subject;
  const { reason, keep, actor, allowStaff } = decision;
  const basis = { reason, basis: 'staff' as const, actor, case_id: row.id };
  return mergeSubjects(services, {
    survivor,
    absorbed,
    ...basis,
    ...(keep && { keep }),
    ...(allowStaff && { allowStaff }),
  });
}

async function close(trx: Knex.Transaction, row: CaseRow, { reason, actor }: Decision, merge?: Merge): Promise<void> {
  const decided_by = `${actor.actor_kind} ${actor.actor_id ?? ''}`.trim();
  const outcome = merge
    ? { status: 'merged' as const, survivor_id: merge.survivor, merge_id: merge.id }
    : { status: 'dismissed' as const };
  await decideRow(trx, row.id, { ...outcome, decided_by, decision_reason: reason });
  const details = { case_id: row.id, decision: outcome.status, other_subject_id: row.other_subject_id, reason };
  await recordFor(trx, actor, { action: 'link_case.decided', subject_id: row.subject_id, details });
}

/** Subjects that signed in from one of this person's devices: suggestions for staff, never a reason for a rule. */
export async function relatedSubjects(db: Knex, sub: string) {
  return subjectsOnSameDevices(db, await membersOf(db, sub));
}
