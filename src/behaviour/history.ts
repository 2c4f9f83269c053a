/** Reads what people did, through the views of events/ and subjects/. */
import type { Knex } from 'knex';
import { isTimedOut } from '../database.ts';
import { inTurn } from '../events/admission.ts';
import type { BehaviourEvent } from './language.ts';
import type { Needs } from './needs.ts';

/**
 * So many events are in hand besides those of one person. Anybody may send 32 KB with each, so it is memory that is bounded here, and not
 * by how many people are asked about (threat F17).
 */
const portion = 500;
/**
 * What one person's events may take, by the length of their text and what an event costs besides: some 50,000 with a few fields each. Nobody
 * comes near it who is somebody.
 */
const mostOfOne = 50_000_000;
const costOfOne = 1_000;
/** One more than fit in: whose events are so many is known to be too long without a look at the others. */
const mostRows = mostOfOne / costOfOne + 1;
/** In bytes, as it is stored: to look through less takes longer than to read it. */
const small = 1_000;

/** For one statement about one subject, in milliseconds. */
const patience = 2_000;
/** Whoever asks after the same busy person a dozen times at once must not have all connections. */
const many = inTurn(2);

/**
 * The events of one subject that count, in order; of subs that it absorbed too, where these read as one. Null where they are more than can be
 * held, or than can be found in two seconds: ask the database (sql.ts).
 *
 * @param needs leaves out events of other names, older ones, and fields that nothing asks for
 */
export async function readBehaviour(db: Knex, sub: string, needs: Needs): Promise<BehaviourEvent[] | null> {
  if (!needs.names.length) return [];
  const { sql, bindings } = select([sub], needs);
  const { rows } = await db.raw(`${sql} limit ${portion + 1}`, bindings);
  if (rows.length <= portion) return rows.map(eventOf);
  return many(() =>
    db
      .transaction(async (trx) => {
        await trx.raw(`select set_config('statement_timeout', ?, true)`, [String(patience)]);
        const { rows } = await trx.raw(`select count(*) as n from (${sql}) e`, bindings);
        let found: BehaviourEvent[] | null = null;
        if (rows[0].n < mostRows) for await (const { events } of readBehaviours(trx, [sub], needs)) found = events;
        return found;
      })
      .catch((error: unknown) => {
        if (isTimedOut(error)) return null;
        throw error;
      }),
  );
}

/** The same of several, one after the other in the order of their subs; who did nothing is passed over. */
export async function* readBehaviours(
  trx: Knex.Transaction,
  subs: string[],
  needs: Needs,
): AsyncGenerator<{ sub: string; events: BehaviourEvent[] | null }> {
  for (let left = subs; left.length; ) {
    let current: { sub: string; events: BehaviourEvent[]; size: number } | undefined;
    let tooLong: string | undefined;
    const { sql, bindings } = select(left, needs);
    await trx.raw(`declare behaviours no scroll cursor for ${sql}`, bindings);
    for (let more = true; more && tooLong === undefined; ) {
      const { rows }: { rows: Row[] } = await trx.raw(`fetch ${portion} from behaviours`);
      more = rows.length === portion;
      for (const row of rows) {
        if (current?.sub !== row.subject_id) {
          if (current) yield current;
          current = { sub: row.subject_id, events: [], size: 0 };
        }
        current.size += costOfOne + row.properties.length + row.context.length;
        if (current.size > mostOfOne) {
          tooLong = current.sub;
          break;
        }
        current.events.push(eventOf(row));
      }
    }
    await trx.raw('close behaviours');
    if (tooLong === undefined) {
      if (current) yield current;
      return;
    }
    yield { sub: tooLong, events: null };
    // What is left of them is not read; those behind are asked about anew.
    const last = tooLong;
    left = left.filter((sub) => sub > last);
  }
}

type Row = Omit<BehaviourEvent, 'properties' | 'context'> & { subject_id: string; properties: string; context: string };

function eventOf({ id, timestamp, event, channel, trust, consents, properties, context }: Row): BehaviourEvent {
  return {
    id,
    timestamp: Number(timestamp),
    event,
    channel,
    trust,
    consents,
    properties: JSON.parse(properties),
    context: JSON.parse(context),
  };
}

/**
 * The limit keeps the lateral join one too: as a plain join PostgreSQL reads all events there are, not those of these subjects by index. A
 * context that nothing asks for is not put together.
 */
function select(subs: string[], { names, since, fields }: Needs): { sql: string; bindings: Record<string, unknown> } {
  const columns = (['properties', 'context'] as const).filter((column) => fields[column].length);
  const told = (column: 'properties' | 'context') => {
    if (!columns.includes(column)) return `'{}' as ${column}`;
    if (fields[column] === '*') return `e.${column}::text as ${column}`;
    return `case when pg_column_size(e.${column}) < ${small} then e.${column}::text
                 else coalesce((select jsonb_object_agg(f.key, f.value) from jsonb_each(e.${column}) f
                                 where f.key = any (:${column}::text[])), '{}')::text end as ${column}`;
  };
  return {
    sql: `select m.subject_id, e.id, extract(epoch from e."timestamp") * 1000 as "timestamp", e.event, e.channel, e.trust, e.consents,
            ${told('properties')}, ${told('context')}
       from behaviour_members m
       cross join lateral (
         select ${['id', '"timestamp"', 'event', 'channel', 'trust', 'consents', ...columns].map((column) => `a.${column}`).join(', ')}
           from attributed_events a
          where a.recorded_sub = m.member_id
            and (:names::text[] is null or a.event = any (:names::text[]))
            and (:since::timestamptz is null or a."timestamp" > :since::timestamptz)
         limit ${mostRows}) e
      where m.subject_id = any (:subs::uuid[])
      order by m.subject_id, e."timestamp", e.id`,
    bindings: {
      subs,
      names: names === '*' ? null : names,
      since: since === null ? null : new Date(since),
      ...fields,
    },
  };
}
