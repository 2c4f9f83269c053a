import { generateKeyPair, SignJWT } from 'jose';
import { beforeAll, describe, expect, test } from 'vitest';
import { tokenExchange } from '../../src/oidc/clients.ts';
import { wechatLoginCode } from '../../src/oidc/token-exchange.ts';
import { testDatabase } from '../helpers/database.ts';
import { basic, password, post, seal, startWorld, type World } from '../oidc/world.ts';
import { type Send, serveApi } from './http.ts';

const { db } = await testDatabase();

let world: World;
let send: Send;
let resource: string;
beforeAll(async () => {
  world = await startWorld({ db });
  resource = `${world.issuer}/api`;
  const { readAccessToken } = world.oidc;
  ({ send } = await serveApi({ db, seal, authenticate: readAccessToken }));
  await world.register({
    client_id: 'backend',
    name: 'Backend',
    grant_types: ['client_credentials'],
    scope: 'subjects:read settings:write',
    client_secret: password,
  });
  await world.register({ client_id: 'miniprogram', name: 'Mini-program', appid: 'wxtest', methods: ['sms'] });
});

const machineToken = async (fields: Record<string, string> = {}) =>
  (await post(`${world.base}/token`, { grant_type: 'client_credentials', ...fields }, basic('backend'))).body;

const personTokens = async (fields: Record<string, string> = {}) =>
  (
    await post(`${world.base}/token`, {
      grant_type: tokenExchange,
      client_id: 'miniprogram',
      subject_token: world.outside.loginCode({ openid: 'oPerson' }),
      subject_token_type: wechatLoginCode,
      ...fields,
    })
  ).body;

const statusWith = async (token: unknown, path = '/subjects/018f0000-0000-7000-8000-000000000000') => {
  expect(token).toEqual(expect.any(String));
  return (await send('GET', `/api/v1${path}`, { token: token as string })).status;
};

describe('a token of client credentials', () => {
  test('opens what its scopes name, and nothing else', async () => {
    const both = (await machineToken({ resource, scope: 'subjects:read settings:write' })).access_token;
    expect(await statusWith(both)).toBe(404);
    expect(await statusWith(both, '/clients')).toBe(200);
    const narrow = (await machineToken({ resource, scope: 'settings:write' })).access_token;
    expect(await statusWith(narrow)).toBe(403);
    expect(await statusWith(narrow, '/clients')).toBe(200);
  });

  test('401 when a signature, an audience or a type is not ours (A23, A24)', async () => {
    const token = (await machineToken({ resource, scope: 'subjects:read' })).access_token as string;
    const [header = '', claims = '', signature = ''] = token.split('.');
    const read = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString());
    const { privateKey } = await generateKeyPair('ES256');
    const forged = (change: object) =>
      new SignJWT({ ...read(claims), ...change }).setProtectedHeader(read(header)).sign(privateKey);
    const none = Buffer.from(JSON.stringify({ ...read(header), alg: 'none' })).toString('base64url');
    expect(await statusWith(token)).toBe(404);
    expect(await statusWith(`${header}.${claims}.${signature.slice(0, -4)}AAAA`)).toBe(401);
    expect(await statusWith(await forged({}))).toBe(401);
    expect(await statusWith(await forged({ aud: 'https://elsewhere.example' }))).toBe(401);
    expect(await statusWith(`${none}.${claims}.`)).toBe(401);
    expect(await statusWith(`${header}.${claims}`)).toBe(401);
    expect(await statusWith('x.'.repeat(4_000))).toBe(401);
  });
});

describe("a person's token (D19)", () => {
  test.each([
    ['without an audience', {}],
    ['for its own APIs', { resource: 'ours', scope: 'me:read events:write' }],
    ['that asked for more', { resource: 'ours', scope: 'openid subjects:read settings:write me:read' }],
  ])('403 %s', async (_what, { resource: asked, ...fields }: Record<string, string>) => {
    const { access_token } = await personTokens({ ...fields, ...(asked && { resource }) });
    expect(await statusWith(access_token)).toBe(403);
  });

  test('401 for an ID token', async () => {
    const { id_token } = await personTokens({ scope: 'openid' });
    expect(await statusWith(id_token)).toBe(401);
  });
});
