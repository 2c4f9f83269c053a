/** How often each event came in the last seven days, for the page of the catalogue. */
import type { Database } from '../database.ts';

/** A company with very many events is told no number rather than kept waiting. */
const timeoutMs = 3_000;
/** SQLSTATE of a statement that ran into its timeout. */
const queryCanceled = '57014';

/** By canonical name; undefined when they are too many to count meanwhile. */
export async function weeklyCounts(db: Database): Promise<Map<string, number> | undefined> {
  try {
    return await db.transaction(async (trx) => {
      await trx.raw(`set local statement_timeout = ${timeoutMs}`);
      const { rows } = await trx.raw(
        `select event, count(*) as n from recorded_events where received_at > now() - interval '7 days' group by event`,
      );
      return new Map(rows.map(({ event, n }: { event: string; n: string | number }) => [event, Number(n)]));
    });
  } catch (error) {
    if ((error as { code?: string }).code === queryCanceled) return undefined;
    throw error;
  }
}
