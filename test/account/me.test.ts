import { expect, it } from 'vitest';
import { openSides } from './world.ts';

const sides = await openSides();
const { origin, config, phone, browser, me } = sides;
const preflight = (from: string) =>
  fetch(`${origin}/me/handovers`, {
    method: 'OPTIONS',
    headers: {
      origin: from,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization',
    },
  });

it('A41: pages of our public clients may call it from a browser, and no other page, never with cookies', async () => {
  const own = await preflight(config.demoUrl);
  expect(own.headers.get('access-control-allow-origin')).toBe(config.demoUrl);
  expect(own.headers.get('access-control-allow-headers')).toContain('Authorization');
  expect(own.headers.get('access-control-allow-credentials')).toBeNull();
  for (const stranger of ['https://evil.example', 'null'])
    expect((await preflight(stranger)).headers.get('access-control-allow-origin')).toBeNull();
});

it('D19: a program’s token opens none of it, and a person’s none of the management API', async () => {
  const { token } = await (await phone()).launch();
  const api = await fetch(`${origin}/api/v1/subjects/x`, { headers: { authorization: `Bearer ${token}` } });
  expect(api.status).toBe(403);
});

it('answers wrong methods, bodies and fields as what they are', async () => {
  const { token } = await (await phone()).launch();
  const authorization = `Bearer ${token}`;
  expect((await fetch(`${origin}/me/handovers`, { headers: { authorization } })).status).toBe(405);
  const text = { method: 'POST', headers: { authorization, 'content-type': 'text/plain' }, body: '{}' };
  expect((await fetch(`${origin}/me/handovers`, text)).status).toBe(415);
  const unknown = await me(token, '/handovers', { body: { client_id: 'shop', url: 'x', more: 1 } });
  expect([unknown.status, unknown.body]).toMatchObject([400, { error: { fields: { more: expect.any(String) } } }]);
  expect((await me(token, '/sign-ins/short')).status).toBe(404);
  expect((await fetch(`${origin}/me/nothing`, { headers: { authorization } })).status).toBe(404);
});

it('a token that was revoked, and a person who was suspended, are refused at once', async () => {
  const own = await phone();
  const { token, sub, answer } = await own.launch();
  await sides.db('subjects').where({ id: sub }).update({ status: 'suspended' });
  expect((await me(token, `/sign-ins/${'A'.repeat(22)}`)).status).toBe(401);
  await sides.db('subjects').where({ id: sub }).update({ status: 'active' });
  const revoke = new URLSearchParams({ client_id: 'demo-miniprogram', token: String(answer.refresh_token) });
  await fetch(`${origin}/revoke`, { method: 'POST', body: revoke });
  expect((await me(token, `/sign-ins/${'A'.repeat(22)}`)).status).toBe(401);
  expect((await browser().get(`${origin}/handover/${'A'.repeat(22)}`)).status).toBe(410);
});
