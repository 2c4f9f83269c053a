/**
 * Both sides of a company with two processes of Heyi: browsers that keep cookies, and people with a mini-program in their hands. Every
 * browser and phone has an address of its own unless it says which.
 */
import { createHash, randomBytes } from 'node:crypto';
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
import { createVisitor, formTo, type Answer as PageAnswer, type Visitor } from '../login/visitor.ts';

export const shop = 'http://localhost:4';
export const shopCallback = `${shop}/callback`;
export const chrome =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36';
export const webView = `${chrome} MicroMessenger/8.0.53 MiniProgramEnv/Windows miniProgram/wxsandbox0000000001`;
const appid = 'wxsandbox0000000001';
const verifier = randomBytes(32).toString('base64url');

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

  async function exchange(ip: string, parameters: Record<string, string>, at = origin): Promise<Answer> {
    const answer = await fetch(`${at}/token`, {
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

  /** Where the website sends a person. */
  const authorize = (more: Record<string, string> = {}) =>
    `${origin}/authorize?${new URLSearchParams({
      client_id: 'shop',
      response_type: 'code',
      scope: 'openid',
      redirect_uri: shopCallback,
      state: 'state-1',
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
      ...more,
    })}`;
  const toSignIn = async (visitor: Visitor, more?: Record<string, string>) =>
    visitor.follow(await visitor.get(authorize(more)));

  /** What the website learns when the person comes back. */
  async function redeem(out: PageAnswer): Promise<{ sub: string; token: string }> {
    const answer = await fetch(`${origin}/token`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'authorization_code',
        client_id: 'shop',
        redirect_uri: shopCallback,
        code_verifier: verifier,
        code: new URL(out.location ?? '').searchParams.get('code') ?? '',
      }),
    });
    const body = (await answer.json()) as { id_token?: string; access_token: string; error_description?: string };
    if (!body.id_token) throw new Error(`${out.url} ${out.status}: ${body.error_description}`);
    return { sub: subOf(body.id_token), token: body.access_token };
  }

  let numbers = 0;
  const newNumber = () => {
    numbers += 1;
    return `+861391234${String(1000 + numbers)}`;
  };

  async function codeFor(number: string): Promise<string> {
    const inbox = await fetch(`${config.sandboxUrl}/inbox?to=${encodeURIComponent(number)}`, {
      headers: { accept: 'application/json' },
    });
    const { messages } = (await inbox.json()) as { messages: { code: string }[] };
    return messages[0]?.code ?? '';
  }

  /** Somebody new in another mini-program, by a code in a text message. */
  async function tokenByCode(client_id: string, number = newNumber()): Promise<string> {
    const ip = ownAddress();
    const asked = await fetch(`${origin}/otp`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-forwarded-for': ip },
      body: JSON.stringify({ client_id, channel: 'sms', to: number }),
    });
    const { otp_id } = (await asked.json()) as { otp_id: string };
    const { status, body } = await exchange(ip, {
      client_id,
      subject_token_type: 'urn:heyi:token-type:one-time-code',
      subject_token: `${otp_id}.${await codeFor(number)}`,
      consents: 'privacy@1',
    });
    if (status !== 200) throw new Error(JSON.stringify(body));
    return String(body.access_token);
  }

  /** On the website, by a code in a text message. */
  async function signInBySms(visitor: Visitor, number = newNumber()) {
    const page = await toSignIn(visitor);
    const asked = await visitor.follow(await visitor.submit(formTo(page, '/sms'), { phone: number, privacy: '1' }));
    const code = await codeFor(number);
    const out = await visitor.follow(await visitor.submit(formTo(asked, '/verify'), { code, privacy: '1' }));
    return { number, ...(await redeem(out)) };
  }

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
    newNumber,
    authorize,
    toSignIn,
    redeem,
    tokenByCode,
    signInBySms,
    me,
  };
}
