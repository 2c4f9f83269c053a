/** What the sandbox seeded has secrets that everybody can read: the next start without it opens none of those doors. */
import { afterAll, describe, expect, it } from 'vitest';
import { createApp } from '../../src/app.ts';
import { loadConfig } from '../../src/config.ts';
import { runningApp } from '../helpers/app.ts';
import { freePort } from '../helpers/ports.ts';
import { attackerOf, backend, basic, bearer, freshPhone, website } from './attacker.ts';

const before = await runningApp();
const then = attackerOf(before.config);
const machine = await then.machineToken();
const signed = await then.signIn('sms', freshPhone());
const { body: tokens } = await then.redeem(signed);
const late = await then.signIn('sms', freshPhone());
const loginCode = await then.sandbox.code(await then.sandbox.person('小明'), 'login-code');

/** The same database and secret, a public address, no sandbox; the old process is still there, as in a rolling restart. */
const port = await freePort();
const config = loadConfig({
  PORT: String(port),
  PUBLIC_URL: 'https://id.example.com',
  DATABASE_URL: before.url,
  HEYI_SECRET: before.config.secret,
  DATA_DIR: before.config.dataDir,
  LOG_LEVEL: 'silent',
});
const app = await createApp(config);
afterAll(() => app.stop());
const started = await app.start();
const base = `http://127.0.0.1:${port}`;
const now = attackerOf({ ...config, publicUrl: base });

describe('a start without the sandbox', () => {
  it('has none, and says so', () => {
    expect(config.sandbox).toBe(false);
    expect(started.addresses).toEqual([{ name: 'Heyi', url: 'https://id.example.com' }]);
  });
  it.each([
    ['demo-backend', backend.secret],
    ['demo-website', website.secret],
  ])('knows no secret of %s', async (id, secret) => {
    const fields = { grant_type: 'client_credentials', resource: 'https://id.example.com/api' };
    expect(await now.token(fields, basic(id, secret))).toMatchObject({
      status: 401,
      body: { error: 'invalid_client' },
    });
  });
  it('accepts no token that was given before', async () => {
    for (const token of [machine, tokens.access_token, tokens.id_token])
      expect((await now.say(`${base}/api/v1/clients`, { headers: bearer(token) })).status).toBe(401);
    expect((await now.say(`${base}/userinfo`, { headers: bearer(tokens.access_token) })).status).toBe(401);
    expect((await now.refresh(String(tokens.refresh_token))).status).toBe(401);
    expect((await now.redeem(late)).status).toBe(401);
    const event = { method: 'POST', headers: bearer(tokens.access_token), body: '{"event":"a"}' };
    expect((await now.say(`${base}/v1/track`, event)).status).toBe(401);
  });
  it.each(['demo-client-key', 'demo-server-key'])('takes no event under %s', async (key) => {
    const event = { method: 'POST', headers: basic(key, ''), body: '{"event":"a","anonymousId":"b"}' };
    expect((await now.say(`${base}/v1/track`, event)).status).toBe(401);
    expect((await now.say(`${base}/v1/projects/${key}/settings`)).status).toBe(401);
  });
  it('signs nobody in by what the sandbox says', async () => {
    expect(await now.exchange(loginCode)).toMatchObject({ status: 401, body: { error: 'invalid_client' } });
    const otp = await now.send('POST', `${base}/otp`, {
      client_id: 'demo-miniprogram',
      channel: 'sms',
      to: freshPhone(),
    });
    expect(otp.status).toBe(400);
    for (const client_id of ['demo-website', 'demo-spa']) {
      const answer = await now.say(now.authorize(client_id).url, { headers: { accept: 'text/html' } });
      expect([answer.status, answer.headers.get('location')]).toEqual([400, null]);
    }
  });
  it('sends its cookies over https alone, and says so to browsers (G6, G7)', async () => {
    const start = await now.say(`${base}/admin`, { headers: { accept: 'text/html' } });
    const location = new URL(start.headers.get('location') ?? '');
    expect(location.origin).toBe('https://id.example.com');
    const authorize = await now.say(`${base}${location.pathname}${location.search}`);
    const page = new URL(authorize.headers.get('location') ?? '', config.publicUrl);
    const cookie = authorize.headers.getSetCookie().map((line) => line.split(';')[0]);
    const login = await now.say(`${base}${page.pathname}`, {
      headers: { cookie: cookie.join('; '), accept: 'text/html' },
    });
    // The page is there; that no way of signing in is set up is what it says.
    expect(login.status).toBe(503);
    const answers = [start, authorize, login, await now.say(`${base}/nothing`), await now.say(`${base}/?lang=en`)];
    const lines = answers.flatMap(({ headers }) => headers.getSetCookie());
    expect(lines.length).toBeGreaterThan(3);
    for (const line of lines) expect(line).toMatch(/; ?secure/i);
    for (const { headers } of answers) expect(headers.get('strict-transport-security')).toContain('max-age=63072000');
  });
});
