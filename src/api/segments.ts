/** Segments: their definitions, members and log. The rules are segments/. */
import type { Knex } from 'knex';
import { z } from 'zod';
import { type AuditEntry, recordAudit } from '../audit/audit.ts';
import { changesOf, membersOf, sizesOf } from '../segments/membership.ts';
import { previewSegment } from '../segments/preview.ts';
import {
  changeList,
  createList,
  createSegment,
  editSegment,
  segmentDetail,
  segmentPage,
  statusChanges,
} from '../segments/segment.ts';
import { templates } from '../segments/templates.ts';
import { idempotencyHeaders, type Write, writeOnce } from './idempotency.ts';
import { matched } from './memberships.ts';
import { afterOf, pageAfter, pageOf, pageQuery, timestamp } from './page.ts';
import { subjectId } from './person.ts';
import { type ApiServices, type Asking, actorOf, route } from './services.ts';

const definition = z.looseObject({}).meta({
  id: 'SegmentDefinition',
  description: '`{ version: 1, key, name, purpose, tz?, where }`; docs/segments.md says what `where` may hold.',
});
const key = z.string();
const params = z.object({ key });

const item = z
  .object({
    key,
    name: z.string(),
    kind: z.enum(['rule', 'list']).meta({ description: '`list`: filled by hand.' }),
    purpose: z.string(),
    status: z.enum(['active', 'paused', 'archived']),
    version: z.int(),
    size: z.int(),
    created_at: timestamp,
    created_by: z.string(),
    updated_at: timestamp,
  })
  .meta({ id: 'Segment' });
const build = z.object({
  version: z.int(),
  status: z.enum(['building', 'live', 'retired', 'failed']),
  asked_at: timestamp,
  published_at: timestamp.nullable(),
  members: z.int().nullable(),
  took_ms: z.int().nullable(),
  error: z.string().nullable(),
});
const detail = item
  .extend({
    definition,
    versions: z.array(z.object({ version: z.int(), created_at: timestamp, created_by: z.string(), definition })),
    build: build
      .nullable()
      .meta({ description: 'The newest evaluation for everybody. Until it is live, the one before it counts.' }),
  })
  .meta({ id: 'SegmentDetail' });
const member = z.object({ sub: subjectId, entered_at: timestamp, matched: matched.optional() }).meta({ id: 'Member' });
const change = z.object({
  id: z.uuid(),
  sub: subjectId,
  change: z.enum(['entered', 'exited']),
  reason: z.string(),
  version: z.int(),
  at: timestamp,
  matched,
});
const size = z.object({ hour: timestamp, entered: z.int(), exited: z.int(), size: z.int() });

const tag = 'Segments';
const reads = { tag, scopes: ['segments:read'] };
const writes = { tag, scopes: ['segments:write'], headers: idempotencyHeaders };

type Keyed = Asking & Omit<Write, 'operation'> & { params: z.output<typeof params> };
type Effect<Answer> = (
  trx: Knex.Transaction,
  segment: string,
  by: string,
) => Promise<{ action: string; details?: AuditEntry['details']; answer: Answer }>;

/** Changes the segment of the path once, on record. */
function writeTo<Answer>(services: ApiServices, request: Keyed, operation: string, effect: Effect<Answer>) {
  const {
    params: { key: segment },
    body,
    caller,
    headers,
  } = request;
  return writeOnce(services, { caller, operation: `${operation} ${segment}`, body, headers }, async (trx) => {
    const { action, details, answer } = await effect(trx, segment, `client:${caller.client_id}`);
    await recordAudit(trx, { ...actorOf(request), action, details: { segment, ...details } });
    return answer;
  });
}

async function shown({ db }: Pick<ApiServices, 'db'>, segment_key: string) {
  const { row, size: members, versions, build: newest, definition: asked } = await segmentDetail(db, segment_key);
  const { id: _id, live_build_id: _live, ...segment } = row;
  return { ...segment, size: members, definition: asked, versions, build: newest ?? null };
}

export const segmentRoutes = [
  route({
    ...reads,
    method: 'get',
    path: '/segments',
    id: 'listSegments',
    summary: 'Segments, by key',
    query: pageQuery,
    answer: pageOf(item),
    async handle({ db }, { query }) {
      const data = await segmentPage(db, { after: afterOf(query.cursor), limit: query.limit + 1 });
      return pageAfter(data, query.limit, (segment) => segment.key);
    },
  }),
  route({
    ...writes,
    method: 'post',
    path: '/segments',
    id: 'createSegment',
    summary: 'Define a segment',
    description:
      'Evaluated for everybody in the background, and live from then on. Every fault of the definition is named by its path. With `kind: "list"` and no `where`, the segment is filled by hand.',
    body: definition,
    status: 201,
    answer: detail,
    errors: ['conflict', 'idempotency_key_reused'],
    handle(services, request) {
      const { body, caller, headers } = request;
      return writeOnce(services, { caller, operation: 'createSegment', body, headers }, async (trx) => {
        const by = `client:${caller.client_id}`;
        const made = await (body.kind === 'list' ? createList : createSegment)(trx, services, body, by);
        await recordAudit(trx, { ...actorOf(request), action: 'segment.created', details: { segment: made.key } });
        return shown({ db: trx }, made.key);
      });
    },
  }),
  route({
    ...reads,
    method: 'post',
    path: '/segments/preview',
    id: 'previewSegment',
    summary: 'How many a definition would hold, and some of them',
    description: 'Nothing is stored. A definition that takes longer than ten seconds to evaluate answers 503.',
    body: definition,
    answer: z
      .object({ count: z.int(), sample: z.array(member.omit({ entered_at: true })) })
      .meta({ id: 'SegmentPreview' }),
    handle: (services, { body }) => previewSegment(services, body),
  }),
  route({
    ...reads,
    method: 'get',
    path: '/segments/templates',
    id: 'listSegmentTemplates',
    summary: 'Definitions to start from',
    answer: z.object({
      data: z.array(
        z.object({
          title: z.record(z.string(), z.string()),
          description: z.record(z.string(), z.string()),
          definition,
        }),
      ),
    }),
    handle: async () => ({ data: templates }),
  }),
  route({
    ...reads,
    method: 'get',
    path: '/segments/{key}',
    id: 'getSegment',
    summary: 'A segment, with every version of its definition',
    params,
    answer: detail,
    handle: (services, { params: { key: segment_key } }) => shown(services, segment_key),
  }),
  route({
    ...writes,
    method: 'put',
    path: '/segments/{key}',
    id: 'editSegment',
    summary: 'Change the definition',
    description: 'A new version, evaluated for everybody; the one in force counts until that is done.',
    params,
    body: definition,
    answer: detail,
    errors: ['conflict', 'idempotency_key_reused'],
    handle: (services, request) =>
      writeTo(services, request, 'editSegment', async (trx, segment, by) => {
        const { version } = await editSegment(trx, services, segment, request.body, by);
        return { action: 'segment.edited', details: { version }, answer: await shown({ db: trx }, segment) };
      }),
  }),
  route({
    ...writes,
    method: 'put',
    path: '/segments/{key}/status',
    id: 'setSegmentStatus',
    summary: 'Pause a segment, let it go on, or put it away',
    description:
      'Paused, nobody enters, and only who may not be a member any more leaves. Archived, everybody leaves it; versions and log stay.',
    params,
    body: z.strictObject({ status: z.enum(['active', 'paused', 'archived']) }),
    answer: detail,
    errors: ['conflict', 'idempotency_key_reused'],
    handle(services, request) {
      const { status } = request.body;
      return writeTo(services, request, 'setSegmentStatus', async (trx, segment) => {
        await statusChanges[status](trx, services, segment);
        return { action: `segment.${status}`, answer: await shown({ db: trx }, segment) };
      });
    },
  }),
  route({
    ...writes,
    method: 'post',
    path: '/segments/{key}/list',
    id: 'changeSegmentList',
    summary: 'Put people into a list, or take them out',
    description: 'They are members as far as they agree to the purpose of the segment.',
    params,
    body: z.strictObject({
      add: z.array(subjectId).max(1000).default([]),
      remove: z.array(subjectId).max(1000).default([]),
    }),
    answer: z.object({ added: z.int(), removed: z.int() }),
    errors: ['idempotency_key_reused'],
    handle: (services, request) =>
      writeTo(services, request, 'changeSegmentList', async (trx, segment, by) => {
        const changed = await changeList(trx, services, segment, { ...request.body, by });
        return { action: 'segment.list_changed', details: changed, answer: changed };
      }),
  }),
  route({
    ...reads,
    method: 'get',
    path: '/segments/{key}/members',
    id: 'listSegmentMembers',
    summary: 'Who is in it now',
    params,
    query: pageQuery,
    answer: pageOf(member),
    async handle({ db }, { params: { key: segment_key }, query }) {
      const after = afterOf(query.cursor);
      const members = await membersOf(db, segment_key, { after: after ?? null, limit: query.limit + 1 });
      return pageAfter(members.map(withoutNothing), query.limit, ({ sub }) => sub);
    },
  }),
  route({
    ...reads,
    method: 'get',
    path: '/segments/{key}/changes',
    id: 'listSegmentChanges',
    summary: 'Who came and who went, newest first',
    params,
    query: pageQuery,
    answer: pageOf(change),
    async handle({ db }, { params: { key: segment_key }, query }) {
      const changes = await changesOf(db, segment_key, {
        before: afterOf(query.cursor) ?? null,
        limit: query.limit + 1,
      });
      return pageAfter(changes, query.limit, ({ id }) => id);
    },
  }),
  route({
    ...reads,
    method: 'get',
    path: '/segments/{key}/sizes',
    id: 'listSegmentSizes',
    summary: 'How it grew: the hours in which it changed',
    params,
    query: z.strictObject({ days: z.coerce.number().int().min(1).max(730).default(90) }),
    answer: z.object({ data: z.array(size) }),
    async handle({ db, clock }, { params: { key: segment_key }, query }) {
      const since = new Date(clock.now().getTime() - query.days * 86_400_000);
      return { data: await sizesOf(db, segment_key, since) };
    },
  }),
];

function withoutNothing<Of extends { matched: unknown }>({ matched: values, ...rest }: Of) {
  return values === null ? rest : { ...rest, matched: values };
}
