/** How often each event came in the last seven days, for the page of the catalogue: what is defined, and of the rest what came most. */
import { type Database, isTimedOut, limitTime } from '../database.ts';

/** A company with very many events is told no number rather than kept waiting. */
const timeoutMs = 3_000;

/** Anybody may invent names: a page shows so many and no more (threat F17). */
const mostOthers = 50;

/** By canonical name, the most frequent first; undefined when they are too many to count meanwhile. */
export async function weeklyCounts(db: Database, defined: string[]): Promise<Map<string, number> | undefined> {
  try {
    return await db.transaction(async (trx) => {
      await limitTime(trx, timeoutMs);
      const { rows } = await trx.raw(
        `with counted as (
           select event, count(*) as n, event = any (:defined) as is_defined
             from recorded_events where received_at > now() - interval '7 days' group by event
         ), ranked as (
           select *, row_number() over (partition by is_defined order by n desc, event) as position from counted
         )
         select event, n from ranked where is_defined or position <= :most order by n desc, event`,
        { defined, most: mostOthers },
      );
      return new Map(rows.map(({ event, n }: { event: string; n: string | number }) => [event, Number(n)]));
    });
  } catch (error) {
    if (isTimedOut(error)) return undefined;
    throw error;
  }
}
