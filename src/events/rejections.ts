/** What was refused and why (table event_rejections): kept seven days for the key's owner. */
import type { Knex } from 'knex';
import { batched } from '../database.ts';
import { storableJson } from './storable.ts';

/** Part of a statement: `from` selects source_id, message_id, code, message. */
export const addRejections = (from: string) => `
      insert into event_rejections (source_id, message_id, code, message, received_at)
      select r.*, now() from (${from}) r`;

export type Rejection = {
  message_id: string | null;
  code: string;
  message: string;
  /** The property that broke its type. */
  path: string | null;
  /** The start of what was sent, masked. */
  sample: string | null;
};

export type Rejected = { source_id: number; received_at: Date; rejections: Rejection[] };

/** Of one source in an hour: enough to see what is wrong, and no way to fill the disk with what was refused (threat F17). */
export const mostAnHour = 1_000;

/** Those of requests that are served at the same time travel together. What a source has already is counted once for all of its rows. */
export const insertRejections = batched(async (db, asked: Rejected[]) => {
  const rows = asked.flatMap(({ rejections, ...of }) => rejections.map((rejection) => ({ ...of, ...rejection })));
  await db.raw(
    `with refused as (
       select r.*, row_number() over (partition by source_id order by place) as position
         from rows from (json_to_recordset(:rows::json) as (source_id int, received_at timestamptz, message_id text, code text,
                                                            message text, path text, sample text))
              with ordinality as r (source_id, received_at, message_id, code, message, path, sample, place)
     ), kept as (
       select source_id, (select count(*) from (
                select from event_rejections e
                 where e.source_id = s.source_id and e.received_at > s.received_at - interval '1 hour' limit :most) k) as n
         from (select source_id, max(received_at) as received_at from refused group by source_id) s
     )
     insert into event_rejections (source_id, received_at, message_id, code, message, path, sample)
     select source_id, received_at, message_id, code, message, path, sample
       from refused join kept using (source_id) where position + n <= :most order by place`,
    { rows: storableJson(rows), most: mostAnHour },
  );
  return asked.map(() => undefined);
});

export type RejectionRow = Rejection & { id: string; source_id: number; received_at: Date };

export type RejectionFilter = { source_id?: number | undefined; code?: string | undefined };

/** Part of a statement: the order newest first, or with a share, what is among the newest so many of its source before what is not. */
export const newestSql = (share?: number) =>
  `${share === undefined ? '' : `row_number() over (partition by source_id order by received_at desc, id desc) > ${share}, `}received_at desc, id desc`;

/** Newest first. `after`: received later than that; `before`: older than the row of this moment and id; `share`: as in newestSql. */
export async function readRejections(
  db: Knex,
  filter: RejectionFilter,
  page: {
    limit: number;
    after?: Date | undefined;
    before?: { at: string; id: string } | undefined;
    share?: number | undefined;
  },
): Promise<RejectionRow[]> {
  const rows = db('event_rejections')
    .select('id', 'source_id', 'received_at', 'message_id', 'code', 'message', 'path', 'sample')
    .where(wanted(filter))
    .orderByRaw(newestSql(page.share))
    .limit(page.limit);
  if (page.after) rows.where('received_at', '>', page.after);
  if (page.before) rows.whereRaw('(received_at, id) < (?::timestamptz, ?::uuid)', [page.before.at, page.before.id]);
  return rows;
}

export type RejectionCount = {
  source_id: number;
  code: string;
  n: number;
  first_at: Date;
  last_at: Date;
  /** Of the latest one. */
  message: string;
  path: string | null;
};

/** How many of which kind, the most frequent first. */
export async function countRejections(db: Knex, filter: RejectionFilter): Promise<RejectionCount[]> {
  return db('event_rejections')
    .select(
      'source_id',
      'code',
      db.raw('count(*) as n'),
      db.raw('min(received_at) as first_at'),
      db.raw('max(received_at) as last_at'),
      db.raw('(array_agg(message order by received_at desc))[1] as message'),
      db.raw('(array_agg(path order by received_at desc))[1] as path'),
    )
    .where(wanted(filter))
    .groupBy('source_id', 'code')
    .orderBy([{ column: 'n', order: 'desc' }, 'source_id', 'code']);
}

const wanted = ({ source_id, code }: RejectionFilter) => ({
  ...(source_id !== undefined && { source_id }),
  ...(code !== undefined && { code }),
});

/** @returns how many went; so many at most, so that no statement holds locks for long */
export async function deleteOldRejections(db: Knex, limit: number): Promise<number> {
  const { rowCount } = await db.raw(
    `delete from event_rejections where ctid = any (array(
       select ctid from event_rejections where received_at < now() - interval '7 days' limit ?))`,
    [limit],
  );
  return rowCount;
}
