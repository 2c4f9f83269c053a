/** Table evaluations_set_aside: who could not be evaluated, and when they are tried again. */
import type { Knex } from 'knex';

/** Whoever is tried again waits twice as long as the time before, from a minute to an hour. */
const [firstMinutes, mostMinutes] = [1, 60];
const longestError = 500;

/** Of two processes that fail at once one counts. @returns how often it failed; null: somebody else has just said so */
export async function setAside(
  db: Knex,
  { subject_id, error, at }: { subject_id: string; error: string; at: Date },
): Promise<number | null> {
  const { rows } = await db.raw(
    `insert into evaluations_set_aside as s (subject_id, since, due_at, error)
     values (:subject_id, :at::timestamptz, :at::timestamptz + make_interval(mins => ${firstMinutes}), :error)
     on conflict (subject_id) do update
        set tries = s.tries + 1, error = excluded.error,
            due_at = :at::timestamptz + make_interval(mins => least(${mostMinutes}, ${firstMinutes} * 2 ^ least(s.tries, 20))::int)
      where s.due_at <= :at::timestamptz
     returning tries`,
    { subject_id, at, error: error.slice(0, longestError).toWellFormed().replaceAll('\0', '') },
  );
  return rows[0]?.tries ?? null;
}

export async function readTriable(db: Knex, at: Date, limit: number): Promise<string[]> {
  const rows = await db('evaluations_set_aside')
    .select('subject_id')
    .where('due_at', '<=', at)
    .orderBy('due_at')
    .limit(limit);
  return rows.map(({ subject_id }) => subject_id);
}

/** @returns whether they were set aside */
export async function takeBack(trx: Knex, subject_id: string): Promise<boolean> {
  return (await trx('evaluations_set_aside').where({ subject_id }).delete()) > 0;
}

export type SetAside = { people: number; since: Date | null };

/** How many there are, and since when the first of them is. */
export async function countSetAside(db: Knex): Promise<SetAside> {
  const row = await db('evaluations_set_aside').count({ people: '*' }).min({ since: 'since' }).first();
  return { people: Number(row?.people ?? 0), since: row?.since ?? null };
}
