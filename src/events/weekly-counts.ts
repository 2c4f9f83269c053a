/** How often each event came in the last seven days, for the page of the catalogue. */
import { type Database, isTimedOut, limitTime } from '../database.ts';

/** A company with very many events is told no number rather than kept waiting. */
const timeoutMs = 3_000;

/** By canonical name; undefined when they are too many to count meanwhile. */
export async function weeklyCounts(db: Database): Promise<Map<string, number> | undefined> {
  try {
    return await db.transaction(async (trx) => {
      await limitTime(trx, timeoutMs);
      const { rows } = await trx.raw(
        `select event, count(*) as n from recorded_events where received_at > now() - interval '7 days' group by event`,
      );
      return new Map(rows.map(({ event, n }: { event: string; n: string | number }) => [event, Number(n)]));
    });
  } catch (error) {
    if (isTimedOut(error)) return undefined;
    throw error;
  }
}
