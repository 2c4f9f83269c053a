/** What trackers send: events as they arrive, and what was refused. The rules are events/. */
import { z } from 'zod';
import { readFeed } from '../events/feed.ts';
import { countRejections, readRejections } from '../events/rejections.ts';
import { trusts } from '../events/trust.ts';
import { listSources } from '../events/write-keys.ts';
import { keysetCursor, pageOf, pageQuery, readKeyset, timestamp } from './page.ts';
import { type ApiServices, route } from './services.ts';

const source = z
  .object({ id: z.int(), kind: z.enum(['write_key', 'token']), name: z.string() })
  .meta({ id: 'EventSource', description: 'A write key, or the tokens of a client. `name`: of the key; `client_id`.' });
const ofSource = z.coerce
  .number()
  .int()
  .min(1)
  .max(2_147_483_647)
  .optional()
  .meta({ description: 'Id of a write key.', override: { type: 'integer' } });

const refusal = z.object({
  id: z.uuid(),
  source,
  received_at: timestamp,
  message_id: z.string().nullable(),
  code: z.string(),
  message: z.string(),
  path: z.string().nullable().meta({ description: 'The property that broke its type.' }),
  sample: z.string().nullable().meta({ description: 'The start of what was sent, masked.' }),
});

const feedItem = z
  .discriminatedUnion('outcome', [
    z.object({
      outcome: z.literal('accepted'),
      id: z.uuid(),
      source,
      received_at: timestamp,
      timestamp,
      message_id: z.string(),
      type: z.string(),
      event: z.string(),
      original_event: z.string().nullable(),
      channel: z.string(),
      trust: z.enum(trusts),
      counts: z.boolean(),
      least_trust: z.enum(trusts).meta({ description: 'What it takes to count.' }),
      consents: z.array(z.string()),
      recorded_sub: z.string().nullable(),
      anonymous_id: z.string().nullable(),
      claimed_user_id: z.string().nullable(),
      properties: z.looseObject({}),
      context: z.looseObject({}),
    }),
    refusal.extend({ outcome: z.literal('refused') }),
  ])
  .meta({ id: 'FeedItem' });

const shared = { tag: 'Events', scopes: ['settings:write'], method: 'get' as const };

export const eventRoutes = [
  route({
    ...shared,
    path: '/events/feed',
    id: 'readEventFeed',
    summary: 'Events as they arrive, accepted and refused, newest first',
    description:
      'The last hour. Ask again with `next_cursor` for what came since; what arrived in the seconds before it comes a second time, with the same `id`.',
    query: z.strictObject({
      write_key: ofSource,
      outcome: z.enum(['accepted', 'refused']).optional(),
      limit: pageQuery.shape.limit,
      cursor: pageQuery.shape.cursor,
    }),
    answer: z.object({ data: z.array(feedItem), next_cursor: z.string(), has_more: z.boolean() }),
    async handle({ db, clock, readCatalogue }, { query: { write_key: source_id, ...query } }) {
      return readFeed({ db, now: clock.now(), catalogue: await readCatalogue() }, { source_id, ...query });
    },
  }),
  route({
    ...shared,
    path: '/events/rejections',
    id: 'listEventRejections',
    summary: 'Events that were refused, newest first',
    description: 'Kept for seven days. Of one request a hundred at most.',
    query: pageQuery.extend({ write_key: ofSource, code: z.string().max(50).optional() }),
    answer: pageOf(refusal.meta({ id: 'EventRejection' })),
    async handle({ db }, { query: { write_key: source_id, code, limit, cursor } }) {
      const before = cursor === undefined ? undefined : readKeyset(cursor);
      const rows = await readRejections(db, { source_id, code }, { before, limit: limit + 1 });
      const data = rows.slice(0, limit);
      const last = rows.length > limit ? data.at(-1) : undefined;
      return {
        data: await withSource(db, data),
        next_cursor: last ? keysetCursor({ at: last.received_at.toISOString(), id: last.id }) : null,
      };
    },
  }),
  route({
    ...shared,
    path: '/events/rejections/summary',
    id: 'countEventRejections',
    summary: 'How many events were refused, by key and reason',
    description: 'Of the last seven days; the message and the path are those of the latest.',
    query: z.strictObject({ write_key: ofSource }),
    answer: z.object({
      data: z.array(
        z.object({
          source,
          code: z.string(),
          count: z.int(),
          first_at: timestamp,
          last_at: timestamp,
          message: z.string(),
          path: z.string().nullable(),
        }),
      ),
    }),
    async handle({ db }, { query: { write_key: source_id } }) {
      const counted = await countRejections(db, { source_id });
      return {
        data: await withSource(
          db,
          counted.map(({ n: count, ...of }) => ({ ...of, count })),
        ),
      };
    },
  }),
];

async function withSource<Of extends { source_id: number }>(db: ApiServices['db'], rows: Of[]) {
  const sources = new Map((await listSources(db)).map((known) => [known.id, known]));
  return rows.map(({ source_id, ...row }) => ({
    ...row,
    source: sources.get(source_id) ?? { id: source_id, kind: 'write_key' as const, name: '' },
  }));
}
