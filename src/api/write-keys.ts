/** Keys by which websites, mini-programs and servers send events. */
import { z } from 'zod';
import { recordAudit } from '../audit/audit.ts';
import { type PurposeName, purposes } from '../consent/consent.ts';
import { usualPerMinute } from '../events/quota.ts';
import { trusts } from '../events/trust.ts';
import { createWriteKey, declareConsents, listWriteKeys } from '../events/write-keys.ts';
import { channel, name, source, text } from './fields.ts';
import { idempotencyHeaders, writeOnce } from './idempotency.ts';
import { pageOf, pageQuery, paginate, timestamp } from './page.ts';
import { actorOf, route } from './services.ts';

const trust = z.enum(trusts);

/** `https://www.example.com`: what a browser sends as Origin, so a path or a slash at the end would never match. */
const origin = z
  .string()
  .max(300)
  .refine(
    (value) => URL.canParse(value) && new URL(value).origin === value,
    'must be an origin such as https://www.example.com',
  );

const settings = {
  kind: z.enum(['client', 'server']).meta({
    description: '`client` may be public and speaks for anonymous ids; `server` is secret and may name any person.',
  }),
  name,
  client_ids: z.array(text(200)).max(100).meta({ description: 'Clients whose tokens this key speaks for.' }),
  origins: z.array(origin).max(100).meta({ description: 'Websites that may use the key from a browser (CORS).' }),
  channel: channel.nullable().meta({ description: 'Channel of events that do not name one.' }),
  catalogue: z
    .record(text(200), trust)
    .meta({ description: 'Least trust an event needs to count, where this key differs from the catalogue.' }),
  events_per_minute: z
    .int()
    .min(1)
    .max(2_147_483_647)
    .nullable()
    .meta({
      description: `Events it may send in a minute, over all servers; null: ${usualPerMinute}. Of a client key, 2 KB count as one where a batch has fewer events.`,
    }),
};

/** Also what `heyi write-key declare` takes. */
export const declaration = z.strictObject({
  purposes: z
    .array(z.enum(Object.keys(purposes) as [PurposeName, ...PurposeName[]]))
    .max(20)
    .meta({ description: 'None: nothing is declared any more.' }),
  by: text(200).min(1).meta({ description: 'Who answers for it: a person, a department.' }),
});

/** Also what `heyi write-key create` takes. */
export const newWriteKey = z.strictObject({
  ...settings,
  client_ids: settings.client_ids.default([]),
  origins: settings.origins.default([]),
  channel: channel.optional(),
  catalogue: settings.catalogue.default({}),
  events_per_minute: settings.events_per_minute.default(null),
});

const writeKeyBody = z
  .object({
    id: z.int(),
    ...settings,
    declared_consents: z
      .array(z.string())
      .meta({ description: 'Purposes of events that say nothing of consent themselves.' }),
    declared_by: z.string().nullable(),
    declared_at: timestamp.nullable(),
    is_enabled: z.boolean(),
    source,
    created_at: timestamp,
  })
  .meta({ id: 'WriteKey' });

const shared = { tag: 'Settings', scopes: ['settings:write'], path: '/write-keys' };

export const writeKeyRoutes = [
  route({
    ...shared,
    method: 'get',
    id: 'listWriteKeys',
    summary: 'The write keys, without their secret',
    query: pageQuery,
    answer: pageOf(writeKeyBody),
    handle: async ({ db }, { query }) =>
      paginate(await listWriteKeys(db), ({ id }) => String(id).padStart(10, '0'), query),
  }),
  route({
    ...shared,
    method: 'post',
    id: 'createWriteKey',
    summary: 'Make a write key',
    description: 'The key is answered here and never again.',
    headers: idempotencyHeaders,
    body: newWriteKey,
    status: 201,
    answer: z.object({ id: z.int(), key: z.string() }).meta({ id: 'NewWriteKey' }),
    errors: ['idempotency_key_reused'],
    handle(services, request) {
      const { body, caller, headers } = request;
      return writeOnce(services, { caller, operation: 'createWriteKey', body, headers }, async (trx) => {
        const made = await createWriteKey({ db: trx, seal: services.seal }, body);
        const details = { write_key_id: made.id, kind: body.kind };
        await recordAudit(trx, { ...actorOf(request), action: 'write_key.created', details });
        return made;
      });
    },
  }),
  route({
    ...shared,
    path: '/write-keys/{id}/declared-consents',
    method: 'put',
    id: 'declareConsents',
    summary: 'Say under which purposes the trackers of a key collect',
    description:
      'For trackers that cannot say it with their events: what the website or the mini-program asks before it starts them. Who says so, and when, is kept. It holds for events that arrive from then on.',
    params: z.object({
      id: z.coerce
        .number()
        .int()
        .min(1)
        .max(2_147_483_647)
        .meta({ override: { type: 'integer' } }),
    }),
    body: declaration,
    answer: writeKeyBody,
    handle: ({ db }, request) =>
      db.transaction((trx) => declareConsents(trx, request.params.id, request.body, actorOf(request))),
  }),
];
