import { describe, expect, it } from 'vitest';
import { testDatabase } from '../helpers/database.ts';
import {
  authorize,
  basic,
  createBrowser,
  newCode,
  newPerson,
  password,
  pkce,
  post,
  reply,
  startWorld,
} from './world.ts';

const { db } = await testDatabase();
const world = await startWorld({ db });
const callback = 'https://app.example/callback';

await world.register({
  client_id: 'web',
  name: 'Website',
  redirect_uris: [callback, 'https://app.example/other'],
  client_secret: password,
});
await world.register({
  client_id: 'spa',
  name: 'SPA',
  redirect_uris: ['http://localhost:3100/spa'],
  token_endpoint_auth_method: 'none',
});
await world.register({ client_id: 'web2', name: 'Other website', redirect_uris: [callback], client_secret: password });
await world.register({
  client_id: 'legacy',
  name: 'No PKCE',
  redirect_uris: [callback],
  client_secret: password,
  require_pkce: false,
});
await world.register({
  client_id: 'native',
  name: 'Desktop app',
  application_type: 'native',
  redirect_uris: ['http://127.0.0.1/callback', 'http://[::1]/callback'],
  token_endpoint_auth_method: 'none',
});
await world.register({
  client_id: 'partner',
  name: 'Partner',
  party: 'third',
  redirect_uris: [callback],
  client_secret: password,
});

const token = `${world.base}/token`;
const web = { client_id: 'web', redirect_uri: callback };
const { sub } = await newPerson(db);

async function ask(query: Record<string, string | string[] | undefined>) {
  const parameters = new URLSearchParams();
  const defaults = {
    response_type: 'code',
    scope: 'openid',
    code_challenge: pkce().challenge,
    code_challenge_method: 'S256',
  };
  for (const [name, value] of Object.entries({ ...defaults, ...web, ...query }))
    for (const one of [value ?? []].flat()) parameters.append(name, one);
  return reply(await fetch(`${world.base}/authorize?${parameters}`, { redirect: 'manual' }));
}

function locationOf({ headers }: { headers: Headers }): URLSearchParams {
  const location = headers.get('location') ?? '';
  return location.startsWith(callback) ? new URL(location).searchParams : new URLSearchParams();
}

async function userinfo(access_token: unknown) {
  return reply(await fetch(`${world.base}/userinfo`, { headers: { authorization: `Bearer ${access_token}` } }));
}

describe('redirect addresses (A1, A2, A3, A4)', () => {
  it.each([
    'https://evil.example/callback',
    `${callback}?x=1`,
    `${callback}/`,
    'https://app.example/Callback',
    'https://APP.example/callback',
    'https://app.example/a/%2e%2e/callback',
    'https://app.example/a/../callback',
    `${callback};a`,
    'https://app.example@evil.example/callback',
    `${callback}#frag`,
    'https://app.example\\@evil.example/callback',
    'https:\\\\evil.example/callback',
    `${callback}\t`,
    `\n${callback}`,
    'https://аpp.example/callback',
    'http://app.example/callback',
    'https://app.example:444/callback',
    'https://user:pw@app.example/callback',
    'https://app.example/%2563allback',
    'javascript:alert(1)',
  ])('refuses %j with a page of our own', async (redirect_uri) => {
    const answer = await ask({ redirect_uri });
    expect(answer.status).toBe(400);
    expect(answer.headers.get('location')).toBeNull();
  });
  it('refuses a redirect_uri that is sent twice or as a list', async () => {
    for (const query of [
      { redirect_uri: [callback, callback] },
      { redirect_uri: undefined, 'redirect_uri[]': callback },
    ]) {
      const answer = await ask(query);
      expect(answer.status).toBe(400);
      expect(answer.headers.get('location')).toBeNull();
    }
  });
  it('lets a native client use any port of a loopback address, and nothing else', async () => {
    const native = (redirect_uri: string) => ask({ client_id: 'native', redirect_uri });
    expect((await native('http://127.0.0.1:51234/callback')).status).toBe(303);
    expect((await native('http://[::1]:9/callback')).status).toBe(303);
    for (const uri of ['http://localhost:51234/callback', 'http://127.0.0.1:51234/other', 'http://127.0.0.2/callback'])
      expect((await native(uri)).status).toBe(400);
    expect((await ask({ client_id: 'spa', redirect_uri: 'http://localhost:9/spa' })).status).toBe(400);
  });
});

describe('the authorization request (A6, A7, A8, A9, A27, A43)', () => {
  it.each(['token', 'id_token token', 'code id_token', 'id_token'])(
    'refuses response_type=%s',
    async (response_type) => {
      const answer = await ask({ response_type, nonce: 'n' });
      const location = new URL(answer.headers.get('location') ?? 'none:');
      const error = location.searchParams.get('error') ?? new URLSearchParams(location.hash.slice(1)).get('error');
      expect(error).toBe('unsupported_response_type');
    },
  );
  it.each(['web', 'spa', 'native', 'partner'])('refuses the client %s without code_challenge', async (client_id) => {
    const redirect_uri =
      { spa: 'http://localhost:3100/spa', native: 'http://127.0.0.1/callback' }[client_id] ?? callback;
    const answer = await ask({ client_id, redirect_uri, code_challenge: undefined, code_challenge_method: undefined });
    expect(new URL(answer.headers.get('location') ?? 'none:').searchParams.get('error')).toBe('invalid_request');
  });
  it('lets an operator switch PKCE off for a confidential client', async () => {
    const query = { client_id: 'legacy', code_challenge: undefined, code_challenge_method: undefined };
    expect((await ask(query)).headers.get('location')).toMatch(/\/login\//);
  });
  it('refuses the plain method and a challenge without method', async () => {
    expect(locationOf(await ask({ code_challenge_method: 'plain' })).get('error')).toBe('invalid_request');
    expect(locationOf(await ask({ code_challenge_method: undefined })).get('error')).toBe('invalid_request');
  });
  it('refuses request objects and addresses of request objects', async () => {
    expect(locationOf(await ask({ request: 'eyJhbGciOiJub25lIn0.e30.' })).get('error')).toBe('request_not_supported');
    for (const request_uri of ['http://127.0.0.1/x', 'file:///etc/passwd', 'gopher://x'])
      expect(locationOf(await ask({ request_uri })).get('error')).toBe('request_uri_not_supported');
  });
  it('refuses grant_type=password and a client that is named twice', async () => {
    const refused = await post(token, { grant_type: 'password', username: 'u', password: 'p' }, basic('web'));
    expect(refused).toMatchObject({ status: 400, body: { error: 'unsupported_grant_type' } });
    const twice = await post(token, { grant_type: 'client_credentials', client_id: ['spa', 'spa'] });
    expect(twice).toMatchObject({ status: 400, body: { error: 'invalid_request' } });
    const both = await post(
      token,
      { grant_type: 'client_credentials', client_id: 'web', client_secret: password },
      basic('web'),
    );
    expect(both).toMatchObject({ status: 400, body: { error: 'invalid_request' } });
  });
  it('advertises exactly what it does', async () => {
    const { body } = await reply(await fetch(`${world.base}/.well-known/openid-configuration`));
    expect(body).toMatchObject({
      issuer: world.issuer,
      authorization_endpoint: `${world.issuer}/authorize`,
      token_endpoint: `${world.issuer}/token`,
      userinfo_endpoint: `${world.issuer}/userinfo`,
      jwks_uri: `${world.issuer}/jwks`,
      end_session_endpoint: `${world.issuer}/logout`,
      introspection_endpoint: `${world.issuer}/introspect`,
      revocation_endpoint: `${world.issuer}/revoke`,
      pushed_authorization_request_endpoint: `${world.issuer}/par`,
      response_types_supported: ['code'],
      code_challenge_methods_supported: ['S256'],
      authorization_response_iss_parameter_supported: true,
      subject_types_supported: ['public'],
    });
    expect(new Set(body.id_token_signing_alg_values_supported as string[])).toEqual(new Set(['RS256', 'ES256']));
    expect(body.grant_types_supported).toEqual([
      'authorization_code',
      'refresh_token',
      'client_credentials',
      'urn:ietf:params:oauth:grant-type:token-exchange',
    ]);
    expect(body.scopes_supported).toEqual(['openid', 'offline_access', 'profile', 'email', 'phone']);
    expect(body.registration_endpoint).toBeUndefined();
  });
});

describe('the code (A5, A10, A11, A12, A14, A15, A16, A17)', () => {
  it('comes back with iss and the state as it was sent, 1 kB of it', async () => {
    const state = `${'ä&=+ %41"<>'.repeat(90)}end`;
    const { back } = await newCode(world, sub, { ...web, state });
    expect(back.searchParams.get('iss')).toBe(world.issuer);
    expect(back.searchParams.get('state')).toBe(state);
  });
  it('is redeemed once for an access token and an ID token with the nonce', async () => {
    const { fields } = await newCode(world, sub, { ...web, nonce: 'n-1' });
    const answer = await post(token, fields, basic('web'));
    expect(answer).toMatchObject({ status: 200, body: { token_type: 'Bearer', expires_in: 600, scope: 'openid' } });
    expect(answer.headers.get('cache-control')).toContain('no-store');
    const claims = JSON.parse(Buffer.from(String(answer.body.id_token).split('.')[1] ?? '', 'base64url').toString());
    expect(claims).toMatchObject({ iss: world.issuer, aud: 'web', sub, nonce: 'n-1' });
    expect(answer.body.refresh_token).toBeUndefined();
    expect((await userinfo(answer.body.access_token)).body).toEqual({ sub });
  });
  it.each([
    ['another redirect_uri', { redirect_uri: 'https://app.example/other' }],
    ['no redirect_uri', { redirect_uri: undefined }],
    ['another verifier', { code_verifier: pkce().verifier }],
    ['no verifier', { code_verifier: undefined }],
  ])('is not redeemed with %s', async (_, change) => {
    const { fields } = await newCode(world, sub, web);
    const sent = Object.fromEntries(Object.entries({ ...fields, ...change }).flatMap(([k, v]) => (v ? [[k, v]] : [])));
    expect(await post(token, sent, basic('web'))).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
  });
  it('of a request without PKCE is not redeemed with a verifier', async () => {
    const browser = createBrowser(world.base);
    const back = await authorize(world, browser, sub, { client_id: 'legacy', redirect_uri: callback });
    const code = back.searchParams.get('code') ?? '';
    const fields = { grant_type: 'authorization_code', code, redirect_uri: callback };
    const answer = await post(token, { ...fields, code_verifier: pkce().verifier }, basic('legacy'));
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
    expect((await post(token, fields, basic('legacy'))).status).toBe(200);
  });
  it('of one sign-in is not redeemed with the verifier of another, nor by another client', async () => {
    const [mine, theirs] = [await newCode(world, sub, web), await newCode(world, sub, web)];
    const injected = await post(token, { ...mine.fields, code: theirs.code }, basic('web'));
    expect(injected).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
    const { client_id: _, ...fields } = mine.fields;
    expect(await post(token, fields, basic('web2'))).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
  });
  it.each([0, 30])('used again after %i seconds is refused, and what it gave ends', async (seconds) => {
    const { fields } = await newCode(world, sub, { ...web, scope: 'openid offline_access' });
    const first = await post(token, fields, basic('web'));
    await db('oidc_artifacts')
      .where({ model: 'AuthorizationCode' })
      .update({ expires_at: db.raw(`expires_at - make_interval(secs => ?)`, [seconds]) });
    expect((await userinfo(first.body.access_token)).status).toBe(200);
    expect(await post(token, fields, basic('web'))).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
    expect((await userinfo(first.body.access_token)).status).toBe(401);
    const refresh = { grant_type: 'refresh_token', refresh_token: String(first.body.refresh_token) };
    expect(await post(token, refresh, basic('web'))).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
  });
  it('is refused after 60 seconds', async () => {
    const { fields } = await newCode(world, sub, web);
    const { rows } = await db.raw(
      `select extract(epoch from expires_at - created_at)::integer as ttl from oidc_artifacts
        where model = 'AuthorizationCode' order by created_at desc limit 1`,
    );
    expect(rows[0].ttl).toBe(60);
    await db('oidc_artifacts')
      .where({ model: 'AuthorizationCode' })
      .update({ expires_at: db.raw(`expires_at - interval '61 seconds'`) });
    expect(await post(token, fields, basic('web'))).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
  });
});

describe('offline_access of first-party clients', () => {
  it('gives a refresh token without a consent page, by redirect and by PAR alike', async () => {
    const scope = 'openid offline_access';
    const byGet = await newCode(world, sub, { ...web, scope });
    expect((await post(token, byGet.fields, basic('web'))).body.refresh_token).toEqual(expect.any(String));

    const { verifier, challenge } = pkce();
    const request = { ...web, scope, response_type: 'code', code_challenge: challenge, code_challenge_method: 'S256' };
    const pushed = await post(`${world.base}/par`, request, basic('web'));
    expect(pushed.status).toBe(201);
    const request_uri = String(pushed.body.request_uri);
    const back = await authorize(world, createBrowser(world.base), sub, { ...web, scope: undefined, request_uri });
    const redeem = { grant_type: 'authorization_code', redirect_uri: callback, code_verifier: verifier };
    const tokens = await post(token, { ...redeem, code: back.searchParams.get('code') ?? '' }, basic('web'));
    expect(tokens.body.refresh_token).toEqual(expect.any(String));
  });
  it('gives none to who did not ask, nor to a third party without its consent page', async () => {
    const { fields } = await newCode(world, sub, web);
    expect((await post(token, fields, basic('web'))).body.refresh_token).toBeUndefined();
    const browser = createBrowser(world.base);
    await newCode(world, sub, web, browser);
    const query = new URLSearchParams({
      client_id: 'partner',
      redirect_uri: callback,
      response_type: 'code',
      scope: 'openid offline_access',
      code_challenge: pkce().challenge,
      code_challenge_method: 'S256',
    });
    const answer = await browser.get(`/authorize?${query}`);
    expect(answer.headers.get('location')).toMatch(/\/login\//);
  });
});
