/**
 * One of the two servers that bench/exchange.ts loads, in a process of its own:
 *   bare  oidc-provider with its in-memory adapter over a Map, no database, and the least that a token exchange can be
 *   ours  the provider as app.ts wires it, on PostgreSQL; WeChat itself answers at once, being somebody else's time
 */
import { createHash } from 'node:crypto';
import { exportJWK, generateKeyPair } from 'jose';
import Koa from 'koa';
import Provider from 'oidc-provider';
import { systemClock } from '../src/clock.ts';
import type { Connectors } from '../src/connectors/contract.ts';
import { createDatabase } from '../src/database.ts';
import { createLimits } from '../src/http/limits.ts';
import { createKoa } from '../src/http/server.ts';
import { createLogger } from '../src/log.ts';
import { createClient } from '../src/oidc/clients.ts';
import { createOidc } from '../src/oidc/provider.ts';
import { createSeal } from '../src/seal.ts';

const exchange = 'urn:ietf:params:oauth:grant-type:token-exchange';
const [kind, databaseUrl = ''] = process.argv.slice(2);

async function ours(): Promise<{ listen: Koa['listen'] }> {
  const publicUrl = 'http://localhost:3000';
  const db = createDatabase({ url: databaseUrl });
  const seal = createSeal('a secret for the bench, of more than 32 characters');
  // As in production: one line a request; the bench sends standard error to the null device.
  const log = createLogger({ level: 'info' });
  await createClient(
    { db, seal },
    {
      client_id: 'bench',
      name: 'bench',
      appid: 'wxbench',
      token_endpoint_auth_method: 'none',
      grant_types: [exchange, 'refresh_token'],
    },
  );
  const oidc = await createOidc({
    db,
    seal,
    clock: systemClock,
    log,
    config: { publicUrl, privateOrigins: [] },
    limits: createLimits({ db, seal }),
    connectors: wechatAtOnce,
    jobs: { handle: () => {}, send: async () => {} },
    pages: { renderError: () => {}, renderLogout: () => {}, renderLogoutDone: () => {}, settle: () => {} },
  });
  return createKoa({ log, trustProxy: false, https: false }).use(oidc.middleware);
}

const notHere = async () => {
  throw new Error('the bench signs in by WeChat only');
};
const wechatAtOnce: Connectors = {
  forms: async () => [],
  start: notHere,
  verify: notHere,
  challenge: notHere,
  delivery: notHere,
  report: notHere,
  exchangePhone: notHere,
  apps: async () => [],
  scanCode: notHere,
  appLink: notHere,
  accounts: async () => [],
  followCode: notHere,
  followerProof: notHere,
  notify: async () => false,
  redirects: async () => [],
  authorize: notHere,
  callback: notHere,
  configure: notHere,
  disableSandbox: notHere,
  exchange: async (appid, { login_code }) => ({
    connector: 'wechat-miniprogram',
    identities: [
      { kind: 'wechat_openid', issuer: appid, external_id: `o${login_code}` },
      { kind: 'wechat_unionid', issuer: 'bench', external_id: `u${login_code}` },
    ],
  }),
};

async function bare(): Promise<{ listen: Koa['listen'] }> {
  const { default: MemoryAdapter } = await import(
    new URL('../node_modules/oidc-provider/lib/adapters/memory_adapter.js', import.meta.url).href
  );
  // The library's own store forgets after a thousand entries; the bench asks for all of its refresh tokens again.
  const store = new Map<string, unknown>();
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  const provider = new Provider('http://localhost:3000', {
    adapter: (model: string) => new MemoryAdapter(model, store),
    jwks: { keys: [{ ...(await exportJWK(privateKey)), alg: 'ES256', use: 'sig' }] },
    clients: [
      {
        client_id: 'bench',
        grant_types: [exchange, 'refresh_token'],
        response_types: [],
        redirect_uris: [],
        token_endpoint_auth_method: 'none',
        id_token_signed_response_alg: 'ES256',
      },
    ],
    cookies: { keys: ['bench'] },
    scopes: ['openid', 'offline_access'],
    findAccount: (_ctx: unknown, accountId: string) => ({ accountId, claims: () => ({ sub: accountId }) }),
    features: { devInteractions: { enabled: false } },
    ttl: { AccessToken: 600, RefreshToken: 86_400, Grant: 86_400, IdToken: 600 },
  });
  provider.registerGrantType(exchange, bareExchange, ['subject_token', 'subject_token_type', 'scope'], []);
  return new Koa().use((ctx) => {
    ctx.respond = false;
    return provider.callback()(ctx.req, ctx.res);
  });
}

/** Grant, access token, refresh token, ID token: what ours gives, with nothing proven. */
async function bareExchange(ctx: Parameters<Parameters<Provider['registerGrantType']>[1]>[0]): Promise<void> {
  const { provider, client, params } = ctx.oidc;
  if (!client) throw new Error('no client');
  const accountId = createHash('md5').update(String(params?.subject_token)).digest('hex');
  const grant = new provider.Grant({ accountId, clientId: client.clientId });
  grant.addOIDCScope('openid offline_access');
  const grantId = await grant.save();
  const shared = { accountId, client, grantId, gty: exchange, scope: 'openid offline_access' };
  const token = new provider.AccessToken(shared);
  ctx.oidc.entity('AccessToken', token);
  const access_token = await token.save();
  const refresh_token = await new provider.RefreshToken({ ...shared, rotations: 0 } as never).save();
  const idToken = new provider.IdToken({ sub: accountId }, { ctx });
  Object.assign(idToken, { scope: 'openid', mask: {}, rejected: [] });
  const id_token = await idToken.issue({ use: 'idtoken' });
  ctx.body = { access_token, refresh_token, id_token, token_type: 'Bearer', expires_in: 600 };
}

const app = kind === 'bare' ? await bare() : await ours();
const server = app.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as { port: number }).port }));
process.on('disconnect', () => process.exit(0));
