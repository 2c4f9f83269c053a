/**
 * Events as they arrive, accepted and refused, newest first: what somebody watches who has just put a tracker in. It looks back an hour;
 * a person's history is timeline.ts, and refusals of a week are in rejections.ts.
 */
import type { Knex } from 'knex';
import { fail } from '../errors.ts';
import type { Catalogue } from './catalogue.ts';
import { newestSql, type RejectionRow, readRejections } from './rejections.ts';
import type { EventRow } from './store.ts';
import type { Trust } from './trust.ts';
import { listSources, type Source } from './write-keys.ts';

export type Accepted = Pick<
  EventRow,
  | 'id'
  | 'message_id'
  | 'type'
  | 'event'
  | 'original_event'
  | 'channel'
  | 'trust'
  | 'counts'
  | 'consents'
  | 'anonymous_id'
  | 'claimed_user_id'
  | 'properties'
  | 'context'
> & {
  outcome: 'accepted';
  received_at: Date;
  timestamp: Date;
  source: Source;
  /** The sub it was recorded under. Null: nobody's yet, or somebody's through the anonymous id. */
  recorded_sub: string | null;
  /** The trust that it would take to count. */
  least_trust: Trust;
};
export type Refused = Omit<RejectionRow, 'source_id'> & { outcome: 'refused'; source: Source };
export type FeedItem = Accepted | Refused;

export type Feed = {
  /**
   * The newest `limit` of them; of what more was received in the last minute, the newest few of each source before the rest, so that none
   * hides all others. What was received in the last seconds of the page before comes again, under its id.
   */
  data: FeedItem[];
  /** Ask with it for what came since. */
  next_cursor: string;
  /** There was more than fits. */
  has_more: boolean;
};

export type FeedFilter = {
  /** A write key's, or that of a client's tokens. */
  source_id?: number | undefined;
  outcome?: FeedItem['outcome'] | undefined;
};

type Services = { db: Knex; now: Date; catalogue: Catalogue };

const second = 1_000;
/** From the answer to a tracker's request back to its receipt: what was being stored when the page before was read. */
const overlapMs = 5 * second;
const minuteMs = 60 * second;
const hourMs = 3_600 * second;
/** A busy system fills a page from the first of these; only a quiet one is read further back. */
const stretches = [minuteMs, hourMs];
/** What a source has for sure of a page, accepted and refused each: two of them leave most of it to whoever sends most. */
const shareOfPage = 1 / 10;

/** @throws invalid_fields for a cursor that is none of ours */
export async function readFeed(
  services: Services,
  { limit, cursor, ...filter }: FeedFilter & { limit: number; cursor?: string | undefined },
): Promise<Feed> {
  const now = services.now.getTime();
  const seen = cursor === undefined ? undefined : readCursor(cursor);
  const starts = seen === undefined ? stretches.map((back) => now - back) : [Math.max(seen - overlapMs, now - hourMs)];
  let items: FeedItem[] = [];
  let share: number | undefined;
  for (const start of starts) {
    // Of an hour in which millions arrived, telling sources apart would take longer than the page is worth.
    share = start >= now - minuteMs ? Math.ceil(limit * shareOfPage) : undefined;
    items = await readSince(services, filter, { after: new Date(start), limit: limit + 1, share });
    if (items.length > limit) break;
  }
  const next_cursor = Buffer.from(String(now)).toString('base64url');
  return { data: shareOut(items, limit, share), next_cursor, has_more: items.length > limit };
}

/** So many of them, newest first: each source has its share before anybody has more. */
function shareOut(items: FeedItem[], limit: number, share = 0): FeedItem[] {
  const sorted = items.toSorted(newestFirst);
  const seen = new Map<string, number>();
  const [sure, others]: [FeedItem[], FeedItem[]] = [[], []];
  for (const item of sorted) {
    const whose = `${item.outcome} ${item.source.id}`;
    const n = (seen.get(whose) ?? 0) + 1;
    seen.set(whose, n);
    (n <= share ? sure : others).push(item);
  }
  return [...sure, ...others].slice(0, limit).sort(newestFirst);
}

const newestFirst = (a: FeedItem, b: FeedItem) =>
  b.received_at.getTime() - a.received_at.getTime() || (a.id < b.id ? 1 : -1);

function readCursor(cursor: string): number {
  const text = Buffer.from(cursor, 'base64url').toString();
  if (!/^\d{1,15}$/.test(text))
    throw fail('invalid_fields', { fields: { cursor: 'This is not a cursor of the feed.' } });
  return Number(text);
}

type Stretch = { after: Date; limit: number; share: number | undefined };

async function readSince({ db, catalogue }: Services, filter: FeedFilter, stretch: Stretch): Promise<FeedItem[]> {
  const sources = new Map((await listSources(db)).map((source) => [source.id, source]));
  const sourceOf = (id: number) => sources.get(id) ?? { id, kind: 'write_key' as const, name: '', catalogue: {} };
  const accepted = filter.outcome === 'refused' ? [] : await readAccepted(db, filter, stretch);
  const refused =
    filter.outcome === 'accepted' ? [] : await readRejections(db, { source_id: filter.source_id }, stretch);
  return [
    ...accepted.map(({ source_id, ...row }) => {
      const source = sourceOf(source_id);
      const least_trust = catalogue.leastTrust(row.event, source.catalogue);
      return { outcome: 'accepted' as const, ...row, source, least_trust };
    }),
    ...refused.map(({ source_id, ...row }) => ({ outcome: 'refused' as const, ...row, source: sourceOf(source_id) })),
  ];
}

async function readAccepted(db: Knex, { source_id }: FeedFilter, { after, limit, share }: Stretch) {
  const inStretch = db('recorded_events').where('received_at', '>', after);
  if (source_id !== undefined) inStretch.where({ source_id });
  const newest = inStretch.clone().orderByRaw(newestSql(share)).limit(limit);
  const rows = inStretch.select(
    'id',
    'source_id',
    'received_at',
    'timestamp',
    'message_id',
    'type',
    'event',
    'original_event',
    'channel',
    'trust',
    'counts',
    'consents',
    'anonymous_id',
    'claimed_user_id',
    'properties',
    'context',
    'subject_id as recorded_sub',
  );
  // Which they are is found out first: sorting whole events by source took five times as long.
  if (share !== undefined && source_id === undefined) rows.whereIn('id', newest.select('id'));
  else rows.orderByRaw(newestSql()).limit(limit);
  return rows as Promise<(Omit<Accepted, 'outcome' | 'source' | 'least_trust'> & { source_id: number })[]>;
}
