/**
 * Whoever took a purpose back is not recorded for it again, whatever a tracker says that has not heard of it (threat F16): the purpose is
 * taken off their events, and the event says so. An event from before the withdrawal keeps it, however late it comes.
 */

/** `at` in milliseconds since 1970. */
export type Withdrawal = { subject_id: string; purpose: string; at: number };

/**
 * Part of the question that comes before storing (`bindings`; $8 are people): what those whom an event belongs to have withdrawn, and when.
 * Nearly nobody has, so it starts from the few who did.
 */
export const withdrawnSql = `withdrawn as (
    select w.requested_id as subject_id, w.purpose, extract(epoch from w.at) * 1000 as at
      from (select subject_id from bindings union select unnest((select $8::uuid[]))) p
      cross join lateral (select * from withdrawn_purposes where requested_id = p.subject_id offset 0) w
  )`;

/** Part of a statement: the same of an event `e` that lies on the disk, as its purposes and its context. @param sub an expression */
export const leftOfPurposes = (sub: string) => `
      select case when lost is null then e.purposes else nullif(array_to_string(kept, ' '), 'service') end,
             case when lost is null then e.context else coalesce(e.context, '{}') || jsonb_build_object('consents_withdrawn', lost) end
        from (select array_agg(p.name order by p.n) filter (where w.purpose is not null) as lost,
                     array_agg(p.name order by p.n) filter (where w.purpose is null) as kept
                from unnest(string_to_array(e.purposes, ' ')) with ordinality as p (name, n)
                left join withdrawn_purposes w on w.requested_id = ${sub} and w.purpose = p.name and w.at <= e."timestamp") p`;

type Stamped = { consents: string[]; divided: { context: string | null } };

export function withoutWithdrawn<Row extends Stamped>(row: Row, withdrawn: string[]): Row {
  if (!withdrawn.length) return row;
  const lost = row.consents.filter((purpose) => withdrawn.includes(purpose));
  if (!lost.length) return row;
  const own: Record<string, unknown> = JSON.parse(row.divided.context ?? '{}');
  return {
    ...row,
    consents: row.consents.filter((purpose) => !lost.includes(purpose)),
    divided: { ...row.divided, context: JSON.stringify({ ...own, consents_withdrawn: lost }) },
  };
}
