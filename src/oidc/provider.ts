/**
 * Sign-in for programs: OAuth 2.1 and OpenID Connect on oidc-provider, which owns the protocol. Ours is what it leaves to the
 * operator (clients, keys, storage, limits) and what the standard does not have (sign-in by WeChat code).
 *
 *   mount.ts → engine → token-endpoint.ts → token-exchange.ts         requests
 *   configuration.ts  policy.ts  account.ts  adapter.ts               what the engine asks us
 *   tokens.ts  grants.ts  clients.ts                                  what other folders ask us
 *
 * Leaves who a person is to subjects/, proofs to connectors/, pages to login/.
 */
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import type { Connectors } from '../connectors/contract.ts';
import type { Database } from '../database.ts';
import { endBindings } from '../events/bind.ts';
import type { Limits } from '../http/limits.ts';
import type { Middleware } from '../http/server.ts';
import type { Jobs } from '../jobs.ts';
import type { Logger } from '../log.ts';
import type { Seal } from '../seal.ts';
import { artifactId } from './adapter.ts';
import { handleEndedSessions, handleEndedSubjects } from './backchannel.ts';
import { type ClientDirectory, createClientDirectory, pageOrigins, tokenExchange } from './clients.ts';
import { clockTolerance, type EnginePages, engineConfiguration } from './configuration.ts';
import { type Cors, createCors } from './cors.ts';
import { type Engine, Provider } from './engine.ts';
import { logEngine } from './engine-log.ts';
import { purgeExpired } from './grants.ts';
import { loadSigningKeys } from './keys.ts';
import { mountEngine } from './mount.ts';
import { createOtp } from './otp.ts';
import { implyConsent } from './policy.ts';
import { extraParameters, type GrantHandler, wrapGrant } from './token-endpoint.ts';
import { createTokenExchange, exchangeParameters } from './token-exchange.ts';
import { createTokenReader, type TokenReader } from './tokens.ts';

export type OidcDependencies = {
  db: Database;
  seal: Seal;
  clock: Clock;
  log: Logger;
  config: Pick<Config, 'publicUrl' | 'privateOrigins'>;
  limits: Limits;
  connectors: Connectors;
  jobs: Pick<Jobs, 'handle' | 'send'>;
  pages: EnginePages;
};

export type LoginClient = {
  client_id: string;
  name: string;
  party: 'first' | 'third';
  methods: string[];
  channel: string | null;
  client_uri: string | undefined;
  policy_uri: string | undefined;
  /** Of a mini-program. */
  appid: string | null;
  /** Where its pages live: of its registered addresses. */
  origins: string[];
};

export type Oidc = TokenReader & {
  /** Answers the engine's paths and /otp, and passes everything else on. */
  middleware: Middleware;
  provider: Engine;
  /** Which browsers may read what a person's token opens. */
  cors: Cors;
  /** What the sign-in page shows of a client. */
  loginClient(client_id: string): Promise<LoginClient | undefined>;
};

export async function createOidc(deps: OidcDependencies): Promise<Oidc> {
  const { db, seal, clock, log, connectors, limits, jobs, pages } = deps;
  const { publicUrl, privateOrigins } = deps.config;
  const clients = createClientDirectory({ db, seal, clock });
  const keys = await loadSigningKeys({ db, seal });
  const shared = { db, seal, clock, log, clients, connectors, limits, jobs, publicUrl };
  const configuration = engineConfiguration({ ...shared, privateOrigins, pages, jwks: keys.private });
  const provider = createEngine(publicUrl, configuration, (name, handler) => wrapGrant(shared, name, handler));
  provider.registerGrantType(tokenExchange, createTokenExchange(shared), exchangeParameters, ['resource']);
  implyConsent(provider);
  logEngine(provider, log);
  endBindingsAtLogout(provider, db);
  handleEndedSubjects({ db, seal, log, provider, jobs });
  handleEndedSessions({ db, seal, log, provider, jobs });
  const cors = createCors({ clients });
  const otp = createOtp({ clients, connectors, limits, cors });
  jobs.handle('oidc.purge', async () => void (await purgeExpired(db)), { cron: '*/5 * * * *' });
  return {
    middleware: mountEngine({ provider, cors, log, pages, publicUrl, otp }),
    provider,
    cors,
    loginClient: (client_id) => readLoginClient(clients, client_id),
    ...createTokenReader({ db, clock, provider, clients, keys: keys.public, publicUrl, clockTolerance }),
  };
}

type Wrap = (name: string, handler: GrantHandler) => GrantHandler;

/** The engine registers its own grants while it is constructed; this is the only place where they can be wrapped. */
function createEngine(issuer: string, configuration: ConstructorParameters<typeof Provider>[1], wrap: Wrap): Engine {
  class Wrapping extends Provider {
    override registerGrantType(
      name: string,
      handler: (ctx: never) => void | Promise<void>,
      params?: string | readonly string[] | ReadonlySet<string>,
      duplicates?: string | readonly string[] | ReadonlySet<string>,
    ): void {
      const names = [...(typeof params === 'string' ? [params] : (params ?? [])), ...(extraParameters[name] ?? [])];
      super.registerGrantType(name, wrap(name, handler as GrantHandler), names, duplicates);
    }
  }
  return new Wrapping(issuer, configuration);
}

/** A grant with offline_access outlives the browser session; whose behaviour this browser shows ends with the session. */
function endBindingsAtLogout(provider: Engine, db: Database): void {
  provider.on('end_session.success', (ctx) => {
    const grants = Object.values(ctx.oidc.session?.authorizations ?? {}).flatMap(({ grantId }) => grantId ?? []);
    endBindings(db, grants.map(artifactId)).catch((error: unknown) => provider.emit('error', error));
  });
}

async function readLoginClient(clients: ClientDirectory, client_id: string): Promise<LoginClient | undefined> {
  const row = (await clients.find(client_id))?.row;
  if (!row) return undefined;
  const { name, party, methods, channel, appid } = row;
  const { client_uri, policy_uri } = row.metadata;
  const origins = pageOrigins(row.metadata);
  return { client_id, name, party, methods, channel, client_uri, policy_uri, appid, origins };
}
