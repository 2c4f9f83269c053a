/** People, read: who they are, what they did, what they agreed to. */
import { z } from 'zod';
import { recordAudit } from '../audit/audit.ts';
import type { IdentityKind } from '../connectors/contract.ts';
import { maskEmail, parseEmail } from '../connectors/email-address.ts';
import { maskPhone, parsePhone } from '../connectors/phone-number.ts';
import { currentConsents } from '../consent/consent.ts';
import type { Database } from '../database.ts';
import { AppError, fail } from '../errors.ts';
import { timeline } from '../events/timeline.ts';
import { trusts } from '../events/trust.ts';
import { profileOf } from '../profiles/profile.ts';
import { currentSubject, findByIdentity, identitiesOf, type Subject } from '../subjects/subjects.ts';
import { text } from './fields.ts';
import { pageOf, pageQuery, paginate, timestamp } from './page.ts';
import { actorOf, route } from './services.ts';

const kinds = [
  'phone',
  'email',
  'wechat_openid',
  'wechat_unionid',
  'oidc',
  'member_no',
] as const satisfies IdentityKind[];
const kind = z.enum(kinds);
const issuer = {
  description:
    'appid for `wechat_openid`, open-platform account for `wechat_unionid`, issuer URL for `oidc`; empty for the other kinds.',
};
const subjectId = z.uuid();
const requestedSubject = z.object({ sub: z.string() });

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

const identityBody = z
  .object({
    id: z.uuid(),
    kind,
    issuer: z.string().meta(issuer),
    external_id: z.string().meta({ description: 'Masked unless the token has the scope `subjects:pii`.' }),
    verified_at: timestamp,
    last_used_at: timestamp,
  })
  .meta({ id: 'Identity' });

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

const counts = z.record(z.string(), z.int());

const profileBody = z
  .object({
    sub: subjectId,
    first_seen_at: timestamp.nullable(),
    last_seen_at: timestamp.nullable(),
    events_total: z.int(),
    channels: z.record(
      z.string(),
      z.object({
        first_seen_at: timestamp,
        last_seen_at: timestamp,
        counts: counts.meta({ description: 'Events by name that are trusted enough to count.' }),
        uncounted: counts.meta({ description: 'Events by name that are not.' }),
      }),
    ),
  })
  .meta({ id: 'Profile' });

const consentBody = z
  .object({ purpose: z.string(), version: z.string(), is_granted: z.boolean(), at: timestamp })
  .meta({ id: 'Consent' });

const lookupBody = z
  .strictObject({
    kind,
    value: text(320).min(1),
    issuer: text(320).default('').meta(issuer),
  })
  .superRefine((body, check) => {
    const needed = ['wechat_openid', 'wechat_unionid', 'oidc'].includes(body.kind);
    if (needed === (body.issuer !== '')) return;
    const message = needed ? `is needed for ${body.kind}` : `must be empty for ${body.kind}`;
    check.addIssue({ code: 'custom', path: ['issuer'], message });
  });

/** @throws not_found, also for text that is no sub at all: the answer does not tell which */
async function standing(db: Database, sub: string): Promise<Subject> {
  const subject = await currentSubject(db, sub);
  if (!subject) throw fail('not_found');
  return subject;
}

/** One spelling, as sign-in stored it. @throws phone_invalid | email_invalid */
function normalise(kind: IdentityKind, value: string): string {
  try {
    if (kind === 'phone') return parsePhone(value);
    return kind === 'email' ? parseEmail(value) : value;
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    throw fail(error.code, { fields: { value: error.message } });
  }
}

/** Enough to recognise one's own, too little to use: an openid is what messages and payments are sent by. */
function mask(kind: IdentityKind, value: string): string {
  if (kind === 'phone') return maskPhone(value);
  if (kind === 'email') return maskEmail(value);
  return value.length < 12 ? '****' : `${value.slice(0, 4)}****${value.slice(-2)}`;
}

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
      const external_id = normalise(body.kind, body.value);
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
          data: page.data.map((item) => ({ ...item, external_id: mask(item.kind, item.external_id) })),
        };
      }
      await recordAudit(services.db, { ...actorOf(request), action: 'identities.shown', subject_id: sub });
      return page;
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
    path: '/subjects/{sub}/profile',
    id: 'getProfile',
    summary: 'When and how often the person was seen on each channel',
    params: requestedSubject,
    answer: profileBody,
    async handle({ db }, { params }) {
      const { sub } = await standing(db, params.sub);
      return profileOf(db, sub);
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
