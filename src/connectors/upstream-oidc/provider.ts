/**
 * An identity provider as openid-client speaks to it. What it publishes about itself is kept for ten minutes in each process; the client
 * secret is not.
 */
import {
  allowInsecureRequests,
  type ClientAuth,
  ClientSecretBasic,
  ClientSecretPost,
  Configuration,
  clockTolerance,
  customFetch,
  discovery,
  type ExportedJWKSCache,
  enableNonRepudiationChecks,
  getJwksCache,
  None,
  type ServerMetadata,
  setJwksCache,
} from 'openid-client';
import { fail } from '../../errors.ts';
import type { ConnectorServices } from '../contract.ts';
import { upstreamTimeout } from '../upstream.ts';
import type { Outgoing } from './outgoing.ts';
import type { UpstreamSettings } from './settings.ts';

type Known = { metadata: ServerMetadata; until: number; jwks?: ExportedJWKSCache };
const known = new Map<string, Known>();
const keptFor = 600_000;

/** @throws upstream_unavailable | connector_not_configured */
export async function providerOf(
  services: ConnectorServices,
  settings: UpstreamSettings,
  outgoing: Outgoing,
): Promise<Configuration> {
  const kept = known.get(settings.issuer);
  const fresh =
    kept && kept.until > services.clock.now().getTime() ? kept : await discover(services, settings, outgoing);
  const { client_id, client_secret } = settings;
  const own = { ...(client_secret && { client_secret }), [clockTolerance]: 30 };
  const provider = new Configuration(fresh.metadata, client_id, own, authenticationOf(settings, fresh.metadata));
  prepare(provider, settings, outgoing);
  if (fresh.jwks) setJwksCache(provider, fresh.jwks);
  return provider;
}

/** After a call that may have fetched the provider's keys. */
export function keepKeys({ issuer }: UpstreamSettings, provider: Configuration): void {
  const jwks = getJwksCache(provider);
  const kept = known.get(issuer);
  if (kept && jwks) kept.jwks = jwks;
}

function prepare(provider: Configuration, { issuer }: UpstreamSettings, outgoing: Outgoing): void {
  provider[customFetch] = outgoing.fetch;
  provider.timeout = upstreamTimeout / 1000;
  // The signature too, not the connection alone (threat A24).
  enableNonRepudiationChecks(provider);
  // Only this machine may be asked without TLS (settings), and only if PRIVATE_ORIGINS names it.
  if (issuer.startsWith('http:')) allowInsecureRequests(provider);
}

async function discover(
  { clock, log }: ConnectorServices,
  settings: UpstreamSettings,
  outgoing: Outgoing,
): Promise<Known> {
  const { key, issuer, client_id } = settings;
  const options = {
    [customFetch]: outgoing.fetch,
    timeout: upstreamTimeout / 1000,
    execute: issuer.startsWith('http:') ? [allowInsecureRequests] : [],
  };
  let metadata: ServerMetadata;
  try {
    metadata = (await discovery(new URL(issuer), client_id, undefined, undefined, options)).serverMetadata();
  } catch (error) {
    if (outgoing.isAway()) {
      log.warn({ connector: 'upstream-oidc', key }, 'upstream-oidc: the provider does not answer');
      throw fail('upstream_unavailable', { retryAfterSeconds: 5 });
    }
    throw misconfigured({ log, key }, error);
  }
  // An identity is (issuer, subject), exactly: with a slash more it would be another one.
  if (metadata.issuer !== issuer) throw misconfigured({ log, key }, { code: 'ISSUER_DIFFERS' });
  const found = { metadata, until: clock.now().getTime() + keptFor };
  known.set(issuer, found);
  return found;
}

function misconfigured({ log, key }: Pick<ConnectorServices, 'log'> & { key: string }, error: unknown) {
  const { code } = error as { code?: unknown };
  log.error({ connector: 'upstream-oidc', key, code }, 'upstream-oidc: no provider of this issuer: check the settings');
  return fail('connector_not_configured', { retryAfterSeconds: 60 });
}

/** What the provider takes; Basic where it says nothing (OpenID Connect Discovery section 3). */
function authenticationOf({ client_secret }: UpstreamSettings, metadata: ServerMetadata): ClientAuth {
  if (!client_secret) return None();
  const taken = metadata.token_endpoint_auth_methods_supported ?? ['client_secret_basic'];
  return taken.includes('client_secret_basic') ? ClientSecretBasic(client_secret) : ClientSecretPost(client_secret);
}
