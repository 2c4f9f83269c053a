/** The segments a person is in, and why they are in one or are not. The rules are segments/. */
import { z } from 'zod';
import { explainMembership } from '../segments/membership.ts';
import { readMemberships } from '../segments/state-store.ts';
import { timestamp } from './page.ts';
import { requestedSubject, standing, subjectId } from './person.ts';
import { route } from './services.ts';

const key = z.string();
const scalar = z.union([z.string(), z.number(), z.boolean()]);
export const matched = z
  .record(z.string(), z.array(scalar))
  .nullable()
  .meta({ description: 'Of a `per` condition: the values of its path that meet it.' });

const holds = z.boolean();
const dueAt = timestamp.nullable().meta({ description: 'Until then it stays so, as far as time alone can change it.' });
const number = z.number().optional();

const explained = z
  .object({
    path: z.string().meta({ examples: ['where.all[0].not'] }),
    code: z.string().meta({ description: '`all`, `any`, `not`, `per`, `count`, `sum`, `sequence`, `trait`, `tag`, …' }),
    node: z.looseObject({}).optional().meta({ description: 'The condition as it is defined, of those without parts.' }),
    holds,
    due_at: dueAt,
    observed: z.unknown().optional().meta({ description: 'The number that was compared, or the value of a trait.' }),
    wanted: z.object({ gte: number, gt: number, lte: number, lt: number, eq: number }).optional(),
    events: z
      .array(z.object({ id: z.uuid(), timestamp, event: z.string(), channel: z.string() }))
      .optional()
      .meta({ description: 'What it rests on: the newest ten, newest first.' }),
    candidates: z
      .array(
        z.object({
          value: scalar,
          holds,
          members: z.array(z.object({ holds, observed: z.number().nullable() })),
        }),
      )
      .optional()
      .meta({ description: 'Of a `per` condition: the values nearest to meeting it, each with what its parts say.' }),
    get parts() {
      return z.array(explained).optional();
    },
  })
  .meta({ id: 'ExplainedCondition' });

const explanation = z.object({
  is_member: z.boolean(),
  due_at: dueAt,
  matched,
  reason: z.enum(['not_active', 'no_consent', 'personalisation_off', 'conditions']).nullable().meta({
    description: 'Why the person is no member: what outranks the conditions, or the conditions.',
  }),
  where: explained
    .nullable()
    .meta({ description: 'Each condition with what was found. Null when something outranks them.' }),
});

const tag = 'Segments';

export const membershipRoutes = [
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
      return { data: await readMemberships(db, (await standing(db, sub)).sub) };
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
        explanation,
      })
      .meta({ id: 'MembershipExplanation' }),
    async handle(services, { params: { sub, key: segment_key } }) {
      return explainMembership(services, segment_key, (await standing(services.db, sub)).sub);
    },
  }),
];
