/** Tables segment_states, segment_built, segment_changes, segment_sizes: who is in, who came and went, how many. */
import type { Knex } from 'knex';
import type { Scalar } from '../behaviour/language.ts';
import { limitTime } from '../database.ts';
import type { CompiledSql } from './sql.ts';

export type Matched = Record<string, Scalar[]>;

export type State = {
  build_id: number;
  subject_id: string;
  is_member: boolean;
  entered_at: Date | null;
  matched: Matched | null;
  due_at: Date | null;
};

export async function readStates(db: Knex, subs: string[]): Promise<State[]> {
  return db('segment_states')
    .select('build_id', 'subject_id', 'is_member', 'entered_at', 'matched', 'due_at')
    .whereRaw('subject_id = any (?::uuid[])', [subs]);
}

/** @param sub of this subject alone; else of all that are not set aside */
export async function readDue(
  db: Knex,
  at: Date,
  limit: number,
  sub?: string,
): Promise<{ build_id: number; subject_id: string }[]> {
  const due = db('segment_states').select('build_id', 'subject_id').where('due_at', '<=', at).limit(limit);
  if (sub !== undefined) return due.where({ subject_id: sub });
  return due.whereRaw('subject_id not in (select subject_id from subjects_set_aside)').orderBy('due_at');
}

/** Sorted, so that two writers wait for each other in one direction. */
export async function writeStates(trx: Knex, states: State[]): Promise<void> {
  if (!states.length) return;
  await trx.raw(
    `insert into segment_states (build_id, subject_id, is_member, entered_at, matched, due_at)
     select build_id, subject_id, is_member, entered_at, matched, due_at
       from json_to_recordset(?::json) as r (build_id integer, subject_id uuid, is_member boolean, entered_at timestamptz,
                                             matched jsonb, due_at timestamptz)
      order by subject_id, build_id
     on conflict (subject_id, build_id) do update
        set is_member = excluded.is_member, entered_at = excluded.entered_at, matched = excluded.matched, due_at = excluded.due_at`,
    [JSON.stringify(states)],
  );
}

export async function deleteStates(trx: Knex, states: { build_id: number; subject_id: string }[]): Promise<void> {
  if (!states.length) return;
  await trx.raw(
    `delete from segment_states s using json_to_recordset(?::json) as r (build_id integer, subject_id uuid)
      where s.build_id = r.build_id and s.subject_id = r.subject_id`,
    [JSON.stringify(states)],
  );
}

export type Change = {
  segment_id: number;
  subject_id: string;
  version: number;
  change: 'entered' | 'exited';
  reason: string;
  at: Date;
  matched: Matched | null;
};

/** As one parameter: five hundred people who each enter twenty segments would be more of them than a statement can have. */
export async function insertChanges(trx: Knex, changes: Change[]): Promise<void> {
  if (!changes.length) return;
  await trx.raw(
    `insert into segment_changes (segment_id, subject_id, version, change, reason, at, matched)
     select segment_id, subject_id, version, change, reason, at, matched
       from json_to_recordset(?::json) as r (segment_id integer, subject_id uuid, version integer, change text, reason text,
                                             at timestamptz, matched jsonb)`,
    [JSON.stringify(changes)],
  );
}

/** Counts what came and went into the hour; the size goes on from the hour before. */
export async function countChanges(
  trx: Knex,
  at: Date,
  sums: { segment_id: number; entered: number; exited: number }[],
): Promise<void> {
  if (!sums.length) return;
  await trx.raw(
    `insert into segment_sizes as z (segment_id, hour, entered, exited, size)
     select r.segment_id, date_trunc('hour', :at::timestamptz), r.entered, r.exited,
            coalesce((select size from segment_sizes l where l.segment_id = r.segment_id order by hour desc limit 1), 0) + r.entered - r.exited
       from json_to_recordset(:sums::json) as r (segment_id integer, entered integer, exited integer)
      order by r.segment_id
     on conflict (segment_id, hour) do update
        set entered = z.entered + excluded.entered, exited = z.exited + excluded.exited,
            size = z.size + excluded.entered - excluded.exited`,
    { at, sums: JSON.stringify(sums) },
  );
}

/** A build is made from nothing: also what one that died half-way had written. */
export async function deleteBuildStates(db: Knex, build_id: number, limit: number): Promise<number> {
  const { rowCount } = await db.raw(
    'delete from segment_states where ctid = any (array(select ctid from segment_states where build_id = ? limit ?))',
    [build_id, limit],
  );
  return rowCount;
}

/** Nobody comes due any more. */
export async function stopClock(trx: Knex, build_id: number): Promise<void> {
  await trx('segment_states').where({ build_id }).whereNotNull('due_at').update({ due_at: null });
}

const hourMs = 3_600_000;

/** A definition that is never done must not keep all others waiting behind it. @throws when it takes longer than that (isTimedOut) */
export async function fillBuilt(
  db: Knex,
  build_id: number,
  { sql, bindings }: CompiledSql,
  timeoutMs = hourMs,
): Promise<void> {
  await db.transaction(async (trx) => {
    await limitTime(trx, timeoutMs);
    await trx.raw(
      `insert into segment_built (build_id, subject_id, is_member, matched, due_at)
       select :build_id::int, subject_id, is_member, matched, due_at from (${sql}) answers`,
      { ...bindings, build_id },
    );
  });
}

/** Pages of the table, 8 KB each: some ten thousand rows a portion. */
const pages = 100;

/** Portion by portion, each by itself: a round that writes of the same people waits for no more. What a round wrote is newer, and stays. */
export async function copyBuilt(db: Knex, build_id: number, at: Date): Promise<void> {
  const { rows } = await db.raw(`select pg_relation_size('segment_built') / 8192 as pages`);
  for (let page = 0; page < Number(rows[0].pages); page += pages) {
    await db.raw(
      `insert into segment_states (build_id, subject_id, is_member, entered_at, matched, due_at)
       select build_id, subject_id, is_member, case when is_member then :at::timestamptz end, matched, due_at
         from segment_built
        where ctid >= format('(%s,0)', :page::bigint)::tid and ctid < format('(%s,0)', :next::bigint)::tid and build_id = :build_id
        order by subject_id
       on conflict do nothing`,
      { page, next: page + pages, build_id, at },
    );
  }
  await forgetBuilt(db, build_id);
}

export async function forgetBuilt(db: Knex, build_id: number): Promise<void> {
  await db('segment_built').where({ build_id }).delete();
}

/**
 * Puts one build in the place of another: whoever is in both keeps the moment they entered, the others are logged as entered or
 * exited by definition, and what was noted as neither is forgotten.
 */
export async function replaceBuild(
  trx: Knex,
  {
    segment_id,
    version,
    old_id,
    new_id,
    at,
  }: { segment_id: number; version: number; old_id: number | null; new_id: number | null; at: Date },
): Promise<{ members: number; entered: number; exited: number }> {
  await trx.raw('delete from segment_states where build_id = ? and not is_member and due_at is null', [new_id]);
  await trx.raw(
    `update segment_states n set entered_at = o.entered_at from segment_states o
      where n.build_id = ? and n.is_member and o.build_id = ? and o.is_member and o.subject_id = n.subject_id`,
    [new_id, old_id],
  );
  const { rows } = await trx.raw(
    `with before as (select subject_id from segment_states where build_id = :old_id::int and is_member),
     after as (select subject_id, matched from segment_states where build_id = :new_id::int and is_member),
     logged as (
       insert into segment_changes (segment_id, subject_id, version, change, reason, at, matched)
       select :segment_id::int, coalesce(a.subject_id, b.subject_id), :version::int,
              case when a.subject_id is null then 'exited' else 'entered' end, 'definition', :at::timestamptz, a.matched
         from before b full join after a on a.subject_id = b.subject_id
        where a.subject_id is null or b.subject_id is null
       returning change
     )
     select (select count(*) from after) as members, count(*) filter (where change = 'entered') as entered,
            count(*) filter (where change = 'exited') as exited from logged`,
    { segment_id, version, old_id, new_id, at },
  );
  return rows[0];
}

export type MemberRow = { subject_id: string; entered_at: Date; matched: Matched | null };

export async function readMembers(
  db: Knex,
  segment_id: number,
  { after, limit }: { after: string | null; limit: number },
): Promise<MemberRow[]> {
  return db('segment_members')
    .select('subject_id', 'entered_at', 'matched')
    .where({ segment_id })
    .modify((query) => void (after && query.where('subject_id', '>', after)))
    .orderBy('subject_id')
    .limit(limit);
}

export type MembershipRow = { key: string; name: string; entered_at: Date; matched: Matched | null };

/** The segments that a person is in. */
export async function readMemberships(db: Knex, sub: string): Promise<MembershipRow[]> {
  return db('segment_members')
    .where({ subject_id: sub })
    .orderBy('segment_key')
    .select({ key: 'segment_key', name: 'segment_name' }, 'entered_at', 'matched');
}

export type ChangeRow = {
  id: string;
  sub: string;
  version: number;
  change: 'entered' | 'exited';
  reason: string;
  at: Date;
  matched: Matched | null;
};

export async function readChanges(
  db: Knex,
  segment_id: number,
  { before, limit }: { before: string | null; limit: number },
): Promise<ChangeRow[]> {
  return db('segment_changes')
    .select('id', 'subject_id as sub', 'version', 'change', 'reason', 'at', 'matched')
    .where({ segment_id })
    .modify((query) => void (before && query.where('id', '<', before)))
    .orderBy('id', 'desc')
    .limit(limit);
}

export type SizeRow = { hour: Date; entered: number; exited: number; size: number };

export async function readSizes(db: Knex, segment_id: number, since: Date): Promise<SizeRow[]> {
  return db('segment_sizes')
    .select('hour', 'entered', 'exited', 'size')
    .where({ segment_id })
    .where('hour', '>=', since)
    .orderBy('hour');
}

export type TrendRow = { segment_id: number; hour: Date; size: number; before: number };

/** Of every segment the days in which it changed: how many there were when the day began, and at its end. */
export async function readTrends(db: Knex, since: Date): Promise<TrendRow[]> {
  const { rows } = await db.raw(
    `select segment_id, date_trunc('day', hour) as hour, (array_agg(size order by hour desc))[1] as size,
            (array_agg(size - entered + exited order by hour))[1] as before
       from segment_sizes where hour >= ? group by 1, 2 order by 1, 2`,
    [since],
  );
  return rows;
}

/** By the id of the segment. */
export async function currentSizes(db: Knex): Promise<Map<number, number>> {
  const rows: { segment_id: number; size: number }[] = await db('current_segment_sizes').select('segment_id', 'size');
  return new Map(rows.map(({ segment_id, size }) => [segment_id, size]));
}
