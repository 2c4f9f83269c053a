import { describe, expect, it } from 'vitest';
import { createDatabase } from '../../src/database.ts';
import { testDatabase } from '../helpers/database.ts';
import { basic, createBrowser, newCode, newPerson, password, pkce, post, reply, startWorld } from './world.ts';

const { db, url } = await testDatabase();
const pool = createDatabase({ url });
const now = new Date();
// Clients stay remembered, however slow this machine is.
const world = await startWorld({ db: pool, clock: { now: () => now } });
const callback = 'https://app.example/callback';
await world.register({ client_id: 'web', name: 'Website', redirect_uris: [callback], client_secret: password });
await world.register({ client_id: 'mini', name: 'Mini', appid: 'wxtest', methods: ['sms'] });
const { sub } = await newPerson(db);
const web = { client_id: 'web', redirect_uri: callback };
const token = `${world.base}/token`;
const { fields } = await newCode(world, sub, { ...web, scope: 'openid offline_access' });
const tokens = (await post(token, fields, basic('web'))).body;
const browser = createBrowser(world.base);
await newCode(world, sub, web, browser);
await fetch(`${world.base}/.well-known/openid-configuration`);
await pool.destroy();

describe('while the database is away', () => {
  const away = { status: 503, body: { error: 'temporarily_unavailable' } };
  it.each([
    ['a refresh', { grant_type: 'refresh_token', refresh_token: String(tokens.refresh_token) }, basic('web')],
    ['a code', { ...fields, code: 'x' }, basic('web')],
    [
      'an exchange',
      {
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        client_id: 'mini',
        subject_token: world.outside.loginCode({ openid: 'o-1' }),
        subject_token_type: 'urn:heyi:token-type:wechat-login-code',
      },
      {},
    ],
  ])('%s answers 503 with Retry-After, not server_error', async (_, request, headers) => {
    const answer = await post(token, request, headers);
    expect(answer).toMatchObject(away);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
  });
  it('userinfo and /otp answer 503', async () => {
    const headers = { authorization: `Bearer ${tokens.access_token}` };
    expect(await reply(await fetch(`${world.base}/userinfo`, { headers }))).toMatchObject(away);
    expect(await post(`${world.base}/otp`, { client_id: 'mini', channel: 'sms', to: '+8613900000001' })).toMatchObject(
      away,
    );
  });
  const ask = (client_id: string) => {
    const query = { ...web, client_id, response_type: 'code', scope: 'openid', state: 's' };
    const challenge = { code_challenge: pkce().challenge, code_challenge_method: 'S256' };
    return browser.get(`/authorize?${new URLSearchParams({ ...query, ...challenge })}`, {
      headers: { accept: 'text/html' },
    });
  };
  it('/authorize tells a client whose address is known', async () => {
    const back = new URL((await ask('web')).headers.get('location') ?? 'none:');
    expect(back.href).toContain(callback);
    expect(Object.fromEntries(back.searchParams)).toMatchObject({ error: 'temporarily_unavailable', state: 's' });
  });
  it('/authorize shows a page of ours otherwise, with our headers and without a stack', async () => {
    const answer = await ask('other');
    const text = await answer.text();
    expect(answer.status).toBe(503);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(text).toContain('error page');
    expect(text).not.toMatch(/\bat .*\.(ts|js):\d+/);
    expect(answer.headers.get('content-security-policy')).not.toBeNull();
    expect(answer.headers.get('location')).toBeNull();
  });
  it('the keys are still published', async () => {
    expect((await fetch(`${world.base}/jwks`)).status).toBe(200);
    expect((await fetch(`${world.base}/.well-known/openid-configuration`)).status).toBe(200);
  });
});
