/** People: who they are, what they did, what they agreed to, and whether they may sign in. */
import { z } from 'zod';
import { currentConsents } from '../consent/consent.ts';
import { fail } from '../errors.ts';
import { timeline } from '../events/timeline.ts';
import { trusts } from '../events/trust.ts';
import { text } from '../http/fields.ts';
import { setStanding } from '../subjects/standing.ts';
import { findByIdentity } from '../subjects/subjects.ts';
import { idempotencyHeaders, writeOnce } from './idempotency.ts';
import { pageOf, pageQuery, paginate, timestamp } from './page.ts';
import { checkIssuer, issuer, kind, normalise, reason, requestedSubject, standing, subjectId } from './person.ts';
import { actorOf, route } from './services.ts';

const subjectBody = z
  .object({
    sub: subjectId.meta({ description: 'The subject that stands today: of an absorbed one, the survivor.' }),
    requested_sub: subjectId,
    status: z.enum(['active', 'suspended', 'deleted', 'absorbed']),
    merge_id: subjectId.nullable().meta({ description: 'The merge that absorbed `requested_sub`.' }),
    created_at: timestamp,
    last_sign_in_at: timestamp.nullable(),
  })
  .meta({ id: 'Subject' });

const eventBody = z
  .object({
    id: z.uuid(),
    message_id: z.string(),
    type: z.string(),
    event: z.string().meta({ description: 'The name in the catalogue.' }),
    original_event: z.string().nullable().meta({ description: 'The name it was sent with, where ours differs.' }),
    channel: z.string(),
    timestamp,
    received_at: timestamp,
    properties: z.record(z.string(), z.unknown()),
    trust: z.enum(trusts).meta({ description: 'How well it is known that the person did it.' }),
    counts: z.boolean().meta({ description: 'False: trusted too little for a trait, a segment, an offer or points.' }),
    consents: z.array(z.string()).meta({ description: 'Purposes that were agreed to when it was collected.' }),
    recorded_sub: subjectId
      .nullable()
      .meta({ description: 'The sub it was recorded under; null when it came through an anonymous id.' }),
  })
  .meta({ id: 'Event' });

const consentBody = z
  .object({ purpose: z.string(), version: z.string(), is_granted: z.boolean(), at: timestamp })
  .meta({ id: 'Consent' });

const lookupBody = z
  .strictObject({
    kind,
    value: text(320).min(1),
    issuer: text(320).default('').meta(issuer),
  })
  .superRefine(checkIssuer);

const shared = { tag: 'Subjects', scopes: ['subjects:read'] };

export const subjectRoutes = [
  route({
    ...shared,
    method: 'post',
    path: '/subjects/lookup',
    id: 'lookupSubject',
    summary: 'Find a person by an identity',
    description: 'Phone numbers and e-mail addresses may be written in any usual way.',
    body: lookupBody,
    answer: subjectBody,
    errors: ['phone_invalid', 'email_invalid', 'unknown_person'],
    async handle(services, { body }) {
      const external_id = normalise(body.kind, body.value, 'value');
      const sub = await findByIdentity(services, { kind: body.kind, issuer: body.issuer, external_id });
      if (!sub) throw fail('unknown_person');
      return standing(services.db, sub);
    },
  }),
  route({
    ...shared,
    method: 'get',
    path: '/subjects/{sub}',
    id: 'getSubject',
    summary: 'Read a person',
    description:
      'A sub that was absorbed by a merge answers with the survivor, the sub that was asked for and the merge.',
    params: requestedSubject,
    answer: subjectBody,
    handle: ({ db }, { params }) => standing(db, params.sub),
  }),
  route({
    ...shared,
    scopes: ['subjects:write'],
    headers: idempotencyHeaders,
    method: 'put',
    path: '/subjects/{sub}/status',
    id: 'setSubjectStatus',
    summary: 'Suspend a person, or let them in again',
    description:
      'A suspended one is refused at once: sessions, refresh tokens, codes on their way. Clients hear of it by back-channel logout.',
    params: requestedSubject,
    body: z.strictObject({ status: z.enum(['active', 'suspended']), reason }),
    answer: z.object({ sub: subjectId, status: z.enum(['active', 'suspended']) }).meta({ id: 'SubjectStatus' }),
    errors: ['conflict', 'idempotency_key_reused'],
    async handle(services, request) {
      const { params, body, caller, headers } = request;
      const { sub } = await standing(services.db, params.sub);
      return writeOnce(services, { caller, operation: `setSubjectStatus ${sub}`, body, headers }, (trx) =>
        setStanding({ ...services, db: trx }, { sub, ...body, actor: actorOf(request) }),
      );
    },
  }),
  route({
    ...shared,
    method: 'get',
    path: '/subjects/{sub}/events',
    id: 'listEvents',
    summary: 'What the person did, on all channels, newest first',
    params: requestedSubject,
    query: pageQuery,
    answer: pageOf(eventBody),
    async handle({ db }, { params, query }) {
      const { sub } = await standing(db, params.sub);
      return timeline(db, sub, query);
    },
  }),
  route({
    ...shared,
    method: 'get',
    path: '/subjects/{sub}/consents',
    id: 'listConsents',
    summary: 'The consent in force for each purpose',
    params: requestedSubject,
    query: pageQuery,
    answer: pageOf(consentBody),
    async handle({ db }, { params, query }) {
      const { sub } = await standing(db, params.sub);
      return paginate(await currentConsents(db, sub), ({ purpose }) => purpose, query);
    },
  }),
];
