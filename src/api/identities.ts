/** What is a person's: read, added and taken away by programs of the company. The rules are subjects/link.ts. */
import { z } from 'zod';
import { recordAudit } from '../audit/audit.ts';
import { currentVersion, type PurposeName, purposes, recordConsents } from '../consent/consent.ts';
import { fail } from '../errors.ts';
import { channel, text } from '../http/fields.ts';
import { maskIdentity } from '../subjects/identity-key.ts';
import { linkExternal, unlinkIdentity } from '../subjects/link.ts';
import { identitiesOf } from '../subjects/subjects.ts';
import { idempotencyHeaders, writeOnce } from './idempotency.ts';
import { pageOf, pageQuery, paginate, timestamp } from './page.ts';
import { checkIssuer, issuer, kind, normalise, reason, requestedSubject, standing, subjectId } from './person.ts';
import { actorOf, route } from './services.ts';

const identityBody = z
  .object({
    id: z.uuid(),
    kind,
    issuer: z.string().meta(issuer),
    external_id: z.string().meta({ description: 'Masked unless the token has the scope `subjects:pii`.' }),
    verified_at: timestamp,
    last_used_at: timestamp,
    is_superseded: z.boolean().meta({
      description:
        'True for the one of two of a kind that a merge put second: it signs in, and is not in claims or messages.',
    }),
  })
  .meta({ id: 'Identity' });

const newIdentity = z
  .strictObject({
    kind,
    issuer: text(320).default('').meta(issuer),
    external_id: text(320).min(1),
    reason,
  })
  .superRefine(checkIssuer);

const writes = { tag: 'Subjects', scopes: ['subjects:write'], headers: idempotencyHeaders };

export const identityRoutes = [
  route({
    tag: 'Subjects',
    scopes: ['subjects:read'],
    method: 'get',
    path: '/subjects/{sub}/identities',
    id: 'listIdentities',
    summary: 'What the person proved to be theirs',
    description: 'With the scope `subjects:pii` unmasked; that is written to the audit record.',
    params: requestedSubject,
    query: pageQuery,
    answer: pageOf(identityBody),
    async handle(services, request) {
      const { params, query, caller } = request;
      const { sub } = await standing(services.db, params.sub);
      const page = paginate(await identitiesOf(services, sub), ({ id }) => id, query);
      if (!caller.scopes.includes('subjects:pii')) {
        return {
          ...page,
          data: page.data.map((item) => ({ ...item, external_id: maskIdentity(item.kind, item.external_id) })),
        };
      }
      await recordAudit(services.db, { ...actorOf(request), action: 'identities.shown', subject_id: sub });
      return page;
    },
  }),
  route({
    ...writes,
    method: 'post',
    path: '/subjects/{sub}/identities',
    id: 'linkIdentity',
    summary: 'Give a person an identity that your company vouches for',
    description:
      'Whoever proves it from now on signs in as this person, who hears of it. One that is somebody else’s is refused: nothing moves silently.',
    params: requestedSubject,
    body: newIdentity,
    status: 201,
    answer: z.object({ sub: subjectId, linked: z.array(kind) }).meta({ id: 'LinkedIdentity' }),
    errors: [
      'phone_invalid',
      'email_invalid',
      'identity_taken',
      'identity_contradicts',
      'subject_suspended',
      'idempotency_key_reused',
    ],
    async handle(services, request) {
      const { params, body, caller, headers } = request;
      const external_id = normalise(body.kind, body.external_id, 'external_id');
      const { sub } = await standing(services.db, params.sub);
      const operation = `linkIdentity ${sub}`;
      return writeOnce(services, { caller, operation, body, headers }, async (trx) => {
        const identity = { kind: body.kind, issuer: body.issuer, external_id };
        const linking = { sub, identity, actor: actorOf(request), reason: body.reason };
        const { linked } = await linkExternal({ ...services, db: trx }, linking);
        return { sub, linked };
      });
    },
  }),
  route({
    ...writes,
    method: 'delete',
    path: '/subjects/{sub}/identities/{id}',
    id: 'unlinkIdentity',
    summary: 'Take an identity from a person',
    description: 'The last way in stays. The person hears of it on their other channels.',
    params: requestedSubject.extend({ id: z.uuid() }),
    query: z.strictObject({ reason: reason.optional() }),
    answer: z.object({ sub: subjectId }).meta({ id: 'UnlinkedIdentity' }),
    errors: ['last_identity', 'idempotency_key_reused'],
    async handle(services, request) {
      const { params, query, caller, headers } = request;
      const { sub } = await standing(services.db, params.sub);
      const operation = `unlinkIdentity ${sub} ${params.id}`;
      return writeOnce(services, { caller, operation, body: query, headers }, async (trx) => {
        const unlinking = { sub, identity_id: params.id, actor: actorOf(request) };
        await unlinkIdentity(
          { ...services, db: trx },
          { ...unlinking, ...(query.reason !== undefined && { reason: query.reason }) },
        );
        return { sub };
      });
    },
  }),
  route({
    ...writes,
    method: 'put',
    path: '/subjects/{sub}/consents',
    id: 'recordConsent',
    summary: 'Record what a person said about a purpose elsewhere',
    description: 'On paper, in a shop, in another system. The newest word counts.',
    params: requestedSubject,
    body: z.strictObject({
      purpose: z.enum(Object.keys(purposes) as [PurposeName, ...PurposeName[]]),
      version: text(50).min(1),
      granted: z.boolean(),
      channel: channel.default('server'),
      evidence: z
        .record(z.string().max(100), z.union([text(500), z.number(), z.boolean()]))
        .default({})
        .meta({ description: 'What proves it later: a document number, a time. At most 20 fields.' }),
    }),
    answer: z
      .object({ sub: subjectId, purpose: z.string(), version: z.string(), is_granted: z.boolean() })
      .meta({ id: 'RecordedConsent' }),
    errors: ['idempotency_key_reused'],
    async handle(services, request) {
      const { params, body, caller, headers } = request;
      const { purpose, version, granted, evidence } = body;
      const { sub } = await standing(services.db, params.sub);
      if (version !== currentVersion(purpose) && granted)
        throw fail('invalid_fields', { fields: { version: `The version in force is ${currentVersion(purpose)}.` } });
      if (Object.keys(evidence).length > 20)
        throw fail('invalid_fields', { fields: { evidence: 'must have at most 20 fields' } });
      return writeOnce(services, { caller, operation: `recordConsent ${sub}`, body, headers }, async (trx) => {
        await recordConsents(trx, {
          subject_id: sub,
          consents: [{ purpose, version }],
          is_granted: granted,
          channel: body.channel,
          evidence: { ...evidence, client_id: caller.client_id, request_id: request.request_id },
        });
        const details = { purpose, version, is_granted: granted };
        await recordAudit(trx, { ...actorOf(request), action: 'consent.recorded', subject_id: sub, details });
        return { sub, purpose, version, is_granted: granted };
      });
    },
  }),
];
