/** openid-client 6, unmodified, as a website would use it. Only the browser and the login page are the test's. */
import * as client from 'openid-client';
import { describe, expect, it } from 'vitest';
import { testDatabase } from '../helpers/database.ts';
import { createBrowser, newPerson, password, startWorld } from '../oidc/world.ts';

const { db } = await testDatabase();
const world = await startWorld({ db });
const callback = 'https://app.example/callback';
const goodbye = 'https://app.example/bye';

await world.register({
  client_id: 'web',
  name: 'Website',
  redirect_uris: [callback],
  post_logout_redirect_uris: [goodbye],
  client_secret: password,
});
await world.register({
  client_id: 'spa',
  name: 'SPA',
  redirect_uris: [callback],
  token_endpoint_auth_method: 'none',
});
await world.register({ client_id: 'backend', name: 'Backend', client_secret: password, scope: 'subjects:read' });

const { sub, phone } = await newPerson(db);
const insecure = { execute: [client.allowInsecureRequests] };

function discover(client_id: string): Promise<client.Configuration> {
  const auth = client_id === 'spa' ? client.None() : client.ClientSecretBasic(password);
  return client.discovery(new URL(world.issuer), client_id, undefined, auth, insecure);
}

/** What the browser does between leaving the website and coming back to it. */
async function visit(start: URL, browser = createBrowser(world.base)): Promise<URL> {
  let next = start;
  while (!next.href.startsWith(callback)) {
    const path = next.pathname.startsWith('/login/') ? `${next.pathname}?as=${sub}` : next.pathname + next.search;
    const answer = await browser.get(path);
    next = new URL(answer.headers.get('location') ?? `about:${answer.status}`, world.issuer);
  }
  return next;
}

type SignIn = {
  scope?: string;
  browser?: ReturnType<typeof createBrowser>;
  tamper?(back: URL): void;
  pushed?: boolean;
};

async function signIn(config: client.Configuration, { scope = 'openid', browser, tamper, pushed }: SignIn = {}) {
  const checks = {
    pkceCodeVerifier: client.randomPKCECodeVerifier(),
    expectedState: client.randomState(),
    expectedNonce: client.randomNonce(),
  };
  const parameters = {
    redirect_uri: callback,
    scope,
    state: checks.expectedState,
    nonce: checks.expectedNonce,
    code_challenge: await client.calculatePKCECodeChallenge(checks.pkceCodeVerifier),
    code_challenge_method: 'S256',
  };
  const start = pushed
    ? await client.buildAuthorizationUrlWithPAR(config, parameters)
    : client.buildAuthorizationUrl(config, parameters);
  const back = await visit(start, browser);
  tamper?.(back);
  return client.authorizationCodeGrant(config, back, checks);
}

describe.each(['web', 'spa'])('openid-client as %s', (client_id) => {
  it('discovers us, signs in, reads userinfo, refreshes, and revokes', async () => {
    const config = await discover(client_id);
    const tokens = await signIn(config, { scope: 'openid phone offline_access' });
    expect(tokens.claims()).toMatchObject({ iss: world.issuer, aud: client_id, sub });
    const userinfo = await client.fetchUserInfo(config, tokens.access_token, sub);
    expect(userinfo).toEqual({ sub, phone_number: phone, phone_number_verified: true });
    const renewed = await client.refreshTokenGrant(config, String(tokens.refresh_token));
    expect(renewed.refresh_token).not.toBe(tokens.refresh_token);
    expect(renewed.claims()?.sub).toBe(sub);
    expect((await client.fetchUserInfo(config, renewed.access_token, sub)).sub).toBe(sub);
    await client.tokenRevocation(config, String(renewed.refresh_token));
    await expect(client.refreshTokenGrant(config, String(renewed.refresh_token))).rejects.toMatchObject({
      error: 'invalid_grant',
    });
  });
  it('signs in with a pushed authorization request', async () => {
    const tokens = await signIn(await discover(client_id), { pushed: true, scope: 'openid offline_access' });
    expect(tokens.claims()?.sub).toBe(sub);
    expect(tokens.refresh_token).toBeDefined();
  });
  it.each([
    ['another issuer (A16)', (back: URL) => back.searchParams.set('iss', 'https://evil.example')],
    ['no issuer (A16)', (back: URL) => back.searchParams.delete('iss')],
    ['another state (A17)', (back: URL) => back.searchParams.set('state', 'other')],
    ['no state (A17)', (back: URL) => back.searchParams.delete('state')],
  ])('refuses an answer with %s', async (_, tamper) => {
    await expect(signIn(await discover(client_id), { tamper })).rejects.toThrow();
  });
  it('refuses the code of another sign-in (A11)', async () => {
    const config = await discover(client_id);
    const stolen = await visit(
      client.buildAuthorizationUrl(config, {
        redirect_uri: callback,
        scope: 'openid',
        code_challenge: await client.calculatePKCECodeChallenge(client.randomPKCECodeVerifier()),
        code_challenge_method: 'S256',
      }),
    );
    const inject = (back: URL) => back.searchParams.set('code', stolen.searchParams.get('code') ?? '');
    await expect(signIn(config, { tamper: inject })).rejects.toMatchObject({ error: 'invalid_grant' });
  });
});

describe('openid-client signs out', () => {
  it('and comes back to the website; the next visit asks to sign in', async () => {
    const config = await discover('web');
    const browser = createBrowser(world.base);
    const tokens = await signIn(config, { browser });
    const url = client.buildEndSessionUrl(config, {
      post_logout_redirect_uri: goodbye,
      id_token_hint: String(tokens.id_token),
      state: 'bye',
    });
    const page = await (await browser.get(url.pathname + url.search)).text();
    const xsrf = /name="xsrf" value="([^"]+)"/.exec(page)?.[1] ?? '';
    const body = new URLSearchParams({ xsrf, logout: 'yes' });
    const done = await browser.get('/logout/confirm', { method: 'POST', body });
    expect(done.headers.get('location')).toBe(`${goodbye}?state=bye`);
    await expect(client.fetchUserInfo(config, tokens.access_token, sub)).rejects.toMatchObject({ status: 401 });
    const again = client.buildAuthorizationUrl(config, {
      redirect_uri: callback,
      scope: 'openid',
      prompt: 'none',
      code_challenge: await client.calculatePKCECodeChallenge(client.randomPKCECodeVerifier()),
      code_challenge_method: 'S256',
    });
    expect((await visit(again, browser)).searchParams.get('error')).toBe('login_required');
  });
});

describe('openid-client as a machine', () => {
  it('gets a token for the API', async () => {
    const config = await discover('backend');
    const tokens = await client.clientCredentialsGrant(config, {
      scope: 'subjects:read',
      resource: `${world.issuer}/api`,
    });
    expect(await world.oidc.readAccessToken(tokens.access_token)).toMatchObject({
      client_id: 'backend',
      scopes: ['subjects:read'],
    });
  });
});
