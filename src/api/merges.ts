/** Merging, undoing, and the queue of link cases. The rules are subjects/merge.ts, undo.ts and cases.ts. */
import { z } from 'zod';
import { fail } from '../errors.ts';
import { browserSessionsOf, grantsOf } from '../oidc/grants.ts';
import { decideCase, listCases } from '../subjects/cases.ts';
import { mergeSubjects, previewMerge } from '../subjects/merge.ts';
import { readMerge, undoMerge } from '../subjects/undo.ts';
import { idempotencyHeaders, writeOnce } from './idempotency.ts';
import { keysetCursor, pageOf, pageQuery, readKeyset, timestamp } from './page.ts';
import { kind, reason, subjectId } from './person.ts';
import { actorOf, route } from './services.ts';

const hint = z.string().meta({ description: 'The identity, masked.' });
const heldIdentity = z.object({ id: z.uuid(), kind, issuer: z.string(), hint });
const contested = z.object({ id: z.uuid(), hint });

const sideBody = z.object({
  sub: subjectId,
  status: z.enum(['active', 'suspended', 'deleted', 'absorbed']),
  created_at: timestamp,
  last_sign_in_at: timestamp.nullable(),
  nickname: z.string().nullable(),
  absorbed_before: z.array(subjectId),
  identities: z.array(heldIdentity.extend({ last_used_at: timestamp, is_superseded: z.boolean() })),
  ends: z
    .object({ sessions: z.int(), clients: z.array(z.string()) })
    .meta({ description: 'Of the absorbed one, what it is signed in to and will not be any more.' }),
});

const previewBody = z
  .object({
    survivor: sideBody,
    absorbed: sideBody,
    moves: z.array(heldIdentity).meta({ description: 'What comes to the survivor.' }),
    conflicts: z
      .array(z.object({ kind, issuer: z.string(), survivor: z.array(contested), absorbed: z.array(contested) }))
      .meta({ description: 'Both sides have one: name the one that stays current in `keep`.' }),
    fills: z.record(z.string(), z.string()).meta({ description: 'What the survivor lacks and takes over.' }),
    refusal: z.string().nullable().meta({ description: 'Why they cannot be merged; null when they can.' }),
  })
  .meta({ id: 'MergePreview' });

const mergeBody = z
  .object({
    id: z.uuid(),
    survivor: subjectId,
    absorbed: subjectId,
    basis: z
      .enum(['rule', 'person', 'staff'])
      .meta({ description: 'Who found them to be one: a rule at sign-in, the person, or staff and programs.' }),
    reason: z.string(),
    merged_at: timestamp,
  })
  .meta({ id: 'Merge' });

const undoBody = z
  .object({
    id: z.uuid(),
    survivor: subjectId.meta({ description: 'Who stands for the survivor today.' }),
    absorbed: subjectId,
    undone_at: timestamp.nullable(),
    returned: z.array(heldIdentity).meta({ description: 'Identities that went back to the absorbed one.' }),
    stays: z
      .array(heldIdentity)
      .meta({ description: 'Identities added after the merge: they stay with the survivor.' }),
    gone: z.int().meta({ description: 'Identities of the absorbed one that were taken away since.' }),
  })
  .meta({ id: 'UndoneMerge' });

const pair = z.strictObject({ survivor: subjectId, absorbed: subjectId });

const caseBody = z
  .object({
    id: z.uuid(),
    status: z.enum(['open', 'merged', 'dismissed']),
    reason: z.string(),
    subject: subjectId.meta({ description: 'Who signed in.' }),
    other: subjectId,
    identity_kind: kind,
    identity_issuer: z.string(),
    evidence: z.object({
      proven: z.array(z.string()).optional(),
      channel: z.string().optional(),
      client_id: z.string().optional(),
      contradictions: z
        .array(z.object({ reason: z.string(), kind: z.string().optional(), issuer: z.string().optional() }))
        .optional(),
    }),
    times_seen: z.int(),
    opened_at: timestamp,
    last_seen_at: timestamp,
    decided_at: timestamp.nullable(),
    decided_by: z.string().nullable(),
    decision_reason: z.string().nullable(),
    merge_id: z.uuid().nullable(),
  })
  .meta({ id: 'LinkCase' });

const tag = 'Merging';
/** Those who decide look first: one scope for both. */
const scopes = ['subjects:write'];
const reads = { tag, scopes };
const writes = { tag, scopes, headers: idempotencyHeaders };
const keep = z
  .array(z.uuid())
  .max(100)
  .default([])
  .meta({ description: 'Identities that stay current where both sides have one of a kind; otherwise the survivor’s.' });

type Listed = Awaited<ReturnType<typeof listCases>>['cases'][number];

const shown = ({ current, ...row }: Listed) => ({ ...row, subject: current.subject, other: current.other });

export const mergeRoutes = [
  route({
    ...reads,
    method: 'post',
    path: '/merges/preview',
    id: 'previewMerge',
    summary: 'What a merge would do',
    body: pair,
    answer: previewBody,
    async handle(services, { body }) {
      const preview = await previewMerge(services, body);
      const ends = async (sub: string) => ({
        sessions: (await browserSessionsOf(services.db, sub)).length,
        clients: [...new Set((await grantsOf(services, sub)).map(({ client_id }) => client_id))],
      });
      return {
        ...preview,
        survivor: { ...preview.survivor, ends: await ends(body.survivor) },
        absorbed: { ...preview.absorbed, ends: await ends(body.absorbed) },
        refusal: preview.refusal ?? null,
      };
    },
  }),
  route({
    ...writes,
    method: 'post',
    path: '/merges',
    id: 'mergeSubjects',
    summary: 'Make two subjects one person',
    description:
      'The absorbed `sub` keeps resolving to the survivor. Its clients hear of it by back-channel logout, then its sessions and grants end. The same pair again answers with the first merge.',
    body: pair.extend({ reason, keep }),
    status: 201,
    answer: mergeBody,
    errors: ['merge_refused', 'idempotency_key_reused'],
    handle(services, request) {
      const { body, caller, headers } = request;
      return writeOnce(services, { caller, operation: 'mergeSubjects', body, headers }, (trx) =>
        mergeSubjects({ ...services, db: trx }, { ...body, basis: 'staff', actor: actorOf(request) }),
      );
    },
  }),
  route({
    ...reads,
    method: 'get',
    path: '/merges/{id}',
    id: 'getMerge',
    summary: 'Read a merge',
    params: z.object({ id: z.uuid() }),
    answer: mergeBody.extend({ undone_at: timestamp.nullable() }),
    handle: ({ db }, { params }) => readMerge(db, params.id),
  }),
  route({
    ...writes,
    method: 'post',
    path: '/merges/{id}/undo',
    id: 'undoMerge',
    summary: 'Part two subjects again',
    description:
      'What came from the absorbed one goes back, events included; what was added since stays and is listed. Both sign in anew. Again: the same answer.',
    params: z.object({ id: z.uuid() }),
    body: z.strictObject({ reason }),
    answer: undoBody,
    errors: ['merge_refused', 'idempotency_key_reused'],
    handle(services, request) {
      const { params, body, caller, headers } = request;
      return writeOnce(services, { caller, operation: `undoMerge ${params.id}`, body, headers }, (trx) =>
        undoMerge({ ...services, db: trx }, { merge_id: params.id, reason: body.reason, actor: actorOf(request) }),
      );
    },
  }),
  route({
    ...reads,
    method: 'get',
    path: '/link-cases',
    id: 'listLinkCases',
    summary: 'Pairs that may be one person, newest first',
    query: pageQuery.extend({ status: z.enum(['open', 'merged', 'dismissed']).default('open') }),
    answer: pageOf(caseBody),
    async handle({ db }, { query }) {
      const before = query.cursor === undefined ? undefined : readKeyset(query.cursor);
      const { cases, next } = await listCases(db, {
        status: query.status,
        limit: query.limit,
        ...(before && { before: { last_seen_at: before.at, id: before.id } }),
      });
      const next_cursor = next && keysetCursor({ at: next.last_seen_at, id: next.id });
      return { data: cases.map(shown), next_cursor };
    },
  }),
  route({
    ...writes,
    method: 'post',
    path: '/link-cases/{id}/decide',
    id: 'decideLinkCase',
    summary: 'Say whether the two of a case are one person',
    params: z.object({ id: z.uuid() }),
    body: z.strictObject({
      decision: z
        .enum(['merge', 'dismiss'])
        .meta({ description: '`dismiss`: two people. No rule joins these two any more.' }),
      survivor: subjectId.optional().meta({ description: 'Of a merge; otherwise the one who had signed in.' }),
      reason,
      keep,
    }),
    answer: z.object({ case: caseBody, merge: mergeBody.nullable() }).meta({ id: 'DecidedCase' }),
    errors: ['case_decided', 'merge_refused', 'idempotency_key_reused'],
    handle(services, request) {
      const { params, body, caller, headers } = request;
      if (body.survivor !== undefined && body.decision !== 'merge')
        throw fail('invalid_fields', { fields: { survivor: 'belongs to a merge' } });
      return writeOnce(services, { caller, operation: `decideLinkCase ${params.id}`, body, headers }, async (trx) => {
        const decision = { id: params.id, ...body, actor: actorOf(request) };
        const decided = await decideCase({ ...services, db: trx }, decision);
        return { case: shown(decided.case), merge: decided.merge ?? null };
      });
    },
  }),
];
