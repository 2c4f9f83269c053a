/**
 * The durable write. Events of requests that are served at the same time, whoever sent them, are stored together and answered after
 * one commit; a request whose rows the database does not take is tried alone and answers for itself. An event that the database refuses
 * for a reason that nobody foresaw is found and left out, and takes no other with it.
 */
import type { Knex } from 'knex';
import type pg from 'pg';
import { batched, isRefusal } from '../database.ts';
import { copyActivity } from './activity.ts';
import { createAdmission } from './admission.ts';
import { ask } from './ask.ts';
import { keepUsed } from './bind.ts';
import { type Sharing, type StoredContext, shareContexts } from './contexts.ts';
import { copyIn } from './copy.ts';
import { copyHeld } from './held.ts';
import { copyEvents, type EventRow, ensurePartition, horizonDays, idKey, type StoredRow } from './store.ts';
import { withoutWithdrawn } from './withdrawn.ts';

const storeTogether = batched(
  async (db, asked: EventRow[][]) => {
    await storePersistently(db, asked.flat());
    return asked.map(() => undefined);
  },
  { weigh: (rows) => rows.length, most: 500, enough: 250 },
);

/**
 * One request after the other is searched for what the database refuses, beside what is stored meanwhile. A full batch of nothing else takes
 * five seconds, so sources take turns, and when four requests wait it is one of the source with most of them that gives way (threat F17).
 */
const search = createAdmission({ open: 1, waiting: 16_384 });

/**
 * Returns when what the database takes is on its disk. A message id that is known within its source is left out: the first wins.
 *
 * @returns what it refuses and would refuse again, each with the error
 * @throws too_many_requests when too many are being searched: nothing of it is stored. And what is not about an event: then some may be
 * stored, and to repeat it is harmless
 */
export async function storeOnce(db: Knex, rows: EventRow[]): Promise<Map<EventRow, unknown>> {
  try {
    await storeTogether(db, rows);
    return new Map();
  } catch (error) {
    if (db.isTransaction || !isFinal(error)) throw error;
    const find = () => storeTheOthers(db, rows, error);
    return rows.length < 2 ? find() : search.run(String(rows[0]?.source_id), 0, find);
  }
}

/** By halves, so that a few refused ones among many cost little. `why`: what was said of all of them together. */
async function storeTheOthers(db: Knex, rows: EventRow[], why: unknown): Promise<Map<EventRow, unknown>> {
  const [first, second] = rows;
  if (!first || !second) return new Map(rows.map((row) => [row, why]));
  const half = Math.ceil(rows.length / 2);
  const refused = new Map<EventRow, unknown>();
  for (const part of [rows.slice(0, half), rows.slice(half)])
    try {
      await storePersistently(db, part);
    } catch (error) {
      if (!isFinal(error)) throw error;
      for (const [row, its] of await storeTheOthers(db, part, error)) refused.set(row, its);
    }
  return refused;
}

/** Of each message id of each source, by what the index holds: two texts of one MD5 must not end all that is stored with them (threat F5). */
function firstOfEach(given: EventRow[]): { rows: EventRow[]; keys: string[] } {
  const known = new Map<number, Set<string>>();
  const keys: string[] = [];
  const rows = given.filter(({ source_id, message_id }) => {
    const key = idKey(message_id);
    const ofSource = known.get(source_id) ?? new Set();
    known.set(source_id, ofSource);
    const isFirst = ofSource.size < ofSource.add(key).size;
    if (isFirst) keys.push(key);
    return isFirst;
  });
  return { rows, keys };
}

/**
 * Stores again what was stored before and was removed since: as it was recorded, and without being counted a second time. What is there
 * is left as it is.
 */
export async function storeAgain(db: Knex, rows: EventRow[]): Promise<number> {
  return (await storePersistently(db, rows, true)).size;
}

const tries = 8;
/**
 * Serialisation failure and deadlock: PostgreSQL gave up one transaction for another, and asks for it again. A message id that is there
 * already: somebody stored it since we asked, and the next time we are told.
 */
const again = new Set(['40001', '40P01', '23505']);

async function storePersistently(db: Knex, rows: EventRow[], wasCounted = false): Promise<Set<EventRow>> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await storeWithin(db, rows, wasCounted);
    } catch (error) {
      if (attempt === tries || db.isTransaction || !isPassing(error)) throw error;
      if (lacksPartition(error)) for (const { received_at } of rows) await ensurePartition(db, received_at);
    }
  }
}

const lacksPartition = (error: unknown) => {
  const { code, message } = error as { code?: string; message?: string };
  return code === '23514' && message?.includes('no partition') === true;
};
const isPassing = (error: unknown) => again.has((error as { code?: string }).code ?? '') || lacksPartition(error);
const isFinal = (error: unknown) => isRefusal(error) && !isPassing(error);

async function storeWithin(db: Knex, given: EventRow[], wasCounted: boolean): Promise<Set<EventRow>> {
  const { rows, keys } = firstOfEach(given);
  const times = rows.map(({ received_at }) => received_at.getTime());
  const [first, now] = [Math.min(...times), new Date(Math.max(...times))];
  const sharing = shareContexts(db, now);
  const since = new Date((wasCounted ? first : now.getTime()) - horizonDays * dayMs);
  const divided = rows.map(({ context }) => sharing.divide(context));
  const work = { now, since, wasCounted, sharing, rows, keys, divided };
  const connection: pg.Client = await db.client.acquireConnection();
  try {
    const takesTurns = isNearTurnOfMonth(first, now.getTime()) && !db.isTransaction;
    const stored = await (takesTurns ? oneAfterTheOther(connection, work) : askAndStore(connection, work));
    sharing.stored();
    return stored;
  } finally {
    await db.client.releaseConnection(connection);
  }
}

type Work = {
  /** When the last of them was received. */
  now: Date;
  /** How far back a message id is looked for. */
  since: Date;
  wasCounted: boolean;
  sharing: Sharing;
  rows: EventRow[];
  /** By what their message ids are found. */
  keys: string[];
  divided: StoredContext[];
};

const dayMs = 86_400_000;

const nearMs = 5 * 60_000;

function isNearTurnOfMonth(first: number, last: number): boolean {
  const month = (time: number) => new Date(time).toISOString().slice(0, 7);
  return month(first - nearMs) !== month(last + nearMs);
}

/**
 * One message id is unique within a month by index, across months by a look-up that does not see what another process is just
 * storing. So for some minutes around the change of month what one source sends is stored one after the other.
 */
async function oneAfterTheOther(connection: pg.Client, work: Work): Promise<Set<EventRow>> {
  const sources = [...new Set(work.rows.map(({ source_id }) => source_id))].sort((a, b) => a - b);
  await connection.query('begin');
  try {
    for (const source of sources)
      await connection.query('select pg_advisory_xact_lock(hashtextextended($1, 3))', [`event source ${source}`]);
    const stored = await askAndStore(connection, work);
    await connection.query('commit');
    return stored;
  } catch (error) {
    await connection.query('rollback').catch(() => {});
    throw error;
  }
}

/**
 * Two round trips: the question what the database knows; then all that the rows leave behind, as one transaction: the events, what the
 * profiles of their subjects have to count, and those of them that wait for their person.
 */
async function askAndStore(connection: pg.Client, work: Work): Promise<Set<EventRow>> {
  const { now, sharing, rows, keys, wasCounted } = work;
  const answers = await ask(connection, { ...work, missing: sharing.missing() });
  if (answers.taken.length) sharing.refuse(answers.taken);
  const divided = answers.taken.length ? rows.map(({ context }) => sharing.divide(context)) : work.divided;
  const stored = new Set<EventRow>();
  const written: StoredRow[] = [];
  for (const [n, row] of rows.entries()) {
    const [message_key, parts] = [keys[n], divided[n]];
    if (answers.isKnown(n) || message_key === undefined || !parts) continue;
    stored.add(row);
    const bound = answers.subjectOf(row);
    const subject_id = row.subject_id ?? bound;
    const trust = bound !== null && row.trust === 'claimed' ? 'bound' : row.trust;
    const placed = { ...row, subject_id, trust, message_key, divided: parts };
    written.push(withoutWithdrawn(placed, answers.withdrawnBy(subject_id, row)));
  }
  if (!written.length) return stored;
  const before = [
    ...(answers.isHasty ? [durableSql] : []),
    ...(answers.stale.length ? [keepUsed(answers.stale, now)] : []),
  ];
  const aside = wasCounted ? [] : [copyActivity(written), ...copyHeld(written)];
  await copyIn(connection, before, [copyEvents(written), ...aside]);
  return stored;
}

/** An answer of 200 follows the commit: a database whose default is not to wait for the disk is told to wait. A stricter default stays. */
const durableSql = `set local synchronous_commit = on`;
