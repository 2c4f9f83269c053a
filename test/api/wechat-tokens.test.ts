/** The company's other systems get the app's token from us, instead of voiding ours. */
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { apiRoutes } from '../../src/api/routes.ts';
import { createConnectors } from '../../src/connectors/registry.ts';
import { createDatabase } from '../../src/database.ts';
import { fakeWechat } from '../connectors/fakes.ts';
import { testServices } from '../connectors/services.ts';
import { testDatabase } from '../helpers/database.ts';
import { noJobs } from '../helpers/jobs.ts';
import { apiParts, type Send, serveRouter } from './http.ts';

const { db, url } = await testDatabase();
const services = testServices(db);
const wechat = await fakeWechat();
const { appid, secret } = wechat;
const connectors = createConnectors(services);
await connectors.configure({
  id: `wechat-miniprogram:${appid}`,
  connector: 'wechat-miniprogram',
  settings: { appid, secret, base_url: wechat.base },
});
const website = 'wx00000000000000b2';
await connectors.configure({
  id: `wechat-web:${website}`,
  connector: 'wechat-web',
  settings: { appid: website, secret, base_url: wechat.base },
});

const scopesOf: Record<string, string[]> = { shop: ['wechat:token'], crm: ['wechat:token'], other: ['subjects:read'] };
const authenticate = async (bearer: string) => ({ client_id: bearer, scopes: scopesOf[bearer] ?? [] });
let send: Send;
let sendToOther: Send;
let log: () => string;
beforeAll(async () => {
  const second = createDatabase({ url });
  const serve = (own: typeof db) =>
    serveRouter((log) => [apiRoutes({ ...apiParts, ...services, db: own, jobs: noJobs, log, authenticate })]);
  ({ send, log } = await serve(db));
  ({ send: sendToOther } = await serve(second));
});

const path = `/api/v1/wechat/${appid}/access-token`;
const read = (token = 'shop', through = send) => through('GET', path, { token });
const report = (access_token: string, token = 'shop') =>
  send('POST', `${path}/report`, { token, body: { access_token } });
const fetches = () => wechat.seen.filter(({ url: { pathname } }) => pathname === '/cgi-bin/stable_token');

beforeEach(async () => {
  wechat.seen.length = 0;
  wechat.token = 'app-token-1';
  wechat.behave(wechat.normal);
  await db('wechat_access_tokens').delete();
  await db('rate_limits').delete();
  await db('audit_entries').delete();
});

describe('GET /wechat/{appid}/access-token', () => {
  it('E10: the shared token and what is truly left of it, for no cache', async () => {
    wechat.behave(() => ({ body: { access_token: 'app-token-1', expires_in: 345 } }));
    const first = await read();
    expect(first).toMatchObject({ status: 200, body: { access_token: 'app-token-1', expires_in: 345 } });
    expect(first.headers['cache-control']).toBe('no-store');
    await db.raw(`update wechat_access_tokens set expires_at = expires_at - interval '100 seconds'`);
    const { expires_in } = (await read('crm')).body;
    expect(expires_in).toBeGreaterThanOrEqual(240);
    expect(expires_in).toBeLessThanOrEqual(245);
    expect(fetches()).toHaveLength(1);
  });

  it('C15: a hundred systems that ask in the same instant, over two processes, make one call to WeChat', async () => {
    wechat.behave(async (seen) => {
      await new Promise((resolve) => setTimeout(resolve, 300));
      return wechat.normal(seen);
    });
    const answers = await Promise.all(Array.from({ length: 100 }, (_, n) => read('shop', n % 2 ? send : sendToOther)));
    expect(new Set(answers.map(({ body }) => body.access_token))).toEqual(new Set(['app-token-1']));
    expect(fetches()).toHaveLength(1);
  });

  it('is for its scope alone, and for apps that have such a token', async () => {
    expect((await read('other')).status).toBe(403);
    expect((await send('GET', path)).status).toBe(401);
    for (const unknown of ['wx00000000000000ff', website])
      expect((await send('GET', `/api/v1/wechat/${unknown}/access-token`, { token: 'shop' })).status).toBe(404);
    expect(fetches()).toHaveLength(0);
  });

  it('is recorded for each system once an hour, and the token is in no record and no log', async () => {
    for (let n = 0; n < 5; n++) await read();
    await read('crm');
    const entries = await db('audit_entries').where({ action: 'wechat_token.read' }).orderBy('client_id');
    expect(entries.map(({ client_id }) => client_id)).toEqual(['crm', 'shop']);
    expect(entries[0]?.details).toEqual({ appid });
    await report('app-token-1');
    await report('a-token-of-nobody');
    for (const kept of [JSON.stringify(await db('audit_entries')), log(), services.logged()])
      for (const token of ['app-token-1', 'a-token-of-nobody', secret]) expect(kept).not.toContain(token);
  });

  it('is limited for a system in a loop', async () => {
    await db.raw('select 1');
    await read();
    await db('rate_limits').where('key', 'like', 'wechat_token_client%').update({ points: 600 });
    const answer = await read();
    expect(answer).toMatchObject({ status: 429, body: { error: { code: 'too_many_requests' } } });
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
  });

  it('says what is wrong with the app, or that WeChat is away', async () => {
    wechat.behave(() => ({ body: { errcode: 40164, errmsg: 'invalid ip 1.2.3.4, not in whitelist rid: 1' } }));
    expect(await read()).toMatchObject({ status: 503, body: { error: { code: 'wechat_misconfigured' } } });
    expect(log()).toContain('1.2.3.4');
    wechat.behave(() => 'reset');
    expect(await read()).toMatchObject({ status: 503, body: { error: { code: 'upstream_unavailable' } } });
  });
});

describe('POST …/report', () => {
  it('a token that WeChat no longer calls good is replaced, without forcing one', async () => {
    await read();
    wechat.token = 'app-token-2';
    expect(await report('app-token-1')).toMatchObject({ status: 200, body: { is_replaced: true } });
    expect((await read()).body.access_token).toBe('app-token-2');
    for (const { body } of fetches()) expect(JSON.parse(body).force_refresh).toBe(false);
  });

  it('one that WeChat calls good stands: the refusal had another reason', async () => {
    await read();
    expect((await report('app-token-1')).body).toEqual({ is_replaced: false });
    expect((await read()).body.access_token).toBe('app-token-1');
  });

  it('an old one costs no call: there is another already', async () => {
    await read();
    wechat.seen.length = 0;
    expect((await report('app-token-0')).body).toEqual({ is_replaced: true });
    expect(fetches()).toHaveLength(0);
  });

  it('a swarm that reports it together makes one call, and a flood is stopped', async () => {
    await read();
    wechat.token = 'app-token-2';
    wechat.seen.length = 0;
    const answers = await Promise.all(Array.from({ length: 8 }, () => report('app-token-1')));
    expect(answers.every(({ body }) => body.is_replaced)).toBe(true);
    expect(fetches().length).toBe(1);
    await report('x');
    await report('x');
    expect((await report('x')).status).toBe(429);
  });

  it('that WeChat is away loses nobody the token that may still be good', async () => {
    await read();
    wechat.behave(() => 'reset');
    expect((await report('app-token-1')).status).toBe(503);
    wechat.behave(wechat.normal);
    wechat.seen.length = 0;
    expect((await read()).body.access_token).toBe('app-token-1');
    expect(fetches()).toHaveLength(0);
  });
});
