/** Ways of signing in: which are set up, what each needs, and setting them up. What sound settings are is known in connectors/. */
import { z } from 'zod';
import { availableConnectors, configureConnector, listInstances } from '../connectors/operators.ts';
import { source, text } from '../http/fields.ts';
import { idempotencyHeaders, writeOnce } from './idempotency.ts';
import { pageOf, pageQuery, paginate, timestamp } from './page.ts';
import { actorOf, route } from './services.ts';

const connectorBody = z
  .object({
    id: z
      .string()
      .meta({ description: 'Name of the connector, followed by `:<appid>` where there is one for each app.' }),
    connector: z.string(),
    is_enabled: z.boolean(),
    source,
    updated_at: timestamp,
    settings: z.record(z.string(), z.unknown()).nullable().meta({
      description: 'Without the secrets. Null: this version needs settings that an older one did not; enter them anew.',
    }),
  })
  .meta({ id: 'Connector' });

const availableBody = z
  .object({
    connector: z.string(),
    kind: z.string().meta({ description: '`form`: people see a page of it. `exchange`: a program hands over a code.' }),
    settings_schema: z
      .record(z.string(), z.unknown())
      .meta({ description: 'JSON Schema of its settings. A secret is `writeOnly`.' }),
  })
  .meta({ id: 'AvailableConnector' });

const shared = { tag: 'Settings', scopes: ['settings:write'], path: '/connectors' };

export const connectorRoutes = [
  route({
    ...shared,
    method: 'get',
    id: 'listConnectors',
    summary: 'The connectors that are set up, without their secrets, and those there are',
    query: pageQuery,
    answer: pageOf(connectorBody).extend({
      available: z.array(availableBody).meta({ description: 'Every connector, with what it needs.' }),
    }),
    handle: async (services, { query }) => ({
      ...paginate(await listInstances(services), ({ id }) => id, query),
      available: availableConnectors(),
    }),
  }),
  route({
    ...shared,
    method: 'post',
    id: 'configureConnector',
    summary: 'Set a connector up, or replace its settings',
    description:
      'Settings are replaced as a whole, secrets included: one that is left out is not taken from those that are stored. Every process uses the new ones at once.',
    headers: idempotencyHeaders,
    body: z.strictObject({
      id: text(200)
        .optional()
        .meta({ description: 'Follows from the connector and its settings; refused when it differs.' }),
      connector: text(100),
      settings: z
        .record(z.string(), z.unknown())
        .meta({ description: 'As the `settings_schema` of the connector says.' }),
    }),
    answer: connectorBody,
    errors: ['idempotency_key_reused'],
    handle(services, request) {
      const { body, caller, headers } = request;
      return writeOnce(services, { caller, operation: 'configureConnector', body, headers }, (trx) =>
        configureConnector({ db: trx, seal: services.seal }, body, actorOf(request)),
      );
    },
  }),
];
