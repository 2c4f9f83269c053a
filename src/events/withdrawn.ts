/**
 * Whoever took a purpose back is not recorded for it again, whatever a tracker says that has not heard of it (threat F16): the purpose is
 * taken off their events, and the event says so. An event from before the withdrawal keeps it, however late it comes.
 */
import type { StoredRow } from './store.ts';

/**
 * Part of the question that comes before storing (`asked`: n, person, is_for_more, at; `bound`): which purposes whoever an event belongs
 * to had withdrawn when it happened. Nearly nobody has, so it starts from the few who did.
 */
export const withdrawnSql = `withdrawn as (
    select e.n, array_agg(w.purpose) as purposes
      from (select n, person, at from asked where is_for_more and person is not null
            union all
            select b.n, b.subject_id, a.at from bound b join asked a on a.n = b.n where a.is_for_more) e
      cross join lateral (
        select w.purpose from withdrawn_purposes w where w.requested_id = e.person and w.at <= e.at offset 0) w
     group by e.n
  )`;

export function withoutWithdrawn(row: StoredRow, withdrawn: string[] | undefined): StoredRow {
  const lost = row.consents.filter((purpose) => withdrawn?.includes(purpose));
  if (!lost.length) return row;
  const own: Record<string, unknown> = JSON.parse(row.divided.context);
  return {
    ...row,
    consents: row.consents.filter((purpose) => !lost.includes(purpose)),
    divided: { ...row.divided, context: JSON.stringify({ ...own, consents_withdrawn: lost }) },
  };
}
