/** Keys by which websites, mini-programs and servers send events. */
import { z } from 'zod';
import { changedWriteKey, consentDeclaration, newWriteKey, writeKeySettings } from '../events/write-key-fields.ts';
import { changeWriteKey, declareConsents, issueWriteKey, listWriteKeys } from '../events/write-keys.ts';
import { source } from '../http/fields.ts';
import { idempotencyHeaders, writeOnce } from './idempotency.ts';
import { pageOf, pageQuery, paginate, timestamp } from './page.ts';
import { actorOf, route } from './services.ts';

const writeKeyBody = z
  .object({
    id: z.int(),
    ...writeKeySettings,
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

const numbered = z.object({
  id: z.coerce
    .number()
    .int()
    .min(1)
    .max(2_147_483_647)
    .meta({ override: { type: 'integer' } }),
});

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
      return writeOnce(services, { caller, operation: 'createWriteKey', body, headers }, (trx) =>
        issueWriteKey(trx, services.seal, body, actorOf(request)),
      );
    },
  }),
  route({
    ...shared,
    path: '/write-keys/{id}',
    method: 'put',
    id: 'changeWriteKey',
    summary: 'Change, disable or enable a write key',
    description: 'What is not named stays. In force within five seconds. 409: a key of the sandbox.',
    params: numbered,
    body: changedWriteKey,
    answer: writeKeyBody,
    errors: ['conflict'],
    handle: ({ db }, request) =>
      db.transaction((trx) => changeWriteKey(trx, request.params.id, request.body, actorOf(request))),
  }),
  route({
    ...shared,
    path: '/write-keys/{id}/declared-consents',
    method: 'put',
    id: 'declareConsents',
    summary: 'Say under which purposes the trackers of a key collect',
    description:
      'For trackers that cannot say it with their events: what the website or the mini-program asks before it starts them. Who says so, and when, is kept. It holds for events that arrive from then on.',
    params: numbered,
    body: consentDeclaration,
    answer: writeKeyBody,
    handle: ({ db }, request) =>
      db.transaction((trx) => declareConsents(trx, request.params.id, request.body, actorOf(request))),
  }),
];
