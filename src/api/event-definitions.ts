/** The event catalogue: what is built in and what the company says. The rules are events/definitions.ts. */
import { z } from 'zod';
import {
  addDefinition,
  changeDefinition,
  definitionsOf,
  readDefinitions,
  removeDefinition,
} from '../events/definitions.ts';
import { propertyName, propertyTypes } from '../events/property-types.ts';
import { trusts } from '../events/trust.ts';
import { text } from '../http/fields.ts';
import { idempotencyHeaders, writeOnce } from './idempotency.ts';
import { pageOf, pageQuery, paginate } from './page.ts';
import { actorOf, route } from './services.ts';

const eventName = z
  .string()
  .regex(/^[a-z][a-z0-9_]{0,99}$/, 'must be lower-case letters, digits and underscores')
  .meta({ description: 'What Heyi calls it.', examples: ['test_drive_booked'] });
const trust = z.enum(trusts);
const mode = z.enum(['document', 'enforce']).meta({
  description: '`enforce`: an event whose property breaks its type is refused. `document`: it is stored as it is.',
});
const property = z.strictObject({ type: z.enum(propertyTypes), required: z.boolean().optional() });

const settings = {
  title: z
    .strictObject({ 'zh-CN': text(100).min(1).optional(), en: text(100).min(1).optional() })
    .default({})
    .meta({ description: 'What staff read.' }),
  properties: z
    .record(z.string().regex(propertyName, 'must be a name such as price, or products[].sku'), property)
    .refine((properties) => Object.keys(properties).length <= 200, 'must have at most 200 properties')
    .default({})
    .meta({ description: 'By name; `products[].sku` is a field of each object of a list.' }),
  aliases: z.array(text(200).min(1)).max(100).default([]).meta({
    description: 'What trackers call it. Case, spaces and hyphens make no difference.',
  }),
  least_trust: trust.nullable().default(null).meta({
    description: 'Below it an event is stored and shown, and counts for nothing. Null: the usual one of such a name.',
  }),
  mode: mode.default('document'),
};

const definition = z
  .object({
    name: eventName,
    title: z.record(z.string(), z.string()),
    properties: z.record(z.string(), z.object({ type: z.enum(propertyTypes), required: z.boolean().optional() })),
    aliases: z.array(z.string()),
    least_trust: trust,
    mode,
    origin: z.enum(['builtin', 'extended', 'own']).meta({
      description: '`extended`: built in, and the company says more about it.',
    }),
  })
  .meta({ id: 'EventDefinition' });

const shared = { tag: 'Events', scopes: ['settings:write'] };
const path = '/events/catalogue/{name}';
const params = z.object({ name: eventName });

export const eventDefinitionRoutes = [
  route({
    ...shared,
    method: 'get',
    path: '/events/catalogue',
    id: 'listEventDefinitions',
    summary: 'What events mean: built in and own, as one',
    query: pageQuery,
    answer: pageOf(definition),
    async handle({ db }, { query }) {
      return paginate([...definitionsOf(await readDefinitions(db)).values()], ({ name }) => name, query);
    },
  }),
  route({
    ...shared,
    method: 'post',
    path: '/events/catalogue',
    id: 'createEventDefinition',
    summary: 'Define an event',
    description:
      'Under the name of a built-in one it says more about that. In force within five seconds, for events that arrive from then on.',
    headers: idempotencyHeaders,
    body: z.strictObject({ name: eventName, ...settings }),
    status: 201,
    answer: definition,
    errors: ['conflict', 'idempotency_key_reused'],
    handle(services, request) {
      const { body, caller, headers } = request;
      return writeOnce(services, { caller, operation: 'createEventDefinition', body, headers }, (trx) =>
        addDefinition(trx, named(body.name, body), actorOf(request)),
      );
    },
  }),
  route({
    ...shared,
    method: 'put',
    path,
    id: 'changeEventDefinition',
    summary: 'Define an event anew',
    description: 'The whole definition. What is not given is as if it had never been said.',
    params,
    body: z.strictObject(settings),
    answer: definition,
    handle: ({ db }, request) =>
      db.transaction((trx) => changeDefinition(trx, named(request.params.name, request.body), actorOf(request))),
  }),
  route({
    ...shared,
    method: 'delete',
    path,
    id: 'removeEventDefinition',
    summary: 'Take back what the company said about an event',
    description: 'A built-in definition stays. Stored events keep their name.',
    params,
    answer: z.object({ name: z.string() }),
    async handle({ db }, request) {
      await db.transaction((trx) => removeDefinition(trx, request.params.name, actorOf(request)));
      return request.params;
    },
  }),
];

type Given = z.output<z.ZodObject<typeof settings>>;

function named(name: string, { title, properties, aliases, least_trust, mode: strictness }: Given) {
  const titles = Object.fromEntries(Object.entries(title).filter(([, words]) => words !== undefined));
  const typed = Object.fromEntries(
    Object.entries(properties).map(([key, { type, required }]) => [key, { type, ...(required && { required }) }]),
  );
  return { name, title: titles, properties: typed, aliases, least_trust, mode: strictness };
}
