/**
 * A definition evaluated for everybody, by one SQL statement, beside whatever is in force; then put in its place. No gap and no double,
 * while events go on:
 *
 *   1. The build is a row since somebody asked for it, and every round since then keeps it up to date for the people it is about.
 *   2. The statement sees all that any earlier round took. It fills a table of its own, so nobody waits for it.
 *   3. Its rows are copied in portions; where a round was faster, what the round found is newer and stays.
 *   4. Rounds stand still while the new build takes the place of the old one: who stays keeps the moment they entered.
 *
 * Dies the process, the next one begins again at 2. A statement that one person's data makes fail is not the end of it: everybody is asked one
 * by one then (live.ts). Whatever looks through this segment is built again after it.
 */
import type { Knex } from 'knex';
import type { Clock } from '../clock.ts';
import { type Database, isAboutRows } from '../database.ts';
import { mostAheadMs } from '../events/event-time.ts';
import type { Logger } from '../log.ts';
import { publish } from '../outbox.ts';
import type { Segment } from './definition.ts';
import { compileSegment } from './evaluate.ts';
import { evaluateEverybody } from './live.ts';
import { needsOf } from './needs.ts';
import { orderDefinitions, stopRounds } from './queue.ts';
import { compileThrough, looksThrough, readReferences, readTagging } from './rules.ts';
import { compileToSql } from './sql.ts';
import { copyBuilt, countChanges, deleteBuildStates, fillBuilt, forgetBuilt, replaceBuild } from './state-store.ts';
import {
  type AskedBuild,
  askForBuild,
  finishBuild,
  lockBuilding,
  lockSegment,
  markEmptied,
  raiseRevision,
  retireBuild,
  takeBuild,
  takeLeft,
  updateSegment,
  wantedDefinitions,
} from './store.ts';

export type BuildServices = { db: Database; clock: Clock; log: Logger };

/** Makes the oldest build that waits, and takes away what builds have left. @returns false when there is none to make */
export async function buildNext(services: BuildServices): Promise<boolean> {
  const wasMade = await makeNext(services);
  while (await emptyLeft(services.db));
  return wasMade;
}

async function makeNext(services: BuildServices): Promise<boolean> {
  const { db, log } = services;
  // The transaction only holds the build; what is made of it commits by itself.
  return db.transaction(async (holding) => {
    const build = await takeBuild(holding);
    if (!build) return false;
    try {
      await make(services, build);
    } catch (error) {
      log.error({ err: error, segment: build.key, build: build.id }, 'segments: a build failed');
      const sentence = 'The definition could not be evaluated for everybody; the log of the server says why.';
      await db.transaction(async (trx) => {
        await orderDefinitions(trx);
        if (await lockBuilding(trx, build.id)) await finishBuild(trx, build.id, { status: 'failed', error: sentence });
        await raiseRevision(trx);
      });
    }
    return true;
  });
}

const portion = 5_000;

async function make(services: BuildServices, build: AskedBuild): Promise<void> {
  const { db, clock, log } = services;
  const began = performance.now();
  const at = clock.now();
  await emptyBuild(db, build.id);
  try {
    await fillBuilt(db, build.id, compileToSql(build.definition, { at, ...(await readReferences(db)) }));
    await copyBuilt(db, build.id, at);
  } catch (error) {
    if (!isAboutRows(error)) throw error;
    log.warn(
      { err: error, segment: build.key },
      'segments: a statement about everybody failed; they are asked one by one',
    );
    await evaluateEverybody(services, build.id);
  }
  const took_ms = Math.round(performance.now() - began);
  await putInPlace(db, build, { at, took_ms, published_at: clock.now() });
  log.info({ segment: build.key, version: build.version, took_ms }, 'segments: built');
}

/** Of a build that nobody wants any more. @returns false when there is none */
async function emptyLeft(db: Database): Promise<boolean> {
  return db.transaction(async (holding) => {
    const id = await takeLeft(holding);
    if (id === undefined) return false;
    // A round that began before it was given up may still write of it.
    await db.transaction(stopRounds);
    await emptyBuild(db, id);
    await markEmptied(db, id);
    return true;
  });
}

async function emptyBuild(db: Knex, id: number): Promise<void> {
  await forgetBuilt(db, id);
  while ((await deleteBuildStates(db, id, portion)) === portion);
}

type Made = { at: Date; took_ms: number; published_at: Date };

/** Unless it was given up meanwhile. */
async function putInPlace(db: Database, build: AskedBuild, { at, took_ms, published_at }: Made): Promise<void> {
  await db.transaction(async (trx) => {
    await orderDefinitions(trx);
    await stopRounds(trx);
    const segment = await lockSegment(trx, build.key);
    if (!segment || !(await lockBuilding(trx, build.id))) return;
    const { id: segment_id, live_build_id: old_id } = segment;
    const { version } = build;
    const counts = await replaceBuild(trx, { segment_id, version, old_id, new_id: build.id, at: published_at });
    if (old_id !== null) await retireBuild(trx, old_id);
    await finishBuild(trx, build.id, {
      status: 'live',
      evaluated_at: at,
      published_at,
      members: counts.members,
      took_ms,
    });
    await updateSegment(trx, segment_id, { live_build_id: build.id });
    await raiseRevision(trx);
    await countChanges(trx, published_at, [{ segment_id, entered: counts.entered, exited: counts.exited }]);
    // One message, not one a person: who they are is in the log, under this version.
    await publish(trx, { topic: 'segment.built', payload: { segment: build.key, version, ...counts } });
    await rebuildReaders(trx, looksThrough(build.key, await readTagging(trx)), published_at);
  });
}

/**
 * Asks for all segments to be built again whose definition can see events that were removed or came back: a statement each, and not a look at everybody
 * who did something then. @param until those received before this moment
 */
export async function rebuildSeeing(trx: Knex.Transaction, { clock }: { clock: Clock }, until: Date): Promise<void> {
  await orderDefinitions(trx);
  const through = compileThrough(await readReferences(trx));
  const at = clock.now();
  const newest = until.getTime() + mostAheadMs;
  const sees = (definition: Segment) => {
    const { names, since } = needsOf([compileSegment(definition, through)], at.getTime(), through);
    return names.length > 0 && (since === null || since < newest);
  };
  await rebuildReaders(trx, sees, at);
}

/**
 * Asks for all segments to be built again that read what has become another: a segment, a trait, a tag. A paused one waits; but whoever looks
 * through it asks what it asks. For who orders definitions.
 */
export async function rebuildReaders(
  trx: Knex.Transaction,
  reads: (definition: Segment) => boolean,
  at: Date,
): Promise<void> {
  const tagging = await readTagging(trx);
  const wanted = await wantedDefinitions(trx);
  const readers = wanted.filter(({ definition }) => reads(definition));
  // A list that grows while it is walked is walked to its end.
  for (const { key, is_paused } of readers) {
    const looks = looksThrough(key, tagging);
    if (is_paused) readers.push(...wanted.filter((other) => !readers.includes(other) && looks(other.definition)));
    const segment = await lockSegment(trx, key);
    if (segment?.status === 'active') await askForBuild(trx, segment.id, segment.version, at);
  }
}
