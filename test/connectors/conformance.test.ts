/**
 * What every connector must do, whatever it speaks to. A new one is registered, gets a bench below (settings that are good, an
 * upstream that can be made to refuse), and is held to the same rules.
 */
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Eta } from 'eta';
import { OAuth2Server } from 'oauth2-mock-server';
import { SMTPServer } from 'smtp-server';
import { afterAll, describe, expect, it } from 'vitest';
import { projectRoot } from '../../src/config.ts';
import type { Proof } from '../../src/connectors/contract.ts';
import { listInstances } from '../../src/connectors/operators.ts';
import { connectors, createConnectors } from '../../src/connectors/registry.ts';
import { declaredSettings, settingsSchema } from '../../src/connectors/settings.ts';
import type { ErrorCode } from '../../src/errors.ts';
import { testDatabase } from '../helpers/database.ts';
import { aliyunBehaviour, aliyunKey, closedPort, fakeServer, fakeWechat } from './fakes.ts';
import { asking, codeOf, newPerson, testServices, windowsEnd } from './services.ts';
import { fakeWechatPages } from './wechat-pages.ts';

type Bench = {
  id: string;
  settings: Record<string, unknown>;
  /** Settings that reach nobody. */
  gone: Record<string, unknown>;
  /** One person signs in; the second time spelt differently where there is a spelling. */
  prove(time: number): Promise<Proof>;
  /** Makes the upstream refuse this one person, or work again. */
  refuse(refusing: boolean): void;
  /** Everything that must never be in a log. Read at the end. */
  secrets: string[];
};

/** What a person may be told by a connector: the codes of the contract. */
const allowed: ErrorCode[] = [
  'phone_invalid',
  'phone_region_refused',
  'email_invalid',
  'captcha_required',
  'code_too_soon',
  'too_many_requests',
  'sending_paused',
  'send_refused',
  'wechat_code_invalid',
  'wechat_refused',
  'wechat_snapshot',
  'provider_answer_invalid',
  'connector_not_configured',
  'wechat_misconfigured',
  'upstream_unavailable',
];

const { db } = await testDatabase();
const services = testServices(db);
const provider = await openidProvider();
services.privateOrigins.push(provider.issuer.url ?? '');
const configured = createConnectors(services);
const benches: Record<string, Bench> = {
  sms: await smsBench(),
  email: await emailBench(),
  'wechat-miniprogram': await miniprogramBench(),
  'wechat-web': await pageBench('wechat-web', 'wxtest00000000007'),
  'wechat-official': await pageBench('wechat-official', 'wxtest00000000008'),
  'upstream-oidc': await providerBench(),
};

async function smsBench(): Promise<Bench> {
  const { phone } = newPerson();
  const sent: { phone: string; code: string }[] = [];
  const normal = aliyunBehaviour(sent);
  const aliyun = await fakeServer(normal);
  const secrets = [aliyunKey.access_key_secret, phone, phone.slice(3)];
  const settings = {
    provider: 'aliyun',
    ...aliyunKey,
    sign_name: '合一',
    template_code: 'SMS_1',
    base_url: aliyun.base,
  };
  return {
    id: 'sms',
    settings,
    gone: { ...settings, base_url: `http://127.0.0.1:${await closedPort()}` },
    secrets,
    async prove(time) {
      const started = await configured.start('sms', asking(time === 1 ? phone : `0086 ${phone.slice(3)}`));
      const code = sent.at(-1)?.code ?? '';
      secrets.push(code);
      return configured.verify('sms', { otp_id: started.otp_id, code, purpose: 'login', binding: 'browser-1' });
    },
    refuse(refusing) {
      const fault = { Code: 'isv.MOBILE_NUMBER_ILLEGAL', Message: `${phone} is illegal`, RequestId: 'R' };
      aliyun.behave(refusing ? aliyunBehaviour([], () => fault) : normal);
    },
  };
}

async function emailBench(): Promise<Bench> {
  const { email } = newPerson();
  let refusing = false;
  let raw = '';
  const relay = new SMTPServer({
    logger: false,
    onAuth: (_auth, _session, done) => done(null, { user: 'heyi' }),
    onRcptTo: ({ address }, _session, done) =>
      done(refusing ? Object.assign(new Error(`${address} unknown`), { responseCode: 550 }) : null),
    onData(stream, _session, done) {
      raw = '';
      stream.on('data', (chunk: Buffer) => {
        raw += chunk.toString('utf8');
      });
      stream.on('end', () => done());
    },
  });
  relay.listen(0, '127.0.0.1');
  await once(relay.server, 'listening');
  afterAll(() => new Promise<void>((resolve) => relay.close(() => resolve())));
  const secrets = ['p4ss-w0rd-of-the-relay', email];
  const { port } = relay.server.address() as AddressInfo;
  const settings = { host: '127.0.0.1', port, user: 'heyi', password: secrets[0], from: 'no-reply@heyi.example' };
  return {
    id: 'email',
    settings,
    gone: { ...settings, port: await closedPort() },
    secrets,
    async prove(time) {
      const input = asking(time === 1 ? email : ` ${email.toUpperCase()}`);
      const started = await configured.start('email', { ...input, locale: 'en' });
      const code = /^ +(\d{6})\r?$/m.exec(raw)?.[1] ?? '';
      secrets.push(code);
      return configured.verify('email', { otp_id: started.otp_id, code, purpose: 'login', binding: 'browser-1' });
    },
    refuse: (value) => {
      refusing = value;
    },
  };
}

async function miniprogramBench(): Promise<Bench> {
  const wechat = await fakeWechat();
  const secrets = [
    wechat.secret,
    wechat.token,
    'tiihtNczf5v6AKRyjwEUhQ',
    'login-code-1',
    'login-code-2',
    'phone-code-1',
  ];
  const settings = { appid: wechat.appid, secret: wechat.secret, open_platform: 'company', base_url: wechat.base };
  return {
    id: `wechat-miniprogram:${wechat.appid}`,
    settings,
    gone: { ...settings, base_url: `http://127.0.0.1:${await closedPort()}` },
    secrets,
    prove(time) {
      const login_code = `login-code-${time}`;
      wechat.loginCodes.set(login_code, { openid: 'oLi1', unionid: 'uLi1' });
      return configured.exchange(wechat.appid, { login_code });
    },
    refuse: (refusing) =>
      wechat.behave(
        refusing
          ? ({ url }) => ({ body: { errcode: 40226, errmsg: `code blocked ${url.search}, rid: 1-2-3` } })
          : wechat.normal,
      ),
  };
}

/** A door of WeChat's: there and back as a browser would go. */
async function pageBench(name: string, appid: string): Promise<Bench> {
  const wechat = await fakeWechatPages(appid);
  const id = `${name}:${appid}`;
  const settings = {
    appid,
    secret: wechat.secret,
    open_platform: 'company',
    base_url: wechat.base,
    page_url: wechat.base,
  };
  return {
    id,
    settings,
    gone: { ...settings, base_url: `http://127.0.0.1:${await closedPort()}` },
    secrets: [wechat.secret, 'page-code-1', 'page-code-2', 'user-token-of'],
    async prove(time) {
      const input = { state: `abc${time}`, origin: 'http://localhost', locale: 'zh-CN', thorough: true };
      const { url, redirect_uri, keep } = await configured.authorize(id, input);
      const back = wechat.agree(url, { openid: 'oLi1', unionid: 'uLi1' }, { code: `page-code-${time}` });
      const query = Object.fromEntries(new URL(back).searchParams);
      return (await configured.callback(id, { query, redirect_uri, keep })) as Proof;
    },
    refuse: (refusing) =>
      wechat.behave(
        refusing
          ? ({ url }) => ({ body: { errcode: 50002, errmsg: `user limited ${url.search}, rid: 1-2-3` } })
          : wechat.normal,
      ),
  };
}

async function openidProvider(): Promise<OAuth2Server> {
  const server = new OAuth2Server();
  await server.issuer.keys.generate('RS256');
  await server.start(0, 'localhost');
  afterAll(() => server.stop());
  return server;
}

async function providerBench(): Promise<Bench> {
  let refusing = false;
  provider.service.on('beforeResponse', (response) => {
    if (refusing) Object.assign(response, { statusCode: 400, body: { error: 'invalid_grant' } });
  });
  const id = 'upstream-oidc:group';
  const secrets = ['upstream-secret-1', 'eyJ'];
  const issuer = provider.issuer.url ?? '';
  const settings = { key: 'group', label: '集团账号', issuer, client_id: 'heyi', client_secret: secrets[0] };
  return {
    id,
    settings,
    gone: { ...settings, issuer: `http://127.0.0.1:${await closedPort()}` },
    secrets,
    async prove(time) {
      const input = { state: `abc${time}`, origin: 'http://localhost', locale: 'zh-CN', thorough: false };
      const { url, redirect_uri, keep } = await configured.authorize(id, input);
      const answer = await fetch(url, { redirect: 'manual' });
      const query = Object.fromEntries(new URL(answer.headers.get('location') ?? '').searchParams);
      return (await configured.callback(id, { query, redirect_uri, keep })) as Proof;
    },
    refuse: (value) => {
      refusing = value;
    },
  };
}

const folderOf = (name: string) => join(projectRoot, 'src/connectors', name);

describe.each(connectors.map((connector) => [connector.name, connector] as const))('%s', (name, connector) => {
  const bench = benches[name] as Bench;
  const set = (settings: unknown) => configured.configure({ id: bench.id, connector: name, settings });

  it('has a bench here, and a folder of its name that says where its credentials come from', () => {
    expect(bench).toBeDefined();
    expect(readFileSync(join(folderOf(name), 'README.md'), 'utf8').length).toBeGreaterThan(500);
  });

  it('takes good settings and refuses nonsense, naming the field and never its value', async () => {
    await set(bench.settings);
    for (const nonsense of [null, [], 'settings', {}]) expect(await codeOf(set(nonsense))).toBe('invalid_fields');
    for (const [field, value] of Object.entries(bench.settings)) {
      const refused = await set({ ...bench.settings, [field]: { not: value } }).catch((error: unknown) => error);
      expect(refused, field).toMatchObject({ code: 'invalid_fields' });
      expect(JSON.stringify(refused), field).toContain(`settings.${field}`);
      if (typeof value === 'string') expect(JSON.stringify(refused), field).not.toContain(`"${value}"`);
    }
  });

  it('declares every secret among its settings, and shows none of them again', async () => {
    for (const [setting, schema] of propertiesOf(settingsSchema(connector))) {
      if (/secret|password|passphrase|private_?key|token|api_?key/i.test(setting)) {
        expect(schema, setting).toMatchObject({ writeOnly: true });
      }
    }
    await set(bench.settings);
    const shown = (await listInstances({ db, seal: services.seal })).find(({ id }) => id === bench.id);
    const secret = declaredSettings(connector).flatMap(({ name, is_secret }) => (is_secret ? [name] : []));
    expect(Object.keys(shown?.settings ?? {})).toEqual(
      expect.arrayContaining(Object.keys(bench.settings).filter((field) => !secret.includes(field))),
    );
    for (const field of secret) expect(shown?.settings, field).not.toHaveProperty([field]);
    for (const value of bench.secrets) expect(JSON.stringify(shown), value).not.toContain(value);
  });

  it('sends secrets over plain http to no other machine', async () => {
    if (!('base_url' in bench.settings)) return;
    for (const base_url of ['http://api.example.com', 'ftp://localhost', 'https://user@api.example.com', 'nowhere']) {
      expect(await codeOf(set({ ...bench.settings, base_url }))).toBe('invalid_fields');
    }
  });

  it('proves the same identity for the same person each time', async () => {
    await set(bench.settings);
    const first = await bench.prove(1);
    await windowsEnd(db);
    const second = await bench.prove(2);
    expect(second).toEqual(first);
    expect(first.connector).toBe(name);
    expect(first.identities.length).toBeGreaterThan(0);
    for (const { external_id } of first.identities) expect(external_id).toBe(external_id.normalize('NFKC').trim());
  });

  it('turns a refusal of the upstream into an error for people', async () => {
    await windowsEnd(db);
    bench.refuse(true);
    expect(allowed).toContain(await codeOf(bench.prove(2)));
    bench.refuse(false);
  });

  it('turns an upstream that is away into an error that says when to try again', async () => {
    await windowsEnd(db);
    await set(bench.gone);
    const refused = await bench.prove(2).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'upstream_unavailable', retryAfterSeconds: expect.any(Number) });
    await set(bench.settings);
  });

  it('writes no secret and nothing personal into the log, at any level', () => {
    expect(services.logged().length).toBeGreaterThan(0);
    expect(bench.secrets).not.toContain('');
    for (const secret of bench.secrets) expect(services.logged(), secret).not.toContain(secret);
  });

  it.runIf(connector.kind !== 'exchange')('speaks Chinese and English, with the same keys and the same blanks', () => {
    const locales = JSON.parse(readFileSync(join(folderOf(name), 'locales.json'), 'utf8'));
    expect(Object.keys(locales).sort()).toEqual(['en', 'zh-CN']);
    expect(blanks(locales.en)).toEqual(blanks(locales['zh-CN']));
  });

  it.runIf(connector.kind === 'form')('posts its own field, then the code, and nothing else', () => {
    if (connector.kind !== 'form') return;
    for (const language of ['zh-CN', 'en']) {
      expect(fieldsOf(render(name, language, 'start'))).toEqual([connector.field]);
      expect(fieldsOf(render(name, language, 'verify'))).toEqual(['code']);
    }
  });

  it.runIf(connector.kind === 'form')('escapes what was typed, and names its errors to screen readers', () => {
    if (connector.kind !== 'form') return;
    const html = render(name, 'zh-CN', 'start');
    expect(html).not.toContain('"><script>');
    expect(html).toContain('aria-invalid="true"');
    for (const [, id] of html.matchAll(/aria-describedby="([^"]*)"/g))
      for (const part of (id ?? '').split(' ')) expect(html).toContain(`id="${part}"`);
    const labels = [...html.matchAll(/<label for="([^"]+)"/g)].map(([, id]) => id);
    for (const id of labels) expect(html).toMatch(new RegExp(`<input id="${id}"`));
  });

  it.runIf(connector.kind === 'redirect')(
    'leads to somebody else and back to an address of its own, with the state as it was given',
    async () => {
      if (connector.kind !== 'redirect') return;
      await set(bench.settings);
      const asked = { state: 'abcDEF0123456789', origin: 'https://id.example.com', locale: 'en', thorough: false };
      const { url, redirect_uri } = await configured.authorize(bench.id, asked);
      expect(new URL(url).searchParams.get('state')).toBe(asked.state);
      expect(new URL(url).searchParams.get('redirect_uri')).toBe(redirect_uri);
      expect(redirect_uri).toMatch(/^https:\/\/id\.example\.com\/(wechat|upstream)\/[\w-]+\/callback$/);
      for (const secret of bench.secrets) expect(url).not.toContain(secret);
      const agents = ['Mozilla/5.0 (X11; Linux x86_64) Chrome/147', 'Mozilla/5.0 (iPhone) MicroMessenger/8.0.50'];
      const offers = await Promise.all(agents.map((agent) => configured.redirects(agent)));
      expect(offers.flat().map(({ id }) => id)).toContain(bench.id);
    },
  );

  it.runIf(connector.kind === 'redirect')(
    'takes a return without a code, or with a refusal, for a refusal',
    async () => {
      if (connector.kind !== 'redirect') return;
      const asked = { state: 'abcDEF0123456789', origin: 'https://id.example.com', locale: 'en', thorough: false };
      const { redirect_uri, keep } = await configured.authorize(bench.id, asked);
      const query = { state: asked.state, error: 'access_denied', openid: 'oForged', unionid: 'uForged' };
      expect(await configured.callback(bench.id, { query, redirect_uri, keep })).toBeUndefined();
    },
  );

  it.runIf(connector.kind !== 'form')('shows people no page', () => {
    expect(existsSync(join(folderOf(name), 'form.eta'))).toBe(false);
  });
});

/** Every property at any depth, with its schema. */
function propertiesOf(schema: unknown): [name: string, schema: unknown][] {
  if (typeof schema !== 'object' || schema === null) return [];
  const own =
    'properties' in schema && typeof schema.properties === 'object' ? Object.entries(schema.properties ?? {}) : [];
  return [...own, ...Object.values(schema).flatMap(propertiesOf)];
}

/** Each key with the {{blanks}} of its sentence. */
function blanks(sentences: Record<string, unknown>, path = ''): Record<string, string[]> {
  return Object.assign(
    {},
    ...Object.entries(sentences).map(([key, value]) => {
      if (typeof value === 'object' && value) return blanks({ ...value }, `${path}${key}.`);
      expect(value, path + key).toMatch(/\S/);
      return { [path + key]: [...String(value).matchAll(/\{\{\w+\}\}/g)].map(([blank]) => blank).sort() };
    }),
  );
}

function render(name: string, language: string, step: 'start' | 'verify'): string {
  const locales = JSON.parse(readFileSync(join(folderOf(name), 'locales.json'), 'utf8'))[language];
  const t = (key: string) => {
    const sentence = locales[key.replace(`${name}.`, '')];
    expect(sentence, key).toBeTypeOf('string');
    return sentence;
  };
  const typed = '"><script>alert(1)</script>';
  const values = { phone: typed, email: typed };
  const errors = { phone: 'wrong', email: 'wrong', code: 'wrong' };
  const template = readFileSync(join(folderOf(name), 'form.eta'), 'utf8');
  return new Eta({ autoTrim: false }).renderString(template, { t, values, errors, step, masked_to: '138****8000' });
}

function fieldsOf(html: string): string[] {
  return [...html.matchAll(/\bname="([^"]+)"/g)].map(([, field]) => field ?? '');
}
