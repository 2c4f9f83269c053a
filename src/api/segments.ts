/** Segments: their definitions, members and log. The rules are segments/. */
import { z } from 'zod';
import { recordAudit } from '../audit/audit.ts';
import { changesOf, explainMembership, membershipsOf, membersOf, sizesOf } from '../segments/membership.ts';
import { previewSegment } from '../segments/preview.ts';
import {
  archiveSegment,
  changeList,
  createList,
  createSegment,
  editSegment,
  pauseSegment,
  resumeSegment,
  segmentDetail,
  segmentPage,
} from '../segments/segment.ts';
import { templates } from '../segments/templates.ts';
import { idempotencyHeaders, writeOnce } from './idempotency.ts';
import { afterOf, pageAfter, pageOf, pageQuery, timestamp } from './page.ts';
import { requestedSubject, standing, subjectId } from './person.ts';
import { type ApiServices, actorOf, route } from './services.ts';

const definition = z.looseObject({}).meta({
  id: 'SegmentDefinition',
  description: '`{ version: 1, key, name, purpose, tz?, where }`; docs/segments.md says what `where` may hold.',
});
const matched = z
  .record(z.string(), z.array(z.union([z.string(), z.number(), z.boolean()])))
  .nullable()
  .meta({ description: 'Of a `per` condition: the values of its path that meet it.' });
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
    handle(services, request) {
      const {
        params: { key: segment_key },
        body,
        caller,
        headers,
      } = request;
      return writeOnce(services, { caller, operation: `editSegment ${segment_key}`, body, headers }, async (trx) => {
        const { version } = await editSegment(trx, services, segment_key, body, `client:${caller.client_id}`);
        await recordAudit(trx, {
          ...actorOf(request),
          action: 'segment.edited',
          details: { segment: segment_key, version },
        });
        return shown({ db: trx }, segment_key);
      });
    },
  }),
  route({
    ...writes,
    method: 'put',
    path: '/segments/{key}/status',
    id: 'setSegmentStatus',
    summary: 'Pause a segment, let it go on, or put it away',
    description: 'Paused, its members stay as they are. Archived, everybody leaves it; versions and log stay.',
    params,
    body: z.strictObject({ status: z.enum(['active', 'paused', 'archived']) }),
    answer: detail,
    errors: ['conflict', 'idempotency_key_reused'],
    handle(services, request) {
      const {
        params: { key: segment_key },
        body,
        caller,
        headers,
      } = request;
      const change = { active: resumeSegment, paused: pauseSegment, archived: archiveSegment }[body.status];
      return writeOnce(
        services,
        { caller, operation: `setSegmentStatus ${segment_key}`, body, headers },
        async (trx) => {
          await change(trx, services, segment_key);
          await recordAudit(trx, {
            ...actorOf(request),
            action: `segment.${body.status}`,
            details: { segment: segment_key },
          });
          return shown({ db: trx }, segment_key);
        },
      );
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
    handle(services, request) {
      const {
        params: { key: segment_key },
        body,
        caller,
        headers,
      } = request;
      return writeOnce(
        services,
        { caller, operation: `changeSegmentList ${segment_key}`, body, headers },
        async (trx) => {
          const changed = await changeList(trx, services, segment_key, { ...body, by: `client:${caller.client_id}` });
          await recordAudit(trx, {
            ...actorOf(request),
            action: 'segment.list_changed',
            details: { segment: segment_key, ...changed },
          });
          return changed;
        },
      );
    },
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
  route({
    tag,
    scopes: ['subjects:read'],
    method: 'get',
    path: '/subjects/{sub}/segments',
    id: 'listSubjectSegments',
    summary: 'The segments a person is in',
    params: requestedSubject,
    answer: z.object({ data: z.array(z.object({ key, name: z.string(), entered_at: timestamp, matched })) }),
    async handle({ db }, { params: { sub } }) {
      return { data: await membershipsOf(db, (await standing(db, sub)).sub) };
    },
  }),
  route({
    tag,
    scopes: ['segments:read'],
    method: 'get',
    path: '/subjects/{sub}/segments/{key}/explain',
    id: 'explainMembership',
    summary: 'Why a person is in a segment, or is not',
    params: requestedSubject.extend({ key }),
    answer: z
      .object({
        sub: subjectId,
        segment: z.string(),
        is_member: z.boolean(),
        entered_at: timestamp.nullable(),
        matched,
        explanation: z
          .looseObject({})
          .meta({ description: 'Each condition with what was found, and the events that speak for it.' }),
      })
      .meta({ id: 'MembershipExplanation' }),
    async handle(services, { params: { sub, key: segment_key } }) {
      return explainMembership(services, segment_key, (await standing(services.db, sub)).sub);
    },
  }),
];

function withoutNothing<Of extends { matched: unknown }>({ matched: values, ...rest }: Of) {
  return values === null ? rest : { ...rest, matched: values };
}
