/** Table link_cases: two subjects that something speaks for, or against, being one person. */
import type { Knex } from 'knex';
import type { IdentityKey } from './store.ts';

export type CaseStatus = 'open' | 'merged' | 'dismissed';
export type CaseEvidence = {
  /** Kinds that were proven in the one sign-in. */
  proven?: string[];
  channel?: string;
  client_id?: string;
  /** Why no rule joined them. */
  contradictions?: { reason: string; kind?: string; issuer?: string }[];
};
export type CaseRow = {
  id: string;
  status: CaseStatus;
  reason: string;
  subject_id: string;
  other_subject_id: string;
  identity_kind: IdentityKey['kind'];
  identity_issuer: string;
  identity_lookup: string;
  times_seen: number;
  opened_at: Date;
  last_seen_at: Date;
  decided_at: Date | null;
  decided_by: string | null;
  decision_reason: string | null;
  survivor_id: string | null;
  merge_id: string | null;
  evidence: CaseEvidence;
};

export type NewCase = {
  reason: string;
  subject_id: string;
  other_subject_id: string;
  evidence: CaseEvidence;
} & IdentityKey;

/** One open case per pair and kind of identity: the next sign-in with the same contradiction counts up instead of piling up. */
export async function openCase(trx: Knex, found: NewCase): Promise<{ id: string; is_new: boolean }> {
  const { rows } = await trx.raw(
    `insert into link_cases (reason, subject_id, other_subject_id, identity_kind, identity_issuer, identity_lookup, evidence)
     values (?, ?, ?, ?, ?, ?, ?)
     on conflict (subject_id, other_subject_id, identity_kind, identity_issuer) where status = 'open'
     do update set times_seen = link_cases.times_seen + 1, last_seen_at = now(), evidence = excluded.evidence,
                   identity_lookup = excluded.identity_lookup
     returning id, times_seen = 1 as is_new`,
    [
      found.reason,
      found.subject_id,
      found.other_subject_id,
      found.kind,
      found.issuer,
      found.lookup,
      JSON.stringify(found.evidence),
    ],
  );
  return rows[0];
}

/** Staff said "two people" about this very evidence: the next sign-in with it asks nobody again. */
export async function wasDismissed(trx: Knex, found: NewCase): Promise<boolean> {
  const { rowCount } = await trx.raw(
    `select from link_cases
      where status = 'dismissed' and identity_kind = :kind and identity_issuer = :issuer and identity_lookup = :lookup
        and ((subject_id = :subject_id and other_subject_id = :other_subject_id)
          or (subject_id = :other_subject_id and other_subject_id = :subject_id))
      limit 1`,
    { ...found, evidence: null },
  );
  return rowCount > 0;
}

/** Whether staff called any two of these subs two people. */
export async function areSeparate(trx: Knex, ours: string[], theirs: string[]): Promise<boolean> {
  const { rowCount } = await trx.raw(
    `select from link_cases
      where status = 'dismissed'
        and ((subject_id = any (:ours::uuid[]) and other_subject_id = any (:theirs::uuid[]))
          or (subject_id = any (:theirs::uuid[]) and other_subject_id = any (:ours::uuid[])))
      limit 1`,
    { ours, theirs },
  );
  return rowCount > 0;
}

export async function readCaseRow(db: Knex, id: string): Promise<CaseRow | undefined> {
  return db('link_cases').where({ id }).first();
}

export async function lockCase(trx: Knex.Transaction, id: string): Promise<CaseRow | undefined> {
  return trx('link_cases').where({ id }).forUpdate().first();
}

type Decision = Partial<Pick<CaseRow, 'status' | 'decided_by' | 'decision_reason' | 'survivor_id' | 'merge_id'>>;

export async function decideRow(trx: Knex, id: string, decision: Decision): Promise<void> {
  await trx('link_cases')
    .where({ id })
    .update({ ...decision, decided_at: trx.fn.now() });
}

/** A merge answers every open question between the two, however it came about. */
export async function closeCasesBetween(
  trx: Knex,
  {
    ours,
    theirs,
    ...decision
  }: { ours: string[]; theirs: string[]; survivor_id: string; merge_id: string; decided_by: string },
): Promise<void> {
  await trx('link_cases')
    .where({ status: 'open' })
    .andWhere((pair) =>
      pair
        .where((q) => q.whereIn('subject_id', ours).whereIn('other_subject_id', theirs))
        .orWhere((q) => q.whereIn('subject_id', theirs).whereIn('other_subject_id', ours)),
    )
    .update({ status: 'merged', ...decision, decided_at: trx.fn.now() });
}

export type CasePage = {
  status?: CaseStatus | undefined;
  before?: { last_seen_at: string; id: string } | undefined;
  limit: number;
};

/** The queue, newest first. */
export async function casePage(db: Knex, { status, before, limit }: CasePage): Promise<CaseRow[]> {
  const query = db('link_cases')
    .select('*')
    .orderBy([
      { column: 'last_seen_at', order: 'desc' },
      { column: 'id', order: 'desc' },
    ])
    .limit(limit);
  if (status) query.where({ status });
  if (before) query.whereRaw('(last_seen_at, id) < (?::timestamptz, ?::uuid)', [before.last_seen_at, before.id]);
  return query;
}

export async function casesOfSubjects(db: Knex, subs: string[]): Promise<CaseRow[]> {
  return db('link_cases')
    .where((q) => q.whereIn('subject_id', subs).orWhereIn('other_subject_id', subs))
    .orderBy([
      { column: 'last_seen_at', order: 'desc' },
      { column: 'id', order: 'desc' },
    ])
    .limit(100);
}
