/** Applications that sign people in, and machine clients of this API. What makes a client sound is known in oidc/clients.ts. */
import { z } from 'zod';
import { recordAudit } from '../audit/audit.ts';
import { fail } from '../errors.ts';
import { channel, name, source } from '../http/fields.ts';
import type { Caller } from '../http/routes.ts';
import { clientInput, createClient, listClients } from '../oidc/clients.ts';
import { machineScopes, words } from '../oidc/scopes.ts';
import { idempotencyHeaders, writeOnce } from './idempotency.ts';
import { pageOf, pageQuery, paginate, timestamp } from './page.ts';
import { actorOf, route } from './services.ts';

const clientBody = z
  .object({
    client_id: z.string(),
    name: z.string(),
    party: z.enum(['first', 'third']),
    application_type: z.string(),
    redirect_uris: z.array(z.string()),
    origins: z
      .array(z.string())
      .default([])
      .meta({ description: 'Pages that use a public client without a redirect.' }),
    post_logout_redirect_uris: z.array(z.string()),
    grant_types: z.array(z.string()),
    token_endpoint_auth_method: z.string(),
    methods: z.array(z.string()).meta({ description: 'Ways of signing in, in the order shown.' }),
    appid: z.string().nullable().meta({ description: 'The one WeChat app whose login codes it may exchange.' }),
    channel: z.string().nullable(),
    scope: z
      .string()
      .optional()
      .meta({ description: 'Scopes about the person it is limited to; absent: all of them.' }),
    api_scopes: z.array(z.string()).meta({ description: 'What it may do here, by client credentials.' }),
    require_pkce: z.boolean(),
    backchannel_logout_uri: z
      .string()
      .optional()
      .meta({ description: 'Told when a session of this client ends elsewhere: by sign-out, merge or suspension.' }),
    backchannel_logout_session_required: z.boolean().optional(),
    is_enabled: z.boolean(),
    source,
    created_at: timestamp,
  })
  .meta({ id: 'Client' });

/** The id and the secret are made here: nobody changes somebody else's client by registering its id once more (threat D20). */
const newClient = clientInput
  .omit({ client_id: true, client_secret: true, source: true })
  .extend({ name, channel: channel.optional() })
  .strict();

/** A machine client makes no client mightier than itself, or settings:write would be every scope (threat D19). */
function refuseMightier(caller: Caller, scope: string | undefined): void {
  const missing = words(scope).filter((word) => machineScopes.includes(word) && !caller.scopes.includes(word));
  if (missing.length) throw fail('forbidden', { fields: { scope: `Your own token lacks ${missing.join(' ')}.` } });
}

const shared = { tag: 'Settings', scopes: ['settings:write'], path: '/clients' };

export const clientRoutes = [
  route({
    ...shared,
    method: 'get',
    id: 'listClients',
    summary: 'The clients, without their secrets',
    query: pageQuery,
    answer: pageOf(clientBody),
    handle: async ({ db }, { query }) => paginate(await listClients(db), ({ client_id }) => client_id, query),
  }),
  route({
    ...shared,
    method: 'post',
    id: 'createClient',
    summary: 'Register a client',
    description:
      'The secret is answered here and never again. Scopes of this API can be given only by a token that has them.',
    headers: idempotencyHeaders,
    body: newClient,
    status: 201,
    answer: z.object({ client_id: z.string(), client_secret: z.string().optional() }).meta({ id: 'NewClient' }),
    errors: ['idempotency_key_reused'],
    handle(services, request) {
      const { body, caller, headers } = request;
      refuseMightier(caller, body.scope);
      return writeOnce(services, { caller, operation: 'createClient', body, headers }, async (trx) => {
        const made = await createClient({ db: trx, seal: services.seal }, body);
        const details = { made_client_id: made.client_id, party: body.party, scope: body.scope ?? '' };
        await recordAudit(trx, { ...actorOf(request), action: 'client.created', details });
        return made;
      });
    },
  }),
];
