/**
 * Applications: registered by staff, the CLI or the sandbox (never by themselves), read by the engine and by the APIs. What is
 * refused here cannot be asked for at /authorize: redirect addresses are compared there character by character.
 */
import { randomBytes } from 'node:crypto';
import type { AdapterPayload } from 'oidc-provider';
import { z } from 'zod';
import type { Clock } from '../clock.ts';
import type { Database } from '../database.ts';
import { type FieldErrors, fail } from '../errors.ts';
import type { Seal } from '../seal.ts';
import { signingAlgorithms } from './keys.ts';
import { redirectUriFault } from './redirect-uris.ts';
import { identityScopes, machineScopes, words } from './scopes.ts';
import { allClients, type ClientRow, disableClients, findClient, hasSecret, saveClient } from './store.ts';

export const tokenExchange = 'urn:ietf:params:oauth:grant-type:token-exchange';

const grantTypes = ['authorization_code', 'refresh_token', 'client_credentials', tokenExchange] as const;
const text = z.string().min(1).max(200);
const webAddress = z
  .string()
  .max(2000)
  .refine((uri) => redirectUriFault(uri, 'web') === undefined, 'must be an https address');

const origin = z
  .string()
  .max(300)
  .refine(
    (text) => URL.canParse(text) && new URL(text).origin === text,
    'must be an origin such as https://example.com',
  );

export const clientInput = z.object({
  /** Given: created or brought up to date. Left out: a new client with a made id. */
  client_id: z
    .string()
    .regex(/^[\w.-]{3,64}$/)
    .optional(),
  name: text,
  /** first: same legal entity, no consent page. third: the page names the recipient. */
  party: z.enum(['first', 'third']).default('first'),
  application_type: z.enum(['web', 'native']).optional(),
  redirect_uris: z.array(z.string().max(2000)).max(50).default([]),
  post_logout_redirect_uris: z.array(z.string().max(2000)).max(50).default([]),
  /** Home page and privacy policy, for the sign-in and consent pages to point at. */
  client_uri: webAddress.optional(),
  /** Told when a person's sessions end elsewhere: OpenID Connect Back-Channel Logout 1.0 section 2.2. */
  backchannel_logout_uri: webAddress.optional(),
  backchannel_logout_session_required: z.boolean().default(false),
  policy_uri: webAddress.optional(),
  grant_types: z.array(z.enum(grantTypes)).optional(),
  token_endpoint_auth_method: z
    .enum(['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt'])
    .optional(),
  id_token_signed_response_alg: z.enum(signingAlgorithms).optional(),
  /** Public keys of a client that authenticates by private_key_jwt. */
  jwks: z.object({ keys: z.array(z.record(z.string(), z.unknown())).min(1).max(20) }).optional(),
  methods: z.array(z.string().max(50)).max(20).default([]),
  appid: z
    .string()
    .regex(/^\w{1,64}$/)
    .optional(),
  channel: z.string().max(50).optional(),
  /** Pages that may use this public client without a redirect of their own: a mini-program's build for browsers, say. */
  origins: z.array(origin).max(20).default([]),
  /** Limits what may be asked for; API scopes are given by nothing else. */
  scope: z.string().max(1000).optional(),
  require_pkce: z.boolean().default(true),
  client_secret: z.string().min(8).max(200).optional(),
  source: z.enum(['operator', 'sandbox']).default('operator'),
});

export type ClientInput = z.input<typeof clientInput>;
type Checked = z.output<typeof clientInput>;
type Services = { db: Database; seal: Seal };

const sealContext = 'clients';

/** @returns the secret when one was given or made now: it is not shown again. @throws invalid_fields, naming every fault */
export async function createClient(
  { db, seal }: Services,
  input: ClientInput,
): Promise<{ client_id: string; client_secret?: string }> {
  const parsed = clientInput.safeParse(input);
  if (!parsed.success) throw fail('invalid_fields', { fields: faultsOf(parsed.error.issues) });
  const client = parsed.data;
  const metadata = metadataOf(client);
  const fields = contradictions(client, metadata);
  if (Object.keys(fields).length) throw fail('invalid_fields', { fields });
  const client_id = client.client_id ?? randomBytes(12).toString('base64url').replace(/\W/g, '0');
  const client_secret = await secretFor({ db, seal }, client, metadata);
  const asked = words(client.scope);
  await saveClient(db, {
    client_id,
    name: client.name,
    party: client.party,
    metadata,
    secret_sealed: client_secret ? seal.seal(client_secret, sealContext) : null,
    methods: client.methods,
    appid: client.appid ?? null,
    channel: client.channel ?? null,
    api_scopes: machineScopes.filter((scope) => asked.includes(scope)),
    require_pkce: client.require_pkce,
    is_enabled: true,
    source: client.source,
  });
  return { client_id, ...(client_secret && { client_secret }) };
}

function metadataOf(client: Checked): ClientRow['metadata'] {
  const exchanges = client.appid !== undefined || client.methods.length > 0;
  const grant_types = client.grant_types ?? [
    ...(client.redirect_uris.length ? ['authorization_code'] : []),
    ...(exchanges && !client.redirect_uris.length ? [tokenExchange] : []),
    ...(exchanges || client.redirect_uris.length ? ['refresh_token'] : ['client_credentials']),
  ];
  const scope = words(client.scope).filter((word) => identityScopes.includes(word));
  const isApp = client.redirect_uris.some((uri) => !/^https?:/i.test(uri));
  return {
    redirect_uris: client.redirect_uris,
    post_logout_redirect_uris: client.post_logout_redirect_uris,
    grant_types,
    response_types: grant_types.includes('authorization_code') ? ['code'] : [],
    token_endpoint_auth_method:
      client.token_endpoint_auth_method ??
      (client.appid && !client.redirect_uris.length ? 'none' : 'client_secret_basic'),
    application_type: client.application_type ?? (isApp ? 'native' : 'web'),
    // RS256 is what libraries expect unasked. Programs that exchange codes have none, and ES256 costs a tenth to sign.
    id_token_signed_response_alg:
      client.id_token_signed_response_alg ?? (client.redirect_uris.length ? 'RS256' : 'ES256'),
    ...(scope.length && { scope: scope.join(' ') }),
    ...(client.jwks && { jwks: client.jwks }),
    ...(client.client_uri && { client_uri: client.client_uri }),
    ...(client.policy_uri && { policy_uri: client.policy_uri }),
    ...(client.origins.length && { origins: client.origins }),
    ...(client.backchannel_logout_uri && {
      backchannel_logout_uri: client.backchannel_logout_uri,
      backchannel_logout_session_required: client.backchannel_logout_session_required,
    }),
  };
}

function contradictions(client: Checked, metadata: ClientRow['metadata']): FieldErrors {
  const { grant_types, token_endpoint_auth_method: method, application_type } = metadata;
  const fields: FieldErrors = {};
  for (const field of ['redirect_uris', 'post_logout_redirect_uris'] as const) {
    const fault = client[field].map((uri) => redirectUriFault(uri, application_type)).find(Boolean);
    if (fault) fields[field] = fault;
  }
  if (grant_types.includes('authorization_code') && !client.redirect_uris.length)
    fields.redirect_uris = 'A client that signs people in by redirect needs an address to come back to.';
  if (!client.require_pkce && method === 'none')
    fields.require_pkce = 'Only a confidential client may do without PKCE.';
  if (grant_types.includes('client_credentials') && method === 'none')
    fields.grant_types = 'client_credentials needs a client that can keep a secret.';
  if ((method === 'private_key_jwt') !== (client.jwks !== undefined))
    fields.jwks = 'Public keys belong to private_key_jwt, and it to them.';
  if (client.jwks?.keys.some((key) => 'd' in key || 'k' in key || 'priv' in key))
    fields.jwks = 'Only public keys are kept here.';
  const unknown = words(client.scope).find((word) => !identityScopes.includes(word) && !machineScopes.includes(word));
  if (unknown) fields.scope = `There is no scope "${unknown.slice(0, 50)}".`;
  return fields;
}

async function secretFor(
  { db }: Services,
  client: Checked,
  { token_endpoint_auth_method: method }: ClientRow['metadata'],
): Promise<string | undefined> {
  if (!method.startsWith('client_secret')) return undefined;
  if (client.client_secret) return client.client_secret;
  const isKnown = client.client_id !== undefined && (await hasSecret(db, client.client_id));
  return isKnown ? undefined : randomBytes(32).toString('base64url');
}

function faultsOf(issues: z.core.$ZodIssue[]): FieldErrors {
  return Object.fromEntries(issues.map(({ path, message }) => [path.join('.') || 'client', message]));
}

export type ListedClient = Omit<ClientRow, 'secret_sealed' | 'metadata'> & ClientRow['metadata'];

export async function listClients(db: Database): Promise<ListedClient[]> {
  return (await allClients(db)).map(({ secret_sealed: _, metadata, ...row }) => ({ ...metadata, ...row }));
}

/** Called by a start without the sandbox: its secrets are public. */
export async function disableSandboxClients(db: Database): Promise<void> {
  await disableClients(db, 'sandbox');
}

export type KnownClient = { row: ClientRow; metadata: AdapterPayload };

export type ClientDirectory = {
  /** Enabled clients only. */
  find(client_id: string): Promise<KnownClient | undefined>;
  /** Web origins from which browsers may talk to the token endpoint: those of public clients (threat A41). */
  publicOrigins(): Promise<Set<string>>;
};

/** A change takes effect within this time in every process. */
const freshMs = 3_000;
const mostKept = 1_000;

/** Clients are asked for several times in each request and change once a month: kept for three seconds. */
export function createClientDirectory({ db, seal, clock }: Services & { clock: Clock }): ClientDirectory {
  const kept = new Map<string, { until: number; client: KnownClient }>();
  let origins: { until: number; set: Set<string> } | undefined;
  return {
    async find(client_id) {
      const now = clock.now().getTime();
      const hit = kept.get(client_id);
      if (hit && hit.until > now) return hit.client;
      kept.delete(client_id);
      // Ids come from strangers; what no id of ours looks like is not asked for (a NUL would be an error of the database).
      const row = /^[\w.-]{1,64}$/.test(client_id) ? await findClient(db, client_id) : undefined;
      if (!row) return undefined;
      const client = { row, metadata: engineMetadata(seal, row) };
      if (kept.size >= mostKept) kept.clear();
      kept.set(client_id, { until: now + freshMs, client });
      return client;
    },
    async publicOrigins() {
      const now = clock.now().getTime();
      if (!origins || origins.until <= now) {
        const rows = (await allClients(db)).filter((row) => row.is_enabled);
        origins = { until: now + freshMs, set: new Set(rows.flatMap((row) => originsOf(row.metadata))) };
      }
      return origins.set;
    },
  };
}

export function originsOf({
  token_endpoint_auth_method,
  redirect_uris,
  origins = [],
}: Pick<ClientRow['metadata'], 'token_endpoint_auth_method' | 'redirect_uris' | 'origins'>): string[] {
  if (token_endpoint_auth_method !== 'none') return [];
  return [...redirect_uris.filter((uri) => /^https?:/i.test(uri)).map((uri) => new URL(uri).origin), ...origins];
}

/** Where a client's own pages live, public or not. */
export function pageOrigins({
  redirect_uris,
  client_uri,
  origins = [],
}: Pick<ClientRow['metadata'], 'redirect_uris' | 'client_uri' | 'origins'>): string[] {
  const pages = [...redirect_uris, ...(client_uri ? [client_uri] : [])].filter((uri) => /^https?:/i.test(uri));
  return [...new Set([...pages.map((uri) => new URL(uri).origin), ...origins])];
}

/** Names of RFC 7591, and what our own parts of the flow decide by. */
function engineMetadata(seal: Seal, row: ClientRow): AdapterPayload {
  return {
    client_id: row.client_id,
    client_name: row.name,
    ...row.metadata,
    ...(row.secret_sealed && { client_secret: seal.open(row.secret_sealed, sealContext) }),
    party: row.party,
    methods: row.methods,
    ...(row.appid && { appid: row.appid }),
    ...(row.channel && { channel: row.channel }),
    api_scopes: row.api_scopes,
    require_pkce: row.require_pkce,
  } as AdapterPayload;
}

export const ownMetadata = ['party', 'methods', 'appid', 'channel', 'api_scopes', 'require_pkce', 'origins'];

/** The engine's client with what engineMetadata added. */
export type EngineClient = {
  clientId: string;
  clientAuthMethod: string;
  redirectUris: string[];
  party: 'first' | 'third';
  methods: string[];
  appid?: string;
  channel?: string;
  api_scopes: string[];
  require_pkce: boolean;
  origins?: string[];
  scope?: string;
  grantTypeAllowed(type: string): boolean;
};

export function ours(client: unknown): EngineClient {
  return client as EngineClient;
}

/** What decides about browsers, of the engine's client. */
export function registration(client: unknown): Parameters<typeof originsOf>[0] {
  const { clientAuthMethod, redirectUris, origins } = ours(client);
  return {
    token_endpoint_auth_method: clientAuthMethod === 'none' ? 'none' : 'client_secret_basic',
    redirect_uris: redirectUris,
    ...(origins && { origins }),
  };
}

export function isPublic(client: EngineClient): boolean {
  return client.clientAuthMethod === 'none';
}
