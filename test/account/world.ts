/**
 * Both sides of a company with two processes of Heyi: browsers that keep cookies, and people with a mini-program in their hands. Every
 * browser and phone has an address of its own unless it says which.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { createApp } from '../../src/app.ts';
import { type Config, loadConfig } from '../../src/config.ts';
import { createClient } from '../../src/oidc/clients.ts';
import { createSeal } from '../../src/seal.ts';
import { testDatabase } from '../helpers/database.ts';
import { freePorts } from '../helpers/ports.ts';
import { createVisitor, type Visitor } from '../login/visitor.ts';

export const shop = 'http://localhost:4';
export const shopCallback = `${shop}/callback`;
export const chrome =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36';
const appid = 'wxsandbox0000000001';

export type Sides = Awaited<ReturnType<typeof openSides>>;
export type Phone = Awaited<ReturnType<Sides['phone']>>;
export type Answer = { status: number; body: Record<string, unknown> };

export async function openSides() {
  const { db, url } = await testDatabase();
  const dataDir = mkdtempSync(join(tmpdir(), 'heyi-sides-'));
  const [port, otherPort, ...ports] = (await freePorts(6)).map(String);
  const origin = `http://localhost:${port}`;
  const start = async (ownPort: string, sandboxPort: string, demoPort: string): Promise<Config> => {
    const config = loadConfig({
      PORT: ownPort,
      PUBLIC_URL: origin,
      SANDBOX_PORT: sandboxPort,
      DEMO_PORT: demoPort,
      DATA_DIR: dataDir,
      DATABASE_URL: url,
      LOG_LEVEL: 'silent',
      TRUST_PROXY: '1',
    });
    const app = await createApp(config);
    afterAll(() => app.stop());
    await app.start();
    return config;
  };
  afterAll(() => rmSync(dataDir, { recursive: true, force: true }));
  await start(String(otherPort), String(ports[0]), String(ports[1]));
  // The second one seeds the connectors: its sandbox is WeChat.
  const config = await start(String(port), String(ports[2]), String(ports[3]));
  const seal = createSeal(config.secret);
  const website = { token_endpoint_auth_method: 'none' as const, channel: 'website' };
  await createClient(
    { db, seal },
    {
      ...website,
      client_id: 'shop',
      name: '山屿官网',
      redirect_uris: [shopCallback],
      methods: ['sms', 'miniprogram-scan'],
    },
  );
  await createClient(
    { db, seal },
    { ...website, client_id: 'plain', name: '没有小程序', redirect_uris: ['http://localhost:5/callback'] },
  );
  await createClient(
    { db, seal },
    {
      client_id: 'stranger',
      name: '别的小程序',
      appid: 'wxother00000000001',
      token_endpoint_auth_method: 'none',
      methods: ['sms'],
    },
  );

  let made = 0;
  const ownAddress = () => {
    made += 1;
    return `10.${made >> 8}.${made & 255}.7`;
  };
  const browser = ({ ip = ownAddress(), agent = chrome } = {}): Visitor =>
    createVisitor({ headers: { 'x-forwarded-for': ip, 'user-agent': agent } });

  const sandbox = async (path: string, body: object): Promise<Record<string, string>> => {
    const answer = await fetch(`${config.sandboxUrl}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify(body),
    });
    return (await answer.json()) as Record<string, string>;
  };

  const control = (method: string, path: string, body?: object) =>
    fetch(`${config.sandboxUrl}${path}`, {
      method,
      headers: { 'content-type': 'application/json' },
      ...(body && { body: JSON.stringify(body) }),
    });

  async function exchange(ip: string, parameters: Record<string, string>): Promise<Answer> {
    const answer = await fetch(`${origin}/token`, {
      method: 'POST',
      headers: { 'x-forwarded-for': ip },
      body: new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        client_id: 'demo-miniprogram',
        subject_token_type: 'urn:heyi:token-type:wechat-login-code',
        scope: 'openid offline_access',
        ...parameters,
      }),
    });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  }

  const subOf = (idToken: unknown) =>
    String(JSON.parse(Buffer.from(String(idToken).split('.')[1] ?? '', 'base64url').toString()).sub);

  /** Somebody's phone with the mini-program; `launch` signs them in by WeChat. */
  async function phone({ ip = ownAddress(), number = '' } = {}) {
    const { person_id } = await sandbox('/people', { nickname: `person ${made}`, ...(number && { phone: number }) });
    const launch = async (parameters: Record<string, string> = {}) => {
      const { code } = await sandbox(`/people/${person_id}/login-code`, { appid });
      const { status, body } = await exchange(ip, {
        subject_token: String(code),
        consents: 'privacy@1',
        ...parameters,
      });
      if (status !== 200) throw new Error(JSON.stringify(body));
      return { sub: subOf(body.id_token), token: String(body.access_token), answer: body };
    };
    return { ip, person_id, launch };
  }

  /** A call of the person's own API, by default through this process. */
  async function me(
    token: string,
    path: string,
    { body, ip = '10.255.0.1', at = origin }: { body?: object; ip?: string; at?: string } = {},
  ): Promise<Answer> {
    const answer = await fetch(`${at}/me${path}`, {
      method: body ? 'POST' : 'GET',
      headers: {
        'x-forwarded-for': ip,
        ...(token && { authorization: `Bearer ${token}` }),
        ...(body && { 'content-type': 'application/json' }),
      },
      ...(body && { body: JSON.stringify(body) }),
    });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  }

  return {
    db,
    seal,
    origin,
    other: `http://localhost:${otherPort}`,
    config,
    browser,
    sandbox,
    control,
    exchange,
    subOf,
    phone,
    me,
  };
}
