/**
 * The durable write. Events of requests that are served at the same time, whoever sent them, are stored together and answered after
 * one commit; a request whose rows the database does not take is tried alone and answers for itself, and its other events are stored.
 */
import type { Knex } from 'knex';
import type pg from 'pg';
import { batched, isAboutRows } from '../database.ts';
import { copyActivity } from './activity.ts';
import { ask } from './ask.ts';
import { keepUsed } from './bind.ts';
import { type Sharing, type StoredContext, shareContexts } from './contexts.ts';
import { copyIn } from './copy.ts';
import { copyHeld } from './held.ts';
import { copyEvents, type EventRow, ensurePartition, horizonDays, idKey, type StoredRow } from './store.ts';
import { withoutWithdrawn } from './withdrawn.ts';

/** Returns, how many were new, when they are on the disk. A message id that is known within its source is left out: the first wins. */
export const storeOnce: (db: Knex, rows: EventRow[]) => Promise<number> = batched(
  async (db, asked: EventRow[][]) => {
    const rows = asked.flat();
    const stored = await (asked.length > 1 ? storePersistently(db, rows) : storeTheOthers(db, rows));
    return asked.map((rows) => rows.reduce((n, row) => (stored.has(row) ? n + 1 : n), 0));
  },
  { weigh: (rows) => rows.length, most: 500, enough: 250 },
);

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

/** A sender who found out what the database refuses has each of its parts tried again: not for long. */
const mostRefused = 20;

/**
 * Of one request. An event that the database does not take for a reason that we did not foresee takes nobody with it: the request fails
 * when the others are stored, and is harmless to repeat.
 */
async function storeTheOthers(db: Knex, rows: EventRow[]): Promise<Set<EventRow>> {
  const stored = new Set<EventRow>();
  const refused: unknown[] = [];
  const store = async (part: EventRow[]): Promise<void> => {
    try {
      for (const row of await storePersistently(db, part)) stored.add(row);
    } catch (error) {
      if (!isAboutRows(error) || db.isTransaction || refused.length >= mostRefused) throw error;
      const half = Math.ceil(part.length / 2);
      if (part.length === 1) refused.push(error);
      else for (const one of [part.slice(0, half), part.slice(half)]) await store(one);
    }
  };
  await store(rows);
  if (refused.length) throw refused[0];
  return stored;
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
      const { code, message } = error as { code?: string; message?: string };
      const noPartition = code === '23514' && message?.includes('no partition');
      if (attempt === tries || db.isTransaction || !(noPartition || again.has(code ?? ''))) throw error;
      if (noPartition) for (const { received_at } of rows) await ensurePartition(db, received_at);
    }
  }
}

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
    const inTurn = isNearTurnOfMonth(first, now.getTime()) && !db.isTransaction;
    const stored = await (inTurn ? oneAfterTheOther(connection, work) : askAndStore(connection, work));
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
