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

/** So many minutes rest between two evaluations of who did more than can be held: each is as dear as a build. */
const restMinutes = 5;

/**
 * Whoever has to be evaluated alone: not because of a fault, so it counts as none. Waits for nobody: whoever is being tried again at this
 * moment stays with whoever tries.
 *
 * @param isRest after an evaluation; else before the first one
 */
export async function postpone(
  trx: Knex,
  { subject_id, at, isRest }: { subject_id: string; at: Date; isRest: boolean },
): Promise<void> {
  await trx.raw(
    `insert into evaluations_set_aside (subject_id, since, tries, due_at, error)
     select :subject_id::uuid, :at::timestamptz, 0, :at::timestamptz + make_interval(mins => ${isRest ? restMinutes : firstMinutes}),
            'too long a history to be read at once'
      where not exists (select from evaluations_set_aside where subject_id = :subject_id::uuid)
     on conflict do nothing`,
    { subject_id, at },
  );
}

/** Of who is set aside, and is not being tried again at this moment. @returns false of anybody else */
export async function holdAside(trx: Knex.Transaction, subject_id: string): Promise<boolean> {
  const row = await trx('evaluations_set_aside').where({ subject_id }).forUpdate().skipLocked().first('subject_id');
  return row !== undefined;
}

/** What changed of them, by the tables that noted it: until they are tried again. */
export async function keepChanges(trx: Knex.Transaction, subject_id: string, whats: string[]): Promise<void> {
  await trx.raw(
    `update evaluations_set_aside
        set changes = array(select distinct what from unnest(changes || :whats::text[]) as what order by what) where subject_id = :subject_id`,
    { subject_id, whats },
  );
}

export async function readTriable(db: Knex, at: Date, limit: number): Promise<string[]> {
  const rows = await db('evaluations_set_aside')
    .select('subject_id')
    .where('due_at', '<=', at)
    .orderBy('due_at')
    .limit(limit);
  return rows.map(({ subject_id }) => subject_id);
}

/** @returns how often they had failed, and what changed of them since; undefined of who is not set aside, or is tried by somebody else */
export async function takeBack(
  trx: Knex.Transaction,
  subject_id: string,
): Promise<{ tries: number; changes: string[] } | undefined> {
  if (!(await holdAside(trx, subject_id))) return undefined;
  const [row] = await trx('evaluations_set_aside').where({ subject_id }).delete().returning(['tries', 'changes']);
  return row;
}

export type SetAside = { people: number; since: Date | null };

/** How many failed, and since when the first of them does. */
export async function countSetAside(db: Knex): Promise<SetAside> {
  const row = await db('evaluations_set_aside')
    .where('tries', '>', 0)
    .count({ people: '*' })
    .min({ since: 'since' })
    .first();
  return { people: Number(row?.people ?? 0), since: row?.since ?? null };
}
