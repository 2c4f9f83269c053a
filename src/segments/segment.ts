/**
 * A segment as staff and programs keep it: made, edited, paused, put away; lists of people filled by hand. Every edit is a new version,
 * evaluated for everybody beside the one in force (build.ts), which stays in force until then.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Knex } from 'knex';
import { fail } from '../errors.ts';
import { publish } from '../outbox.ts';
import { rebuildReaders } from './build.ts';
import { checked, type SegmentServices } from './check.ts';
import type { Segment } from './definition.ts';
import { standingSubs } from './people.ts';
import { orderDefinitions, stopRounds } from './queue.ts';
import { looksThrough, readTagging } from './rules.ts';
import { countChanges, currentSizes, readTrends, replaceBuild, stopClock, type TrendRow } from './state-store.ts';
import {
  addToList,
  askForBuild,
  type BuildSummary,
  giveUpBuild,
  insertSegment,
  insertVersion,
  listSegments,
  lockSegment,
  newestBuild,
  raiseRevision,
  readNames,
  readSegment,
  readVersions,
  retireBuilds,
  type SegmentRow,
  standingDefinitions,
  takeFromList,
  updateSegment,
  type VersionRow,
} from './store.ts';
import { readTagRules } from './tag-rule-store.ts';

/** @throws invalid_fields | conflict: the key is taken */
export async function createSegment(
  trx: Knex,
  services: SegmentServices,
  json: unknown,
  by: string,
): Promise<SegmentRow> {
  await orderDefinitions(trx);
  const segment = await checked(trx, services, json);
  return insert(trx, { kind: 'rule', segment, at: services.clock.now(), by });
}

/** A segment that is filled by hand: `{ kind: "list", key, name, purpose }`. @throws invalid_fields | conflict */
export async function createList(
  trx: Knex,
  services: SegmentServices,
  json: Record<string, unknown>,
  by: string,
): Promise<SegmentRow> {
  const { kind: _, ...given } = json;
  if (given.where !== undefined) throw fail('invalid_fields', { fields: { where: 'A list has no definition.' } });
  const segment = await checked(trx, services, {
    version: 1,
    ...given,
    where: { sample: { percent: 0, salt: 'list' } },
  });
  return insert(trx, {
    kind: 'list',
    segment: { ...segment, where: { segment: segment.key } },
    at: services.clock.now(),
    by,
  });
}

type Insert = { kind: 'rule' | 'list'; segment: Segment; at: Date; by: string };

async function insert(trx: Knex, { kind, segment, at, by }: Insert): Promise<SegmentRow> {
  const { key, name, purpose } = segment;
  const row = await insertSegment(trx, { key, name, kind, purpose, created_at: at, created_by: by });
  if (!row) throw fail('conflict', { fields: { key: 'There is a segment with this key.' } });
  await insertVersion(trx, row.id, { version: row.version, definition: segment, created_at: at, created_by: by });
  await askForBuild(trx, row.id, row.version, at);
  return row;
}

/**
 * The same definition again changes nothing but the name.
 *
 * @throws invalid_fields | not_found | invalid_fields: another key than the one it is about, or a list
 */
export async function editSegment(
  trx: Knex.Transaction,
  services: SegmentServices,
  key: string,
  json: unknown,
  by: string,
): Promise<SegmentRow> {
  await orderDefinitions(trx);
  const row = await standing(trx, key);
  if (row.kind === 'list') throw fail('invalid_fields', { fields: { where: 'A list has no definition.' } });
  const segment = await checked(trx, services, json);
  if (segment.key !== key) throw fail('invalid_fields', { fields: { key: 'The key of a segment stays.' } });
  const at = services.clock.now();
  const [newest] = await readVersions(trx, row.id);
  const { name, purpose } = segment;
  if (sameQuestion(newest?.definition, segment)) {
    await updateSegment(trx, row.id, { name, updated_at: at });
    return { ...row, name, updated_at: at };
  }
  const version = row.version + 1;
  await insertVersion(trx, row.id, { version, definition: segment, created_at: at, created_by: by });
  await updateSegment(trx, row.id, { name, purpose, version, updated_at: at });
  if (row.status === 'active') await askForBuild(trx, row.id, version, at);
  // Paused before it was ever built: others look through it by its newest version.
  else if (row.live_build_id === null) await rebuildReaders(trx, looksThrough(key, await readTagging(trx)), at);
  return { ...row, name, purpose, version, updated_at: at };
}

function sameQuestion(known: Segment | undefined, segment: Segment): boolean {
  // The database keeps the fields in an order of its own.
  return known !== undefined && isDeepStrictEqual({ ...known, name: '' }, { ...segment, name: '' });
}

async function standing(trx: Knex.Transaction, key: string): Promise<SegmentRow> {
  const row = await lockSegment(trx, key);
  if (!row || row.status === 'archived') throw fail('not_found');
  return row;
}

/** Its members stay as they are, but for those who may not be members any more; nothing is asked of anybody until it goes on. */
export async function pauseSegment(trx: Knex.Transaction, { clock }: SegmentServices, key: string): Promise<void> {
  await orderDefinitions(trx);
  // A round under way would write moments that come due, with nobody left who looks.
  await stopRounds(trx);
  const row = await standing(trx, key);
  // One that is being made would be put in place, and its members come due, with nobody left who looks.
  await giveUpBuild(trx, row.id);
  if (row.live_build_id !== null) await stopClock(trx, row.live_build_id);
  await updateSegment(trx, row.id, { status: 'paused', updated_at: clock.now() });
  await raiseRevision(trx);
}

/** Goes on as if it had never stood still: evaluated for everybody first. */
export async function resumeSegment(trx: Knex.Transaction, { clock }: SegmentServices, key: string): Promise<void> {
  await orderDefinitions(trx);
  const row = await standing(trx, key);
  if (row.status === 'active') return;
  await updateSegment(trx, row.id, { status: 'active', updated_at: clock.now() });
  await askForBuild(trx, row.id, row.version, clock.now());
}

/** Everybody leaves it; its versions and its log stay. @throws conflict: another segment asks for it */
export async function archiveSegment(trx: Knex.Transaction, { clock }: SegmentServices, key: string): Promise<void> {
  await orderDefinitions(trx);
  await stopRounds(trx);
  const row = await standing(trx, key);
  const looks = looksThrough(key, await readTagging(trx));
  const through = (await standingDefinitions(trx)).find((other) => other.key !== key && looks(other.definition));
  const [rule] = (await readTagRules(trx)).filter(({ segment }) => segment === key);
  if (rule) throw fail('conflict', { message: `The tag "${rule.tag}" is given by this segment.` });
  if (through) throw fail('conflict', { message: `The segment "${through.key}" asks for this one.` });
  const { id: segment_id, version, live_build_id: old_id } = row;
  const at = clock.now();
  const { exited } = await replaceBuild(trx, { segment_id, version, old_id, new_id: null, at });
  await countChanges(trx, at, [{ segment_id, entered: 0, exited }]);
  await retireBuilds(trx, segment_id);
  await updateSegment(trx, segment_id, { status: 'archived', live_build_id: null, updated_at: at });
  await raiseRevision(trx);
  await publish(trx, { topic: 'segment.archived', payload: { segment: key, version, exited } });
}

/**
 * Puts people into a list, or takes them out. Membership follows within the second, as far as they agree to the purpose.
 *
 * @returns how many were not there, and how many were @throws not_found | invalid_fields
 */
export async function changeList(
  trx: Knex.Transaction,
  { clock }: SegmentServices,
  key: string,
  { add, remove, by }: { add: string[]; remove: string[]; by: string },
): Promise<{ added: number; removed: number }> {
  const row = await standing(trx, key);
  if (row.kind !== 'list')
    throw fail('invalid_fields', { fields: { key: 'This segment is filled by its definition.' } });
  const known = await standingSubs(trx, add);
  const unknown = add.filter((sub) => !known.has(sub));
  if (unknown.length) throw fail('invalid_fields', { fields: { add: `Nobody has the sub ${unknown[0]}.` } });
  const removed = await takeFromList(trx, row.id, remove);
  const added = await addToList(trx, row.id, { subs: [...known.values()], added_by: by, at: clock.now() });
  return { added, removed };
}

/** How a segment becomes one of these. */
export const statusChanges = { active: resumeSegment, paused: pauseSegment, archived: archiveSegment };

export type SegmentItem = Omit<SegmentRow, 'id' | 'live_build_id'> & { size: number };

export async function segmentPage(
  db: Knex,
  { after = '', limit }: { after: string | undefined; limit: number },
): Promise<SegmentItem[]> {
  const [rows, sizes] = await Promise.all([listSegments(db, { after, limit }), currentSizes(db)]);
  return rows.map(({ id, live_build_id: _, ...row }) => ({ ...row, size: sizes.get(id) ?? 0 }));
}

/** What people call them, by key; archived ones are not asked for any more. */
export async function segmentNames(db: Knex): Promise<Map<string, string>> {
  return new Map((await readNames(db)).map(({ key, name }) => [key, name]));
}

export type Trend = Omit<TrendRow, 'segment_id'>[];

/** The same with the days since then in which each of them changed. */
export async function segmentTrends(
  db: Knex,
  { since, ...page }: { since: Date; after: string | undefined; limit: number },
): Promise<(SegmentItem & { trend: Trend })[]> {
  const [rows, sizes, trends] = await Promise.all([
    listSegments(db, { after: page.after ?? '', limit: page.limit }),
    currentSizes(db),
    readTrends(db, since),
  ]);
  const bySegment = Map.groupBy(trends, ({ segment_id }) => segment_id);
  return rows.map(({ id, live_build_id: _, ...row }) => ({
    ...row,
    size: sizes.get(id) ?? 0,
    trend: bySegment.get(id) ?? [],
  }));
}

export type SegmentDetail = {
  row: SegmentRow;
  size: number;
  definition: Segment;
  versions: VersionRow[];
  build: BuildSummary | undefined;
};

/** @throws not_found */
export async function segmentDetail(db: Knex, key: string): Promise<SegmentDetail> {
  const row = await readSegment(db, key);
  if (!row) throw fail('not_found');
  const versions = await readVersions(db, row.id);
  const [newest] = versions;
  if (!newest) throw new Error(`the segment ${key} has no version`);
  const build = await newestBuild(db, row.id);
  const size = (await currentSizes(db)).get(row.id) ?? 0;
  return { row, size, definition: newest.definition, versions, build };
}
