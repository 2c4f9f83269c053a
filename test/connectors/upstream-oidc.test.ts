/** Against an independent provider (oauth2-mock-server) over real HTTP, and what a hostile one would send. */
import { OAuth2Server } from 'oauth2-mock-server';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { createConnectors } from '../../src/connectors/registry.ts';
import { isSpecialAddress } from '../../src/connectors/upstream-oidc/outgoing.ts';
import { testDatabase } from '../helpers/database.ts';
import { closedPort, fakeServer } from './fakes.ts';
import { codeOf, testServices } from './services.ts';

const { db } = await testDatabase();
const provider = new OAuth2Server();
await provider.issuer.keys.generate('RS256');
await provider.start(0, 'localhost');
afterAll(() => provider.stop());
const issuer = provider.issuer.url ?? '';
const services = { ...testServices(db), privateOrigins: [issuer] };
const connectors = createConnectors(services);

const settings = { key: 'group', label: '集团账号', issuer, client_id: 'heyi', client_secret: 'upstream-secret-1' };
const configure = (changes: object = {}) =>
  connectors.configure({
    id: 'upstream-oidc:group',
    connector: 'upstream-oidc',
    settings: { ...settings, ...changes },
  });

type Claims = Record<string, unknown>;
let claims: Claims = {};
let userInfo: Claims = {};
provider.service.on('beforeTokenSigning', ({ payload }, { body }) => Object.assign(payload, claimsFor(body, payload)));
provider.service.on('beforeUserinfo', (response) => Object.assign(response, { body: { ...userInfo } }));

function claimsFor(_body: unknown, payload: Claims): Claims {
  // The ID token has an audience; the access token is not ours to read.
  return payload.aud === undefined ? {} : claims;
}

const asked = { state: 'abc123', origin: 'https://id.example.com', locale: 'zh-CN', thorough: false };

/** The browser goes there and comes back; `change` is what an attacker makes of the answer. */
async function signIn(change: (back: URL) => void = () => {}, keepChanges: object = {}) {
  const { url, redirect_uri, keep } = await connectors.authorize('upstream-oidc:group', asked);
  const answer = await fetch(url, { redirect: 'manual' });
  const back = new URL(answer.headers.get('location') ?? '');
  change(back);
  const query = Object.fromEntries(back.searchParams);
  return connectors.callback('upstream-oidc:group', { query, redirect_uri, keep: { ...keep, ...keepChanges } });
}
const kinds = async () => (await signIn())?.identities.map(({ kind }) => kind);

beforeEach(async () => {
  claims = { sub: 'li-ming' };
  userInfo = { sub: 'li-ming' };
  await configure();
});

describe('an identity provider', () => {
  it('proves the exact issuer and subject, by code, PKCE and nonce', async () => {
    const { url } = await connectors.authorize('upstream-oidc:group', asked);
    const { searchParams } = new URL(url);
    expect(searchParams.get('code_challenge_method')).toBe('S256');
    expect(searchParams.get('nonce')).toBeTruthy();
    expect(searchParams.get('redirect_uri')).toBe('https://id.example.com/upstream/group/callback');
    expect(await signIn()).toMatchObject({
      connector: 'upstream-oidc',
      identities: [{ kind: 'oidc', issuer, external_id: 'li-ming' }],
      amr: ['federated'],
    });
  });

  it('two sign-ins of one person prove the same, and each asks with its own verifier and nonce', async () => {
    const [a, b] = await Promise.all([1, 2].map(() => connectors.authorize('upstream-oidc:group', asked)));
    expect(a?.keep.nonce).not.toBe(b?.keep.nonce);
    expect(a?.keep.code_verifier).not.toBe(b?.keep.code_verifier);
    expect(await signIn()).toEqual(await signIn());
  });

  it('a long or hostile name is cut (C16)', async () => {
    claims = { sub: 'li-ming', name: `<script>${'x'.repeat(10_000)}` };
    expect([...((await signIn())?.profile?.nickname ?? '')]).toHaveLength(64);
  });
});

describe('D7: an e-mail address somebody else names', () => {
  const email = 'Victim@Example.com';

  it.each([
    ['false', { email, email_verified: false }],
    ['absent', { email }],
    ['the text "true"', { email, email_verified: 'true' }],
    ['the text "false"', { email, email_verified: 'false' }],
    ['1', { email, email_verified: 1 }],
    ['null', { email, email_verified: null }],
    ['true, of something that is no address', { email: ['victim@example.com'], email_verified: true }],
  ])('is ignored when email_verified is %s, even of a provider that is believed', async (_what, said) => {
    await configure({ trust_email: true });
    claims = { sub: 'li-ming', name: 'L', ...said };
    expect(await kinds()).toEqual(['oidc']);
  });

  it('is ignored of a provider that is not believed, however verified', async () => {
    claims = { sub: 'li-ming', name: 'L', email, email_verified: true };
    expect(await kinds()).toEqual(['oidc']);
  });

  it('counts when the provider is believed and says true', async () => {
    await configure({ trust_email: true });
    claims = { sub: 'li-ming', name: 'L', email, email_verified: true };
    expect((await signIn())?.identities).toContainEqual({
      kind: 'email',
      issuer: '',
      external_id: 'victim@example.com',
    });
  });

  it('counts from userinfo, but never with the word for another source’s address', async () => {
    await configure({ trust_email: true });
    userInfo = { sub: 'li-ming', email, email_verified: true };
    expect(await kinds()).toEqual(['oidc', 'email']);
    claims = { sub: 'li-ming', email: 'other@example.com' };
    userInfo = { sub: 'li-ming', email_verified: true };
    expect(await kinds()).toEqual(['oidc']);
  });

  it('userinfo about somebody else is dropped', async () => {
    await configure({ trust_email: true });
    userInfo = { sub: 'somebody-else', email, email_verified: true, name: 'Mallory' };
    const proof = await signIn();
    expect(proof?.identities).toEqual([{ kind: 'oidc', issuer, external_id: 'li-ming' }]);
    expect(proof?.profile).toBeUndefined();
  });
});

describe('an answer that proves nothing', () => {
  it.each<[string, Claims]>([
    ['for another client', { aud: 'another-client' }],
    ['of another issuer', { iss: 'https://accounts.example.com' }],
    ['with another nonce', { nonce: 'replayed' }],
    ['that has expired', { exp: Math.floor(Date.now() / 1000) - 3600 }],
    ['without a subject', { sub: undefined }],
    ['with an endless subject', { sub: 'x'.repeat(256) }],
  ])('an ID token %s is refused', async (_what, changed) => {
    claims = { sub: 'li-ming', ...changed };
    expect(await codeOf(signIn())).toBe('provider_answer_invalid');
  });

  it('A24: an ID token without a signature, or signed by somebody else', async () => {
    for (const forge of [
      ([, payload]: string[]) => `${btoa('{"alg":"none"}').replaceAll('=', '')}.${payload}.`,
      ([header, payload]: string[]) => `${header}.${payload}.${'A'.repeat(342)}`,
    ]) {
      provider.service.once('beforeResponse', (response) => {
        const body = response.body as Claims;
        Object.assign(body, { id_token: forge(String(body.id_token).split('.')) });
      });
      expect(await codeOf(signIn())).toBe('provider_answer_invalid');
    }
  });

  it('A11: a code that was asked for with another verifier', async () => {
    expect(await codeOf(signIn(() => {}, { code_verifier: 'x'.repeat(43) }))).toBe('provider_answer_invalid');
  });

  it('A16: an answer, and a refusal, in the name of another issuer (mix-up)', async () => {
    const from = (back: URL) => back.searchParams.set('iss', 'https://evil.example.com');
    expect(await codeOf(signIn(from))).toBe('provider_answer_invalid');
    const refusal = (back: URL) => {
      from(back);
      back.searchParams.delete('code');
      back.searchParams.set('error', 'access_denied');
    };
    expect(await codeOf(signIn(refusal))).toBe('provider_answer_invalid');
  });

  it('C12: a refusal is no error', async () => {
    const refusal = (back: URL) => {
      back.searchParams.delete('code');
      back.searchParams.set('error', 'access_denied');
    };
    expect(await signIn(refusal)).toBeUndefined();
  });

  it('C1: a code that was used is refused once more by the provider, and said so', async () => {
    provider.service.once('beforeResponse', (response) =>
      Object.assign(response, { statusCode: 400, body: { error: 'invalid_grant' } }),
    );
    expect(await codeOf(signIn())).toBe('provider_answer_invalid');
  });

  it('our own wrong secret is the operator’s to put right', async () => {
    provider.service.once('beforeResponse', (response) =>
      Object.assign(response, { statusCode: 401, body: { error: 'invalid_client' } }),
    );
    expect(await codeOf(signIn())).toBe('connector_not_configured');
    expect(services.logged()).toMatch(/"level":"error".*refuses us/);
  });
});

describe('what a provider’s address may lead to', () => {
  const another = (changes: object) =>
    configure({ key: 'group', ...changes }).then(() => connectors.authorize('upstream-oidc:group', asked));

  it('never this machine or a private network, unless the server’s operator lists the origin', async () => {
    const hidden = await fakeServer(() => ({ body: { issuer: 'x' } }));
    expect(await codeOf(another({ issuer: hidden.base }))).toBe('upstream_unavailable');
    expect(hidden.seen).toHaveLength(0);
    // A name instead of an address gains nothing.
    const named = hidden.base.replace('127.0.0.1', 'localhost');
    expect(await codeOf(another({ issuer: named }))).toBe('upstream_unavailable');
    expect(hidden.seen).toHaveLength(0);
  });

  it('never where a discovery document points: a token endpoint inside is not asked', async () => {
    const hidden = await fakeServer(() => ({ body: {} }));
    const hostile = new OAuth2Server();
    await hostile.issuer.keys.generate('RS256');
    await hostile.start(0, 'localhost');
    afterAll(() => hostile.stop());
    hostile.service.once('beforeWellKnownOpenIdConfiguration', (response) =>
      Object.assign(response.body, { token_endpoint: `${hidden.base}/token` }),
    );
    await configure({ issuer: hostile.issuer.url });
    const open = createConnectors({ ...services, privateOrigins: [hostile.issuer.url ?? ''] });
    const { url, redirect_uri, keep } = await open.authorize('upstream-oidc:group', asked);
    const answer = await fetch(url, { redirect: 'manual' });
    const query = Object.fromEntries(new URL(answer.headers.get('location') ?? '').searchParams);
    expect(await codeOf(open.callback('upstream-oidc:group', { query, redirect_uri, keep }))).toBe(
      'upstream_unavailable',
    );
    expect(hidden.seen).toHaveLength(0);
  });

  it('knows special addresses by number, however they are written', () => {
    for (const address of ['127.0.0.1', '10.1.2.3', '169.254.169.254', '192.168.0.1', '100.64.0.1', '0.0.0.0'])
      expect(isSpecialAddress(address), address).toBe(true);
    for (const address of ['::1', '::', '::ffff:10.0.0.1', '::ffff:a9fe:a9fe', 'fd00::1', 'fe80::1', ''])
      expect(isSpecialAddress(address), address).toBe(true);
    for (const address of ['8.8.8.8', '172.32.0.1', '2400:3200::1', '::ffff:8.8.8.8'])
      expect(isSpecialAddress(address), address).toBe(false);
  });

  it('a redirect of the provider is not followed', async () => {
    const target = await fakeServer(() => ({ body: {} }));
    const { createServer } = await import('node:http');
    const redirecting = createServer((_req, res) => res.writeHead(302, { location: target.base }).end());
    await new Promise<void>((resolve) => redirecting.listen(0, '127.0.0.1', resolve));
    afterAll(() => void redirecting.close());
    const { port } = redirecting.address() as { port: number };
    const origin = `http://127.0.0.1:${port}`;
    const open = createConnectors({ ...services, privateOrigins: [origin, target.base] });
    await configure({ issuer: origin });
    expect(await codeOf(open.authorize('upstream-oidc:group', asked))).toBe('connector_not_configured');
    expect(target.seen).toHaveLength(0);
  });

  it('an issuer that differs by a slash is another one', async () => {
    expect(await codeOf(another({ issuer: `${issuer}/` }))).toBe('connector_not_configured');
  });

  it('C14: a provider that is away, silent, endless or no JSON costs five seconds at most, and a sentence', async () => {
    const away = `http://127.0.0.1:${await closedPort()}`;
    const broken = await fakeServer(() => ({ type: 'text/html', body: '<html>' }));
    const endless = await fakeServer(() => ({ type: 'application/json', body: `{"a":"${'x'.repeat(600_000)}"}` }));
    const silent = await fakeServer(() => 'hang');
    const open = createConnectors({
      ...services,
      privateOrigins: [away, broken.base, endless.base, silent.base],
    });
    for (const [base, code] of [
      [away, 'upstream_unavailable'],
      [broken.base, 'connector_not_configured'],
      [endless.base, 'upstream_unavailable'],
      [silent.base, 'upstream_unavailable'],
    ] as const) {
      await configure({ issuer: base });
      const began = performance.now();
      expect(await codeOf(open.authorize('upstream-oidc:group', asked)), base).toBe(code);
      expect(performance.now() - began).toBeLessThan(6_500);
    }
  });
});

it('G1: no secret, code or token is in the log', () => {
  expect(services.logged().length).toBeGreaterThan(0);
  for (const secret of ['upstream-secret-1', 'eyJ', 'code_verifier', 'victim@example.com', 'Victim@Example.com'])
    expect(services.logged()).not.toContain(secret);
});
