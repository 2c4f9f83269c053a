/** What is known of a person beyond who they are: profile, traits and tags that are said of them, personalisation. */
import { z } from 'zod';
import { recordAudit } from '../audit/audit.ts';
import { personalisationOf, recordPersonalisation } from '../consent/personalisation.ts';
import { channel, text } from '../http/fields.ts';
import { declareTraits } from '../profiles/declared.ts';
import { personProfile } from '../profiles/person.ts';
import { untagPerson } from '../profiles/tag-store.ts';
import { longestTag, tagPerson } from '../profiles/tags.ts';
import { idempotencyHeaders, writeOnce } from './idempotency.ts';
import { timestamp } from './page.ts';
import { requestedSubject, standing, subjectId } from './person.ts';
import { actorOf, route } from './services.ts';

const counts = z.record(z.string(), z.int());
const title = z.object({ 'zh-CN': z.string(), en: z.string() });
const score = z.int().min(1).max(5);
const touch = z.record(z.string(), z.string()).meta({
  description:
    '`source`, `medium`, `campaign`, `term`, `content`, `scene`, `referrer`, `channel_group`, as far as they are known.',
});

const profileBody = z
  .object({
    sub: subjectId,
    created_at: timestamp,
    last_sign_in_at: timestamp.nullable(),
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
    traits: z
      .array(
        z.object({
          name: z.string(),
          value: z.unknown(),
          source: z
            .string()
            .meta({ description: '`identify:<write key id>`, `client:<client id>`, `staff:<sub>` or `self`.' }),
          at: timestamp,
        }),
      )
      .meta({ description: 'What is said of the person: of each trait the word that counts.' }),
    computed: z
      .array(
        z.object({
          name: z.string(),
          title,
          origin: z.enum(['system', 'company']),
          value: z.union([z.string(), z.number(), z.boolean()]).nullable(),
          is_left_out: z.boolean().meta({
            description:
              'The person did so much that this could not be worked out in the two seconds there are; `value` is null.',
          }),
        }),
      )
      .meta({ description: 'What is worked out of events, at this moment.' }),
    rfm: z
      .object({
        recency: z.object({ score, last_order_at: timestamp }),
        frequency: z.object({ score, orders: z.int() }),
        monetary: z.object({ score, paid: z.number() }),
        group: z.object({ code: z.string(), title }),
        period_days: z.int(),
      })
      .nullable()
      .meta({ description: 'Null for who never bought, and where `rfm_segment` is left out of `computed`.' }),
    tags: z.array(
      z.object({
        tag: z.string(),
        source: z.string().meta({ description: '`staff:<sub>`, `client:<client id>` or `rule:<segment key>`.' }),
        at: timestamp,
      }),
    ),
    touches: z
      .array(z.object({ channel: z.string(), first_at: timestamp, first: touch, last_at: timestamp, last: touch }))
      .meta({ description: 'From where the person came to each channel, first and last.' }),
    personalisation: z.object({ is_on: z.boolean(), at: timestamp.nullable() }),
  })
  .meta({ id: 'Profile' });

const personalisationBody = z
  .object({
    is_on: z.boolean().meta({ description: 'Off: the person is in no segment.' }),
    at: timestamp.nullable().meta({ description: 'Null: they never said anything, so it is on.' }),
  })
  .meta({ id: 'Personalisation' });

const tag = 'Profiles';
const reads = { tag, scopes: ['subjects:read'] };
const writes = {
  tag,
  scopes: ['subjects:write'],
  headers: idempotencyHeaders,
  errors: ['idempotency_key_reused' as const],
};
const tagged = requestedSubject.extend({ tag: text(longestTag).min(1) });
const tags = z.object({ sub: subjectId, tag: z.string(), is_changed: z.boolean() }).meta({ id: 'Tagged' });

export const profileRoutes = [
  route({
    ...reads,
    method: 'get',
    path: '/subjects/{sub}/profile',
    id: 'getProfile',
    summary: 'What is known of the person, on all channels, at this moment',
    description:
      'Both sides of a merge are read as one person only while that person agrees to profiling. What is worked out is of all events, whatever they were collected for; a segment asks those of its purpose.',
    params: requestedSubject,
    answer: profileBody,
    async handle(services, { params }) {
      const { sub, created_at, last_sign_in_at } = await standing(services.db, params.sub);
      const [profile, personalisation] = await Promise.all([
        personProfile(services, sub),
        personalisationOf(services.db, sub),
      ]);
      return { ...profile, created_at, last_sign_in_at, personalisation };
    },
  }),
  route({
    ...writes,
    method: 'put',
    path: '/subjects/{sub}/traits',
    id: 'declareTraits',
    summary: 'Say something of a person',
    description:
      'One field a trait, of any JSON value up to 8 KB; null takes it away, and others stay as they are. Counts from now on, whatever was said before. A phone number, an address and what is worked out are no traits.',
    params: requestedSubject,
    body: z.looseObject({}).meta({ id: 'Traits', description: 'Name to value.' }),
    answer: z.object({ sub: subjectId, traits: z.array(z.string()) }).meta({ id: 'DeclaredTraits' }),
    async handle(services, request) {
      const { params, body, caller, headers } = request;
      const { sub } = await standing(services.db, params.sub);
      return writeOnce(services, { caller, operation: `declareTraits ${sub}`, body, headers }, async (trx) => {
        await declareTraits(trx, services, { sub, traits: body, source: `client:${caller.client_id}` });
        const traits = Object.keys(body);
        await recordAudit(trx, {
          ...actorOf(request),
          action: 'traits.declared',
          subject_id: sub,
          details: { traits },
        });
        return { sub, traits };
      });
    },
  }),
  route({
    ...writes,
    method: 'put',
    path: '/subjects/{sub}/tags/{tag}',
    id: 'tagSubject',
    summary: 'Give a person a tag',
    params: tagged,
    answer: tags,
    async handle(services, request) {
      const { params, caller, headers } = request;
      const { sub } = await standing(services.db, params.sub);
      const operation = `tagSubject ${sub} ${params.tag}`;
      return writeOnce(services, { caller, operation, body: {}, headers }, async (trx) => {
        const is_changed = await tagPerson(trx, { sub, tag: params.tag, by: `client:${caller.client_id}` });
        const details = { tag: params.tag };
        if (is_changed) await recordAudit(trx, { ...actorOf(request), action: 'tag.given', subject_id: sub, details });
        return { sub, tag: params.tag, is_changed };
      });
    },
  }),
  route({
    ...writes,
    method: 'delete',
    path: '/subjects/{sub}/tags/{tag}',
    id: 'untagSubject',
    summary: 'Take a tag from a person',
    description: 'One that is carried by rule stays as long as the rule gives it.',
    params: tagged,
    answer: tags,
    async handle(services, request) {
      const { params, caller, headers } = request;
      const { sub } = await standing(services.db, params.sub);
      const operation = `untagSubject ${sub} ${params.tag}`;
      return writeOnce(services, { caller, operation, body: {}, headers }, async (trx) => {
        const is_changed = await untagPerson(trx, { sub, tag: params.tag });
        const details = { tag: params.tag };
        if (is_changed) await recordAudit(trx, { ...actorOf(request), action: 'tag.taken', subject_id: sub, details });
        return { sub, tag: params.tag, is_changed };
      });
    },
  }),
  route({
    ...reads,
    method: 'get',
    path: '/subjects/{sub}/personalisation',
    id: 'getPersonalisation',
    summary: 'Whether the person lets themselves be addressed by what is known of them',
    params: requestedSubject,
    answer: personalisationBody,
    handle: async ({ db }, { params }) => personalisationOf(db, (await standing(db, params.sub)).sub),
  }),
  route({
    ...writes,
    method: 'put',
    path: '/subjects/{sub}/personalisation',
    id: 'recordPersonalisation',
    summary: 'Record that a person switched personalisation off, or on again',
    params: requestedSubject,
    body: z.strictObject({
      is_on: z.boolean(),
      channel: channel.default('server'),
      evidence: z
        .record(z.string().max(100), z.union([text(500), z.number(), z.boolean()]))
        .refine((fields) => Object.keys(fields).length <= 20, 'must have at most 20 fields')
        .default({})
        .meta({ description: 'What proves it later: a document number, a time. At most 20 fields.' }),
    }),
    answer: personalisationBody,
    async handle(services, request) {
      const { params, body, caller, headers } = request;
      const { sub } = await standing(services.db, params.sub);
      return writeOnce(services, { caller, operation: `recordPersonalisation ${sub}`, body, headers }, async (trx) => {
        const evidence = { ...body.evidence, client_id: caller.client_id, request_id: request.request_id };
        await recordPersonalisation(trx, { subject_id: sub, is_on: body.is_on, channel: body.channel, evidence });
        const details = { is_on: body.is_on };
        await recordAudit(trx, { ...actorOf(request), action: 'personalisation.set', subject_id: sub, details });
        return personalisationOf(trx, sub);
      });
    },
  }),
];
