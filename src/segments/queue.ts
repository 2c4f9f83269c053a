/** Table subject_changes, and the locks that order evaluations: who is to be looked at, by whom. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Knex } from 'knex';
import { isLockTimeout } from '../database.ts';

export type SubjectChange = { subject_id: string; what: string };

/**
 * Takes so many notes out; those that another process is taking are left to it.
 *
 * @param sub of this subject alone; else of all that are not set aside
 */
export async function takeChanges(trx: Knex.Transaction, limit: number, sub?: string): Promise<SubjectChange[]> {
  const whose = sub === undefined ? 'not in (select subject_id from subjects_set_aside)' : '= :sub::uuid';
  const { rows } = await trx.raw(
    `delete from subject_changes where ctid = any (array(
       select ctid from subject_changes where subject_id ${whose} limit :limit for update skip locked))
     returning subject_id, what`,
    { limit, sub: sub ?? null },
  );
  return rows;
}

/** Who is set aside, and something changed of them that is no event. */
export async function readChangedAside(db: Knex, limit: number): Promise<string[]> {
  const rows = await db('subject_changes')
    .distinct('subject_id')
    .whereRaw('subject_id in (select subject_id from subjects_set_aside)')
    .limit(limit);
  return rows.map(({ subject_id }) => subject_id);
}

/** As the triggers do. @param what the table in which something changed */
export async function noteChange(db: Knex, { subject_id, what }: SubjectChange): Promise<void> {
  await db('subject_changes').insert({ subject_id, what });
}

/** Whether there is anything to do at this moment: one statement, however many segments there are. */
export async function whatIsWaiting(db: Knex, at: Date): Promise<{ people: boolean; tries: boolean; builds: boolean }> {
  const row = await db('waiting_evaluations').first('is_noted', 'next_due_at', 'is_building', 'next_try_at');
  const isDue = (due: Date | null) => due !== null && due <= at;
  return { people: row.is_noted || isDue(row.next_due_at), tries: isDue(row.next_try_at), builds: row.is_building };
}

/**
 * One evaluator at a time looks at a person and writes what it found: what it read is still so when it writes, but for what came
 * in meanwhile, and that has left a note of its own. In the order of the keys, so that evaluators never wait for each other in a circle.
 *
 * A round takes at most two thousand (500 notes of each kind, and whom the absorbed ones stand for); the lock table of a server as it comes has
 * room for 6,400. Where that is not enough (53200) the round is taken apart, and each person takes a few.
 */
export async function lockPeople(trx: Knex.Transaction, subs: string[]): Promise<void> {
  await trx.raw(
    `select count(pg_advisory_xact_lock(key)) from (
       select distinct hashtextextended(sub, 5) as key from unnest(?::text[]) as sub order by 1) keys`,
    [subs],
  );
}

/** Those that nobody else looks at. */
export async function lockIdle(trx: Knex.Transaction, subs: string[]): Promise<string[]> {
  const { rows } = await trx.raw(
    `select sub from unnest(?::text[]) as sub where pg_try_advisory_xact_lock(hashtextextended(sub, 5))`,
    [subs],
  );
  return rows.map(({ sub }: { sub: string }) => sub);
}

const publishing = 6;

/** Rounds go on beside each other, and stand still while a build is put in place. */
export async function shareRound(trx: Knex.Transaction): Promise<void> {
  await trx.raw('select pg_advisory_xact_lock_shared(hashtextextended(?, ?))', ['segments', publishing]);
}

/** In milliseconds. Rounds that begin meanwhile queue up behind; most of those under way are done by then. */
const impatience = 2_000;

/**
 * Rounds under way end first. One about a person with a long history may take half a minute: the others must not wait behind whoever
 * waits for it, so the place in the queue is given up now and then.
 */
export async function stopRounds(trx: Knex.Transaction): Promise<void> {
  while (!(await tryToStop(trx))) await sleep(impatience / 10);
}

async function tryToStop(trx: Knex.Transaction): Promise<boolean> {
  try {
    await trx.transaction(async (attempt) => {
      await attempt.raw(`set local lock_timeout = ${impatience}`);
      await attempt.raw('select pg_advisory_xact_lock(hashtextextended(?, ?))', ['segments', publishing]);
      await attempt.raw('set local lock_timeout to default');
    });
    return true;
  } catch (error) {
    if (isLockTimeout(error)) return false;
    throw error;
  }
}

/**
 * Whoever changes what segments ask of each other comes after whoever is doing so, and sees it: two edits at once, each without fault,
 * must not make a ring, in which each build asks for the other for ever. Taken before any segment is locked, and by whoever locks one and
 * raises the revision: two that lock several would wait for each other in a circle.
 */
export async function orderDefinitions(trx: Knex): Promise<void> {
  await trx.raw('select pg_advisory_xact_lock(hashtextextended(?, 8))', ['definitions']);
}
