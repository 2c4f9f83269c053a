/**
 * What a person may see of their own profile (PIPL articles 24 and 45): what they did and what they or the company's systems say of them. What
 * staff noted, tags, scores and segments stay inside: they are the company's judgement, and are given out by an access request.
 */
import { z } from 'zod';
import { recordAudit } from '../audit/audit.ts';
import { personalisationOf, recordPersonalisation } from '../consent/personalisation.ts';
import { personProfile } from '../profiles/person.ts';
import { meRoute, personOf } from './me.ts';

const moment = z.string();
const shownOfOrders = new Set(['orders_count', 'orders_total', 'first_order_at', 'last_order_at', 'locale']);

const Profile = z
  .object({
    sub: z.string(),
    first_seen_at: moment.nullable(),
    last_seen_at: moment.nullable(),
    events_total: z.int(),
    channels: z.record(
      z.string(),
      z.object({ first_seen_at: moment, last_seen_at: moment, counts: z.record(z.string(), z.int()) }),
    ),
    traits: z.array(
      z.object({
        name: z.string(),
        value: z.unknown(),
        source: z.enum(['self', 'company']).meta({ description: 'Whether the person said so.' }),
        at: moment,
      }),
    ),
    computed: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]).nullable()).meta({
      description:
        'Worked out at this moment. Null where there is nothing, or so much that it would take longer than two seconds.',
    }),
    personalisation: z.object({ is_on: z.boolean() }),
  })
  .meta({ id: 'MyProfile' });

const Personalisation = z.object({ is_on: z.boolean(), at: moment.nullable() }).meta({ id: 'MyPersonalisation' });

export const meProfileRoutes = [
  meRoute({
    method: 'get',
    path: '/profile',
    id: 'readMyProfile',
    tag: 'profile',
    summary: 'What is known of the person who is signed in, as far as it is theirs to see',
    scopes: ['me:read'],
    answer: Profile,
    async handle(services, { caller }) {
      const sub = personOf(caller);
      const [{ traits, computed, ...profile }, { is_on }] = await Promise.all([
        personProfile(services, sub),
        personalisationOf(services.db, sub),
      ]);
      const said = traits.filter(({ source }) => !source.startsWith('staff:'));
      return {
        ...profile,
        traits: said.map((trait) => ({
          ...trait,
          source: trait.source === 'self' ? ('self' as const) : ('company' as const),
        })),
        computed: Object.fromEntries(
          computed.flatMap(({ name, origin, value }) =>
            origin === 'system' && shownOfOrders.has(name) ? [[name, value]] : [],
          ),
        ),
        personalisation: { is_on },
      };
    },
  }),
  meRoute({
    method: 'get',
    path: '/personalisation',
    id: 'readMyPersonalisation',
    tag: 'profile',
    summary: 'Whether the person lets themselves be addressed by what is known of them',
    scopes: ['me:read'],
    answer: Personalisation,
    handle: async ({ db }, { caller }) => shown(await personalisationOf(db, personOf(caller))),
  }),
  meRoute({
    method: 'put',
    path: '/personalisation',
    id: 'setMyPersonalisation',
    tag: 'profile',
    summary: 'Switch it off, or on again',
    scopes: ['me:write'],
    body: z.strictObject({ is_on: z.boolean() }),
    answer: Personalisation,
    async handle({ db, clientOf }, { body, caller, request_id, ip }) {
      const sub = personOf(caller);
      const { client_id } = caller;
      const channel = (await clientOf(client_id))?.channel ?? 'server';
      return db.transaction(async (trx) => {
        const evidence = { client_id, request_id, ip };
        await recordPersonalisation(trx, { subject_id: sub, is_on: body.is_on, channel, evidence });
        await recordAudit(trx, {
          actor_kind: 'person',
          actor_id: sub,
          subject_id: sub,
          client_id,
          ip,
          request_id,
          action: 'personalisation.set',
          details: { is_on: body.is_on },
        });
        return shown(await personalisationOf(trx, sub));
      });
    },
  }),
];

function shown({ is_on, at }: { is_on: boolean; at: Date | null }) {
  return { is_on, at: at?.toISOString() ?? null };
}
