/** Tables merges, merge_identities and subject_aliases: which subjects were found to be one, and what it takes to part them. */
import type { Knex } from 'knex';
import type { Actor } from './actor.ts';

export type Basis = 'rule' | 'person' | 'staff';
export type Filled = { nickname?: string; picture?: string; locale?: string };
export type MergeRow = {
  id: string;
  survivor_id: string;
  absorbed_id: string;
  basis: Basis;
  reason: string;
  actor_kind: Actor['actor_kind'];
  actor_id: string | null;
  case_id: string | null;
  filled: Filled;
  merged_at: Date;
  undone_at: Date | null;
  undone_by_kind: string | null;
  undone_by: string | null;
  undo_reason: string | null;
};

type NewMerge = Pick<
  MergeRow,
  'survivor_id' | 'absorbed_id' | 'basis' | 'reason' | 'actor_kind' | 'actor_id' | 'case_id' | 'filled'
>;

export async function insertMerge(trx: Knex, merge: NewMerge): Promise<MergeRow> {
  const [row] = await trx('merges')
    .insert({ ...merge, filled: JSON.stringify(merge.filled), merged_at: trx.raw('clock_timestamp()') })
    .returning('*');
  return row;
}

export async function readMergeRow(db: Knex, id: string): Promise<MergeRow | undefined> {
  return db('merges').where({ id }).first();
}

export async function lockMerge(trx: Knex.Transaction, id: string): Promise<MergeRow | undefined> {
  return trx('merges').where({ id }).forUpdate().first();
}

export async function markUndone(trx: Knex, id: string, actor: Actor, reason: string): Promise<MergeRow> {
  const [row] = await trx('merges')
    .where({ id })
    .update({
      undone_at: trx.fn.now(),
      undone_by_kind: actor.actor_kind,
      undone_by: actor.actor_id ?? null,
      undo_reason: reason,
    })
    .returning('*');
  return row;
}

/** The merge by which this subject is not itself today. */
export async function standingMergeOf(db: Knex, absorbed_id: string): Promise<MergeRow | undefined> {
  return db('merges').where({ absorbed_id }).whereNull('undone_at').first();
}

export async function mergesOfSubjects(db: Knex, subs: string[]): Promise<MergeRow[]> {
  return db('merges')
    .where((q) => q.whereIn('survivor_id', subs).orWhereIn('absorbed_id', subs))
    .orderBy([
      { column: 'merged_at', order: 'desc' },
      { column: 'id', order: 'desc' },
    ]);
}

/** Whether somebody already parted any two of these: no rule joins them again. */
export async function wereParted(db: Knex, ours: string[], theirs: string[]): Promise<boolean> {
  const row = await db('merges')
    .whereNotNull('undone_at')
    .andWhere((pair) =>
      pair
        .where((q) => q.whereIn('survivor_id', ours).whereIn('absorbed_id', theirs))
        .orWhere((q) => q.whereIn('survivor_id', theirs).whereIn('absorbed_id', ours)),
    )
    .first('id');
  return row !== undefined;
}

export type Effect = 'moved' | 'superseded';

export async function recordEffect(trx: Knex, merge_id: string, effect: Effect, identity_ids: string[]): Promise<void> {
  if (identity_ids.length)
    await trx('merge_identities').insert(identity_ids.map((identity_id) => ({ merge_id, identity_id, effect })));
}

export async function movedBy(db: Knex, merge_id: string): Promise<string[]> {
  const rows = await db('merge_identities').select('identity_id').where({ merge_id, effect: 'moved' });
  return rows.map(({ identity_id }) => identity_id);
}

/** An undo takes its identities out of the later merges that carried them on: undoing those must not move them a second time. */
export async function forgetMoves(trx: Knex, merge_ids: string[], identity_ids: string[]): Promise<void> {
  await trx('merge_identities')
    .whereIn('merge_id', merge_ids)
    .whereIn('identity_id', identity_ids)
    .where({ effect: 'moved' })
    .delete();
}

export async function setFilled(trx: Knex, id: string, filled: Filled): Promise<void> {
  await trx('merges')
    .where({ id })
    .update({ filled: JSON.stringify(filled) });
}

/** All that led to the absorbed one leads to the survivor now: an alias always points at a standing subject. */
export async function addAlias(trx: Knex, { absorbed_id, survivor_id, id }: MergeRow): Promise<void> {
  await trx('subject_aliases').where({ survivor_id: absorbed_id }).update({ survivor_id });
  await trx('subject_aliases').insert({ absorbed_id, survivor_id, merge_id: id });
}

/** The absorbed one stands for itself again, and for whom it had absorbed before. */
export async function removeAlias(trx: Knex, { absorbed_id }: MergeRow): Promise<void> {
  await trx('subject_aliases').where({ absorbed_id }).delete();
  await trx.raw(
    `with recursive below as (
       select absorbed_id from merges where survivor_id = :absorbed_id and undone_at is null
       union
       select m.absorbed_id from merges m join below b on m.survivor_id = b.absorbed_id where m.undone_at is null
     )
     update subject_aliases a set survivor_id = :absorbed_id from below where a.absorbed_id = below.absorbed_id`,
    { absorbed_id },
  );
}

/** The standing merges from this subject up to the one that stands for it, nearest first. */
export async function mergesAbove(db: Knex, sub: string): Promise<MergeRow[]> {
  const { rows } = await db.raw(
    `with recursive above as (
       select m.*, 1 as step from merges m where m.absorbed_id = :sub and m.undone_at is null
       union all
       select m.*, a.step + 1 from merges m join above a on m.absorbed_id = a.survivor_id where m.undone_at is null
     )
     select * from above order by step`,
    { sub },
  );
  return rows;
}

/** Every sub that leads to this subject, itself first. */
export async function membersOf(db: Knex, sub: string): Promise<string[]> {
  const rows = await db('subject_members').select('member_id').where({ subject_id: sub });
  return rows.map(({ member_id }) => member_id);
}

/** What a merge took over of these people's names and pictures, so that no undo brings it back. */
export async function forgetFilledProfile(trx: Knex, subs: string[]): Promise<void> {
  await trx('merges')
    .where((q) => q.whereIn('survivor_id', subs).orWhereIn('absorbed_id', subs))
    .update({ filled: trx.raw(`filled - 'nickname' - 'picture'`) });
}
