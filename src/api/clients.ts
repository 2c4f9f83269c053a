/** Applications that sign people in, and machine clients of this API. */
import { z } from 'zod';
import { recordAudit } from '../audit/audit.ts';
import { fail } from '../errors.ts';
import type { Caller } from '../http/routes.ts';
import { createClient, listClients } from '../oidc/clients.ts';
import { channel, name, source, text } from './fields.ts';
import { idempotencyHeaders, writeOnce } from './idempotency.ts';
import { pageOf, pageQuery, paginate, timestamp } from './page.ts';
import { route, scopes } from './services.ts';

/** Compared exactly when it is used (RFC 9700 section 4.1); what is dangerous in any client is refused here (threat A39). */
const redirectUri = text(2000).refine(
  isRedirectUri,
  'must be https, http on a loopback address, or a private-use scheme such as com.example.app:/callback, without a fragment',
);

function isRedirectUri(value: string): boolean {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (!url || url.hash || value.includes('#') || url.username || url.password) return false;
  if (url.protocol === 'http:') return ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
  // RFC 8252 section 7.1: a scheme of one's own is a reversed domain name. javascript:, data: and the like have no dot.
  return url.protocol === 'https:' || url.protocol.includes('.');
}

const grantTypes = z.enum([
  'authorization_code',
  'refresh_token',
  'client_credentials',
  'urn:ietf:params:oauth:grant-type:token-exchange',
]);

const settings = {
  name,
  party: z.enum(['first', 'third']).meta({
    description:
      '`first`: the same legal entity, no consent page. `third`: people are asked, and told who receives their data.',
  }),
  redirect_uris: z.array(redirectUri).max(50),
  post_logout_redirect_uris: z.array(redirectUri).max(50),
  grant_types: z.array(grantTypes).min(1).max(4),
  token_endpoint_auth_method: z.enum(['client_secret_basic', 'client_secret_post', 'none']),
  methods: z.array(text(100)).max(20).meta({ description: 'Ways of signing in, in the order shown.' }),
  appid: text(64).nullable().meta({ description: 'The one WeChat app whose login codes this client may exchange.' }),
  channel: channel.nullable(),
  require_pkce: z.boolean(),
  scope: text(500).meta({ description: 'Scopes the client may ask for, separated by spaces.' }),
};

const clientBody = z
  .object({ client_id: z.string(), ...settings, is_enabled: z.boolean(), source, created_at: timestamp })
  .partial({ scope: true, require_pkce: true })
  .meta({ id: 'Client' });

const newClient = z.strictObject({
  name,
  party: settings.party.default('first'),
  redirect_uris: settings.redirect_uris.default([]),
  post_logout_redirect_uris: settings.post_logout_redirect_uris.default([]),
  grant_types: settings.grant_types.default(['authorization_code', 'refresh_token']),
  token_endpoint_auth_method: settings.token_endpoint_auth_method.default('client_secret_basic'),
  methods: settings.methods.default([]),
  appid: text(64).optional(),
  channel: channel.optional(),
  require_pkce: z.boolean().optional(),
  scope: settings.scope.optional(),
});

/** A machine client makes no client mightier than itself, or settings:write would be every scope (threat D19). */
function refuseMightier(caller: Caller, scope = ''): void {
  const granted = scope.split(' ').filter((word) => Object.hasOwn(scopes, word));
  const missing = granted.filter((word) => !caller.scopes.includes(word));
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
    handle(services, { body, caller, headers, request_id, ip }) {
      refuseMightier(caller, body.scope);
      return writeOnce(services, { caller, operation: 'createClient', body, headers }, async (trx) => {
        const made = await createClient({ db: trx, seal: services.seal }, body);
        const { client_id } = caller;
        const actor = { actor_kind: 'client' as const, actor_id: client_id, client_id, ip, request_id };
        const details = { made_client_id: made.client_id, party: body.party, scope: body.scope ?? '' };
        await recordAudit(trx, { ...actor, action: 'client.created', details });
        return made;
      });
    },
  }),
];
