/** Tables segments, segment_versions, segment_builds, segment_revision, segment_list. */
import type { Knex } from 'knex';
import type { Segment } from './definition.ts';

export type SegmentRow = {
  id: number;
  key: string;
  name: string;
  kind: 'rule' | 'list';
  purpose: string;
  status: 'active' | 'paused' | 'archived';
  version: number;
  live_build_id: number | null;
  created_at: Date;
  created_by: string;
  updated_at: Date;
};

/** A build that evaluators keep up to date, with what it asks. */
export type BuildRow = {
  build_id: number;
  segment_id: number;
  segment_key: string;
  kind: 'rule' | 'list';
  version: number;
  status: 'building' | 'live';
  /** Whoever may not be a member any more leaves it; nothing else changes. */
  is_paused: boolean;
  definition: Segment;
};

/** Whatever evaluators keep compiled has changed: seen by every process with its next round. */
export async function raiseRevision(trx: Knex): Promise<void> {
  await trx('segment_revision').increment('n', 1);
}

export async function readRevision(db: Knex): Promise<number> {
  const row = await db('segment_revision').first('n');
  return row.n;
}

export async function readBuilds(db: Knex): Promise<BuildRow[]> {
  return db('segment_builds as b')
    .join('segments as s', 's.id', 'b.segment_id')
    .join('segment_versions as v', (on) => on.on('v.segment_id', 'b.segment_id').andOn('v.version', 'b.version'))
    .whereIn('b.status', ['building', 'live'])
    .whereIn('s.status', ['active', 'paused'])
    .orderBy('b.id')
    .select({ is_paused: db.raw(`s.status = 'paused'`) })
    .select({
      build_id: 'b.id',
      segment_id: 's.id',
      segment_key: 's.key',
      kind: 's.kind',
      version: 'b.version',
      status: 'b.status',
      definition: 'v.definition',
    });
}

const columns = [
  'id',
  'key',
  'name',
  'kind',
  'purpose',
  'status',
  'version',
  'live_build_id',
  'created_at',
  'created_by',
  'updated_at',
];

export async function insertSegment(
  trx: Knex,
  segment: Pick<SegmentRow, 'key' | 'name' | 'kind' | 'purpose' | 'created_at' | 'created_by'>,
): Promise<SegmentRow | undefined> {
  const [row] = await trx('segments')
    .insert({ ...segment, updated_at: segment.created_at })
    .onConflict('key')
    .ignore()
    .returning(columns);
  return row;
}

export async function updateSegment(
  trx: Knex,
  id: number,
  change: Partial<Pick<SegmentRow, 'name' | 'purpose' | 'status' | 'version' | 'live_build_id' | 'updated_at'>>,
): Promise<void> {
  await trx('segments').where({ id }).update(change);
}

/** Keys come from addresses, where anything may stand: a NUL, which PostgreSQL refuses, must be a key that nobody has. */
const isKey = (key: string) => /^[a-z0-9][a-z0-9_-]*$/.test(key);

export async function readSegment(db: Knex, key: string): Promise<SegmentRow | undefined> {
  if (!isKey(key)) return undefined;
  return db('segments').first(columns).where({ key });
}

/** Orders the edits of one segment. */
export async function lockSegment(trx: Knex.Transaction, key: string): Promise<SegmentRow | undefined> {
  if (!isKey(key)) return undefined;
  return trx('segments').first(columns).where({ key }).forUpdate();
}

export async function listSegments(
  db: Knex,
  { after, limit }: { after: string; limit: number },
): Promise<SegmentRow[]> {
  return db('segments').select(columns).where('key', '>', after).orderBy('key').limit(limit);
}

export type VersionRow = { version: number; definition: Segment; created_at: Date; created_by: string };

export async function insertVersion(trx: Knex, segment_id: number, version: VersionRow): Promise<void> {
  await trx('segment_versions').insert({ segment_id, ...version, definition: JSON.stringify(version.definition) });
}

export async function readVersions(db: Knex, segment_id: number): Promise<VersionRow[]> {
  return db('segment_versions')
    .select('version', 'definition', 'created_at', 'created_by')
    .where({ segment_id })
    .orderBy('version', 'desc');
}

export type DefinitionRow = { key: string; kind: 'rule' | 'list'; definition: Segment };

/** What each segment asks, by key: to look through one at another. The one in force; before the first build, the one that is made. */
export async function readDefinitions(db: Knex): Promise<DefinitionRow[]> {
  return db('segments as s')
    .leftJoin('segment_builds as b', 'b.id', 's.live_build_id')
    .join('segment_versions as v', (on) =>
      on.on('v.segment_id', 's.id').andOn('v.version', db.raw('coalesce(b.version, s.version)')),
    )
    .whereNot('s.status', 'archived')
    .orderBy('s.id')
    .select('s.key', 's.kind', 'v.definition');
}

export async function readNames(db: Knex): Promise<{ key: string; name: string }[]> {
  return db('segments').whereNot({ status: 'archived' }).orderBy('key').select('key', 'name');
}

/**
 * What each that is filled by its definition is evaluated by from now on: the newest version, also where it is not in force yet; of a paused
 * one that in force, by which others look through it.
 */
export async function wantedDefinitions(db: Knex): Promise<{ key: string; is_paused: boolean; definition: Segment }[]> {
  return db('segments as s')
    .leftJoin('segment_builds as b', (on) =>
      on.on('b.id', 's.live_build_id').andOn('s.status', db.raw('?', ['paused'])),
    )
    .join('segment_versions as v', (on) =>
      on.on('v.segment_id', 's.id').andOn('v.version', db.raw('coalesce(b.version, s.version)')),
    )
    .whereNot('s.status', 'archived')
    .where('s.kind', 'rule')
    .orderBy('s.id')
    .select('s.key', 'v.definition', { is_paused: db.raw(`s.status = 'paused'`) });
}

/**
 * All that segments ask now or will: the newest version of each and, where that is not in force yet, the one in force too, which a paused
 * segment keeps. Whoever refuses what another segment rests on looks here.
 */
export async function standingDefinitions(db: Knex): Promise<DefinitionRow[]> {
  return db('segments as s')
    .leftJoin('segment_builds as b', 'b.id', 's.live_build_id')
    .join('segment_versions as v', (on) =>
      on.on('v.segment_id', 's.id').andOn(db.raw('v.version in (s.version, b.version)')),
    )
    .whereNot('s.status', 'archived')
    .orderBy(['s.id', 'v.version'])
    .select('s.key', 's.kind', 'v.definition');
}

/** A build that was asked for and not yet finished is given up: its definition is not wanted any more. */
export async function askForBuild(trx: Knex, segment_id: number, version: number, at: Date): Promise<void> {
  await giveUpBuild(trx, segment_id);
  await trx('segment_builds').insert({ segment_id, version, asked_at: at });
  await raiseRevision(trx);
}

/** Of a build that is not done. Whoever makes it finds out when it is to be put in place. */
export async function giveUpBuild(trx: Knex, segment_id: number): Promise<void> {
  await trx('segment_builds').where({ segment_id, status: 'building' }).update({ status: 'retired' });
}

export type AskedBuild = {
  id: number;
  segment_id: number;
  version: number;
  key: string;
  kind: 'rule' | 'list';
  definition: Segment;
};

/**
 * The oldest build that nobody makes. This transaction holds it until it ends, also by its death; the row stays free, so that an edit
 * does not wait for the build it makes useless.
 */
export async function takeBuild(trx: Knex.Transaction): Promise<AskedBuild | undefined> {
  const { rows } = await trx.raw(
    `select b.id, b.segment_id, b.version, s.key, s.kind, v.definition
       from segment_builds b join segments s on s.id = b.segment_id and s.status = 'active'
       join segment_versions v on v.segment_id = b.segment_id and v.version = b.version
      where b.status = 'building' order by b.id`,
  );
  for (const row of rows) if (await hold(trx, row.id)) return row;
  return undefined;
}

async function hold(trx: Knex.Transaction, id: number): Promise<boolean> {
  const { rows } = await trx.raw('select pg_try_advisory_xact_lock(hashtextextended(?, 7)) as mine', [`build ${id}`]);
  return rows[0].mine;
}

/**
 * A build that nobody wants any more and whose rows are still there, unless somebody still makes it; held as one that is made is. Those of one
 * that was replaced, that failed, and that was given up before or while it was made.
 */
export async function takeLeft(trx: Knex.Transaction): Promise<number | undefined> {
  const rows: { id: number }[] = await trx('segment_builds')
    .select('id')
    .whereIn('status', ['retired', 'failed'])
    .where('is_emptied', false)
    .orderBy('id');
  for (const { id } of rows) if (await hold(trx, id)) return id;
  return undefined;
}

export async function markEmptied(db: Knex, id: number): Promise<void> {
  await db('segment_builds').where({ id }).update({ is_emptied: true });
}

/** False when it was given up meanwhile. */
export async function lockBuilding(trx: Knex.Transaction, id: number): Promise<boolean> {
  const row = await trx('segment_builds').first('id').where({ id, status: 'building' }).forUpdate();
  return row !== undefined;
}

export async function finishBuild(
  trx: Knex,
  id: number,
  outcome: {
    status: 'live' | 'failed';
    evaluated_at?: Date;
    published_at?: Date;
    members?: number;
    took_ms?: number;
    error?: string;
  },
): Promise<void> {
  await trx('segment_builds').where({ id }).update(outcome);
}

export async function retireBuild(trx: Knex, id: number): Promise<void> {
  await trx('segment_builds').where({ id }).update({ status: 'retired' });
}

export async function retireBuilds(trx: Knex, segment_id: number): Promise<void> {
  await trx('segment_builds')
    .where({ segment_id })
    .whereIn('status', ['building', 'live'])
    .update({ status: 'retired' });
}

export type BuildSummary = {
  id: number;
  version: number;
  status: 'building' | 'live' | 'retired' | 'failed';
  asked_at: Date;
  evaluated_at: Date | null;
  published_at: Date | null;
  members: number | null;
  took_ms: number | null;
  error: string | null;
};

export async function newestBuild(db: Knex, segment_id: number): Promise<BuildSummary | undefined> {
  return db('segment_builds')
    .first('id', 'version', 'status', 'asked_at', 'evaluated_at', 'published_at', 'members', 'took_ms', 'error')
    .where({ segment_id })
    .orderBy('id', 'desc');
}

/** @returns how many were not there */
export async function addToList(
  trx: Knex,
  segment_id: number,
  { subs, added_by, at }: { subs: string[]; added_by: string; at: Date },
): Promise<number> {
  if (!subs.length) return 0;
  const rows = await trx('segment_list')
    .insert(subs.map((subject_id) => ({ segment_id, subject_id, added_by, added_at: at })))
    .onConflict(['segment_id', 'subject_id'])
    .ignore()
    .returning('subject_id');
  return rows.length;
}

/** Under whichever sub of theirs they were put there. @returns how many were there */
export async function takeFromList(trx: Knex, segment_id: number, subs: string[]): Promise<number> {
  const { rowCount } = await trx.raw(
    `delete from segment_list where segment_id = ? and subject_id in (
       select m.member_id from current_subjects c join subject_members m on m.subject_id = c.subject_id
        where c.requested_id = any (?::uuid[]))`,
    [segment_id, subs],
  );
  return rowCount;
}
