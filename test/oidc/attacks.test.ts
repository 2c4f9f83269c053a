import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { describe, expect, it } from 'vitest';
import { testDatabase } from '../helpers/database.ts';
import {
  atTheSameMoment,
  basic,
  createBrowser,
  createOutside,
  newCode,
  newPerson,
  password,
  pkce,
  post,
  reply,
  secondWorld,
  startWorld,
} from './world.ts';

const { db, url } = await testDatabase();
const outside = createOutside();
const world = await startWorld({ db, outside });
const { world: other } = await secondWorld(url, outside);
const callback = 'https://app.example/callback';
const spaCallback = 'https://spa.example/callback';

await world.register({ client_id: 'web', name: 'Website', redirect_uris: [callback], client_secret: password });
await world.register({ client_id: 'web2', name: 'Another', redirect_uris: [callback], client_secret: password });
await world.register({
  client_id: 'spa',
  name: 'SPA',
  redirect_uris: [spaCallback],
  token_endpoint_auth_method: 'none',
  methods: ['sms'],
  grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:token-exchange'],
});
await world.register({
  client_id: 'spa2',
  name: 'Another SPA',
  redirect_uris: ['https://other.example/callback'],
  token_endpoint_auth_method: 'none',
});
await world.register({
  client_id: 'backend',
  name: 'Backend',
  client_secret: password,
  scope: 'subjects:read subjects:write events:write',
  channel: 'server',
});
const clientKey = await generateKeyPair('ES256', { extractable: true });
const clientJwk = { ...(await exportJWK(clientKey.publicKey)), alg: 'ES256', use: 'sig', kid: 'client-key' };
await world.register({
  client_id: 'signer',
  name: 'Signs its assertions',
  grant_types: ['client_credentials'],
  token_endpoint_auth_method: 'private_key_jwt',
  jwks: { keys: [clientJwk] },
  scope: 'subjects:read',
});

const token = `${world.base}/token`;
const resource = `${world.issuer}/api`;
const { sub } = await newPerson(db);
const web = { client_id: 'web', redirect_uri: callback };

async function tokens(parameters: Record<string, string> = {}) {
  const { fields } = await newCode(world, sub, { ...web, ...parameters });
  return (await post(token, fields, basic('web'))).body;
}
const bearer = (value: unknown) => ({ headers: { authorization: `Bearer ${value}` } });
const userinfo = async (value: unknown) => reply(await fetch(`${world.base}/userinfo`, bearer(value)));

describe('twenty parallel redemptions of one code over two processes (A13)', () => {
  it('have one success, and what it got ends', async () => {
    const { fields } = await newCode(world, sub, { ...web, scope: 'openid offline_access' });
    const bases = Array.from({ length: 20 }, (_, at) => (at % 2 ? world.base : other.base));
    const answers = await Promise.all(bases.map((base) => post(`${base}/token`, fields, basic('web'))));
    const [won, ...more] = answers.filter(({ status }) => status === 200);
    expect(more).toEqual([]);
    for (const lost of answers.filter(({ status }) => status !== 200))
      expect(lost).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
    expect((await userinfo(won?.body.access_token)).status).toBe(401);
    const refresh = { grant_type: 'refresh_token', refresh_token: String(won?.body.refresh_token) };
    expect((await post(token, refresh, basic('web'))).body.error).toBe('invalid_grant');
  });
});

describe('two redemptions that both found the code unused', () => {
  it('have one success, and what it got ends (A13)', async () => {
    const { fields, code } = await newCode(world, sub, { ...web, scope: 'openid offline_access' });
    const done = await atTheSameMoment(db, { model: 'AuthorizationCode', value: code }, () =>
      [world.base, other.base].map((base) => post(`${base}/token`, fields, basic('web'))),
    );
    expect(done.map(({ status }) => status).sort()).toEqual([200, 400]);
    const won = done.find(({ status }) => status === 200);
    expect((await userinfo(won?.body.access_token)).status).toBe(401);
    expect(await db('audit_entries').where({ action: 'grant.code_replayed', subject_id: sub })).not.toHaveLength(0);
  });
});

describe('tokens in the wrong place (A23, A44)', () => {
  it('userinfo takes neither a token of the API nor an ID token', async () => {
    const { id_token, access_token } = await tokens({ resource, scope: 'openid me:read' });
    for (const wrong of [access_token, id_token, 'x', '']) {
      const answer = await userinfo(wrong);
      expect(answer.status).toBe(wrong === '' ? 400 : 401);
    }
    expect((await userinfo(access_token)).headers.get('www-authenticate')).toMatch(/invalid_token/);
  });
  it('a client learns nothing about the token of another, and cannot end it', async () => {
    const { access_token, refresh_token } = await tokens({ scope: 'openid offline_access' });
    for (const value of [access_token, refresh_token].map(String)) {
      const foreign = await post(`${world.base}/introspect`, { token: value }, basic('web2'));
      expect(foreign).toMatchObject({ status: 200, body: { active: false } });
      expect((await post(`${world.base}/revoke`, { token: value }, basic('web2'))).status).toBe(200);
      const own = await post(`${world.base}/introspect`, { token: value }, basic('web'));
      expect(own.body).toMatchObject({ active: true, sub, client_id: 'web' });
    }
    expect((await post(`${world.base}/revoke`, { token: String(refresh_token) }, basic('web'))).status).toBe(200);
    expect((await userinfo(access_token)).status).toBe(401);
  });
});

describe('forged tokens and assertions (A24, A25)', () => {
  const claims = () => ({ iss: 'signer', sub: 'signer', aud: world.issuer, jti: randomBytes(8).toString('hex') });
  const assertion = (
    payload: JWTPayload = {},
    header = {},
    key: Parameters<SignJWT['sign']>[0] = clientKey.privateKey,
  ) =>
    new SignJWT({ ...claims(), iat: now(), exp: now() + 60, ...payload })
      .setProtectedHeader({ alg: 'ES256', ...header })
      .sign(key);
  const now = () => Math.floor(Date.now() / 1000);
  const authenticate = (client_assertion: string) =>
    post(token, {
      grant_type: 'client_credentials',
      client_assertion,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    });
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const body = () => encode({ ...claims(), iat: now(), exp: now() + 60 });

  it('an honest assertion is taken, once', async () => {
    const honest = await assertion();
    expect((await authenticate(honest)).status).toBe(200);
    expect(await authenticate(honest)).toMatchObject({ status: 401, body: { error: 'invalid_client' } });
  });
  it('forged ones are refused, and no address in them is fetched', async () => {
    const stranger = await generateKeyPair('ES256', { extractable: true });
    let fetched = 0;
    const trap = await import('node:http').then(({ createServer }) => createServer(() => void fetched++).listen(0));
    const address = trap.address();
    const jku = `http://127.0.0.1:${address && typeof address === 'object' ? address.port : 0}/keys`;
    const publicPem = encode(clientJwk);
    const forged = [
      `${encode({ alg: 'none' })}.${body()}.`,
      `${encode({ alg: 'ES256' })}.${body()}.`,
      `${encode({ alg: 'ES256' })}.${body()}.${Buffer.alloc(64).toString('base64url')}`,
      await assertion({}, { alg: 'HS256' }, Buffer.from(publicPem.padEnd(64))),
      await assertion({}, {}, stranger.privateKey),
      await assertion({}, { kid: 'other' }, stranger.privateKey),
      await assertion({}, { jku }, stranger.privateKey),
      await assertion({}, { x5u: jku }, stranger.privateKey),
      await assertion({}, { jwk: await exportJWK(stranger.publicKey) }, stranger.privateKey),
      `${encode({ alg: 'ES256', crit: ['x'], x: 1 })}.${(await assertion()).split('.').slice(1).join('.')}`,
      await assertion({ aud: 'https://elsewhere.example' }),
      await assertion({ exp: now() - 60 }),
      await assertion({ iat: now() + 600, nbf: now() + 600 }),
      `${encode({ alg: 'ES256' })}.${'x'.repeat(1_000_000)}.x`,
    ];
    for (const client_assertion of forged) {
      const answer = await authenticate(client_assertion);
      expect([400, 401]).toContain(answer.status);
      expect(answer.body.access_token).toBeUndefined();
    }
    trap.close();
    expect(fetched).toBe(0);
  });
  it('forged ID token hints are refused at /authorize and /logout', async () => {
    const { id_token } = await tokens();
    const [header, payload, signature] = String(id_token).split('.');
    const stranger = await generateKeyPair('RS256');
    const content = JSON.parse(Buffer.from(payload ?? '', 'base64url').toString());
    const forged = [
      `${encode({ alg: 'none' })}.${payload}.`,
      `${header}.${encode({ ...content, sub: crypto.randomUUID() })}.${signature}`,
      `${header}.${payload}.`,
      await new SignJWT(content).setProtectedHeader({ alg: 'RS256' }).sign(stranger.privateKey),
      await new SignJWT(content).setProtectedHeader({ alg: 'HS256' }).sign(Buffer.alloc(64, password)),
    ];
    for (const id_token_hint of forged) {
      const query = new URLSearchParams({ ...web, response_type: 'code', scope: 'openid', id_token_hint });
      query.set('code_challenge', pkce().challenge);
      query.set('code_challenge_method', 'S256');
      const answer = await createBrowser(world.base).get(`/authorize?${query}`);
      expect(new URL(answer.headers.get('location') ?? '').searchParams.get('error')).toBe('invalid_request');
      expect((await fetch(`${world.base}/logout?${new URLSearchParams({ id_token_hint })}`)).status).toBe(400);
    }
  });
  it('our APIs take no forged access token or ID token', async () => {
    const { access_token, id_token } = await tokens({ resource, scope: 'openid me:read' });
    const { readAccessToken, readIdToken } = world.oidc;
    expect(await readAccessToken(String(access_token))).toMatchObject({ sub, scopes: ['me:read'] });
    expect(await readIdToken(String(id_token))).toEqual({ sub, client_id: 'web' });
    for (const read of [readAccessToken, readIdToken]) {
      for (const genuine of [access_token, id_token].map(String)) {
        const [header, payload, signature] = genuine.split('.');
        const content = JSON.parse(Buffer.from(payload ?? '', 'base64url').toString());
        const stranger = await generateKeyPair('ES256');
        const protectedHeader = JSON.parse(Buffer.from(header ?? '', 'base64url').toString());
        const forged = [
          `${encode({ alg: 'none' })}.${payload}.`,
          `${header}.${payload}.`,
          `${header}.${payload}.${Buffer.alloc(64).toString('base64url')}`,
          `${header}.${encode({ ...content, sub: crypto.randomUUID() })}.${signature}`,
          await new SignJWT(content).setProtectedHeader({ ...protectedHeader, alg: 'ES256' }).sign(stranger.privateKey),
          await new SignJWT(content).setProtectedHeader({ ...protectedHeader, alg: 'HS256' }).sign(Buffer.alloc(64)),
          'x'.repeat(1_000_000),
          '..',
          '',
        ];
        for (const value of forged) expect(await read(value)).toBeUndefined();
      }
    }
    // Neither is the other, and neither is a token of another issuer's audience.
    expect(await readAccessToken(String(id_token))).toBeUndefined();
    expect(await readIdToken(String(access_token))).toBeUndefined();
  });
});

describe('what our APIs read of a token', () => {
  it('a first-party opaque token stands for the person, until it is revoked', async () => {
    const { access_token } = await tokens();
    const expected = {
      sub,
      client_id: 'web',
      scopes: ['openid', 'events:write', 'me:read', 'me:write'],
      channel: null,
    };
    expect(await world.oidc.readAccessToken(String(access_token))).toEqual(expected);
    expect(await other.oidc.readAccessToken(String(access_token))).toEqual(expected);
    await post(`${world.base}/revoke`, { token: String(access_token) }, basic('web'));
    expect(await world.oidc.readAccessToken(String(access_token))).toBeUndefined();
  });
  it('a JWT ends with its grant, not with its expiry', async () => {
    const { access_token, refresh_token } = await tokens({ resource, scope: 'openid offline_access me:read' });
    expect(await world.oidc.readAccessToken(String(access_token))).toMatchObject({ sub });
    await post(`${world.base}/revoke`, { token: String(refresh_token) }, basic('web'));
    expect(await world.oidc.readAccessToken(String(access_token))).toBeUndefined();
  });
});

describe('client credentials', () => {
  const machine = (fields: Record<string, string>) =>
    post(token, { grant_type: 'client_credentials', ...fields }, basic('backend'));
  it('give a JWT for the API with the scopes that were asked', async () => {
    const answer = await machine({ resource, scope: 'subjects:read' });
    expect(answer).toMatchObject({
      status: 200,
      body: { token_type: 'Bearer', expires_in: 600, scope: 'subjects:read' },
    });
    const expected = { client_id: 'backend', scopes: ['subjects:read'], channel: 'server' };
    expect(await world.oidc.readAccessToken(String(answer.body.access_token))).toEqual(expected);
  });
  it('give all that the client may have when it names nothing', async () => {
    const answer = await machine({});
    expect(String(answer.body.scope).split(' ').sort()).toEqual(['events:write', 'subjects:read', 'subjects:write']);
  });
  it('refuse what the client may not have, and other resources', async () => {
    for (const scope of ['settings:write', 'subjects:read subjects:pii', 'openid', 'me:read'])
      expect(await machine({ resource, scope })).toMatchObject({ status: 400, body: { error: 'invalid_scope' } });
    expect(await machine({ resource: 'https://elsewhere.example' })).toMatchObject({
      body: { error: 'invalid_target' },
    });
    const wrong = await post(token, { grant_type: 'client_credentials' }, basic('backend', 'wrong'));
    expect(wrong).toMatchObject({ status: 401, body: { error: 'invalid_client' } });
  });
  it('stop being taken when the client loses the scope or is disabled', async () => {
    const made = await world.register({
      client_id: 'temp',
      name: 'T',
      client_secret: password,
      scope: 'subjects:read',
    });
    const { body } = await post(token, { grant_type: 'client_credentials' }, basic(made.client_id));
    const later = await startWorld({ db });
    await db('clients').where({ client_id: 'temp' }).update({ api_scopes: [] });
    const fresh = await secondWorld(url, outside);
    expect((await world.oidc.readAccessToken(String(body.access_token)))?.scopes).toEqual(['subjects:read']);
    expect(later.issuer).not.toBe(world.issuer);
    expect(await fresh.world.oidc.readAccessToken(String(body.access_token))).toBeUndefined();
  });
});

describe('browsers of other sites (A41)', () => {
  const spaOrigin = { origin: 'https://spa.example' };
  const allowed = (answer: { headers: Headers }) => answer.headers.get('access-control-allow-origin');
  it.each(['/token', '/userinfo', '/revoke', '/otp'])(
    '%s answers a preflight of registered origins alone',
    async (path) => {
      const preflight = (origin: string) =>
        fetch(`${world.base}${path}`, {
          method: 'OPTIONS',
          headers: { origin, 'access-control-request-method': 'POST' },
        });
      expect(allowed(await preflight('https://spa.example'))).toBe('https://spa.example');
      for (const origin of [
        'https://evil.example',
        'null',
        'https://app.example',
        'http://spa.example',
        'https://spa.example.evil',
      ])
        expect(allowed(await preflight(origin))).toBeNull();
    },
  );
  it('the token endpoint lets the page of the client read its answers, errors too, and no other page', async () => {
    const wrong = {
      grant_type: 'authorization_code',
      code: 'x',
      redirect_uri: spaCallback,
      code_verifier: pkce().verifier,
    };
    const ask = (client_id: string, headers = {}) => post(token, { ...wrong, client_id }, headers);
    const own = await ask('spa', spaOrigin);
    expect(allowed(own)).toBe('https://spa.example');
    expect(own.headers.get('access-control-allow-credentials')).toBeNull();
    expect(allowed(await ask('spa2', spaOrigin))).toBeNull();
    expect(allowed(await ask('spa', { origin: 'https://evil.example' }))).toBeNull();
    expect(allowed(await ask('spa', { origin: 'null' }))).toBeNull();
    expect(allowed(await ask('nobody', { origin: 'https://evil.example' }))).toBeNull();
    expect(allowed(await ask('spa'))).toBeNull();
    const fields = { ...wrong, code: 'y' };
    expect(allowed(await post(token, fields, { ...basic('web'), origin: 'https://app.example' }))).toBeNull();
  });
  it('an answer 503 has no Access-Control-Allow-Origin without an Origin', async () => {
    await world.register({ client_id: 'mini', name: 'Mini', appid: 'wxtest' });
    outside.state.isDown = true;
    const fields = {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      client_id: 'mini',
      subject_token: 'x',
      subject_token_type: 'urn:heyi:token-type:wechat-login-code',
    };
    const answer = await post(token, fields);
    outside.state.isDown = false;
    expect([answer.status, allowed(answer)]).toEqual([503, null]);
  });
});

describe('a request that lies about where it was sent (A42)', () => {
  const raw = (path: string, headers: Record<string, string>) =>
    new Promise<{ status: number; location: string; text: string }>((resolve, reject) => {
      const sent = request({ host: '127.0.0.1', port: world.port, path, headers }, (answer) => {
        let text = '';
        answer.on('data', (chunk) => (text += chunk));
        answer.on('end', () =>
          resolve({ status: answer.statusCode ?? 0, location: answer.headers.location ?? '', text }),
        );
      });
      sent.on('error', reject);
      sent.end();
    });
  const lies = {
    host: 'evil.example',
    'x-forwarded-host': 'evil.example',
    'x-forwarded-proto': 'https',
    'x-forwarded-for': '198.51.100.9',
    forwarded: 'host=evil.example;proto=https',
  };
  it.each([
    ['by headers', ''],
    ['by its request line', 'http://evil.example'],
  ])('%s changes no address of ours', async (_, prefix) => {
    const { text } = await raw(`${prefix}/.well-known/openid-configuration`, lies);
    expect(text).not.toContain('evil');
    expect(JSON.parse(text).token_endpoint).toBe(`${world.issuer}/token`);
    const query = new URLSearchParams({
      ...web,
      response_type: 'code',
      scope: 'openid',
      code_challenge: pkce().challenge,
    });
    query.set('code_challenge_method', 'S256');
    const { location } = await raw(`${prefix}/authorize?${query}`, lies);
    expect(location).toMatch(/^\/login\//);
    const { text: logout } = await raw(`${prefix}/logout`, lies);
    expect(logout).not.toContain('evil');
  });
});

describe("what is not the engine's", () => {
  it('stays ours: 404 and 405 are answered by the server, case and slashes count', async () => {
    for (const path of ['/nothing', '/Token', '/token/', '/device', '/register', '/interaction/x']) {
      const answer = await reply(await fetch(`${world.base}${path}`));
      expect(answer).toMatchObject({ status: 404, body: { error: { code: 'not_found' } } });
    }
    for (const [method, path] of [
      ['GET', '/token'],
      ['PUT', '/userinfo'],
      ['DELETE', '/authorize'],
      ['POST', '/authorize'],
      ['GET', '/otp'],
    ]) {
      const answer = await reply(await fetch(`${world.base}${path}`, { method }));
      expect(answer).toMatchObject({ status: 405, body: { error: { code: 'method_not_allowed' } } });
      expect(answer.headers.get('allow')).not.toBeNull();
    }
  });
  it("has our headers on the engine's answers too", async () => {
    const answer = await fetch(`${world.base}/authorize`);
    expect(answer.status).toBe(400);
    for (const name of ['content-security-policy', 'x-frame-options', 'x-request-id', 'referrer-policy'])
      expect(answer.headers.get(name)).not.toBeNull();
  });
});

describe('the log (G1)', () => {
  it('names the error and the client, and holds no code, token, verifier or secret', async () => {
    const { fields, code } = await newCode(world, sub, { ...web, scope: 'openid offline_access' });
    const good = await post(token, fields, basic('web'));
    await post(token, fields, basic('web'));
    await post(token, { ...fields, code: 'made-up-code-value' }, basic('web', 'a-wrong-secret-value'));
    await post(token, { grant_type: 'refresh_token', refresh_token: 'made-up-refresh-value' }, basic('web'));
    const log = world.log();
    expect(log).toContain('"event":"grant.error"');
    expect(log).toContain('"client_id":"web"');
    const secrets = [
      code,
      fields.code_verifier,
      password,
      good.body.access_token,
      good.body.refresh_token,
      good.body.id_token,
    ];
    for (const secret of [...secrets, 'made-up-code-value', 'made-up-refresh-value', 'a-wrong-secret-value'])
      expect(log).not.toContain(String(secret));
  });
});
