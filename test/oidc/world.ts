/**
 * A server with the provider on a loopback port, the outside world of the connectors (WeChat, SMS) as a small object, a browser
 * that keeps cookies, and a login page that signs in whoever the test names.
 */
import { createHash, randomBytes } from 'node:crypto';
import { afterAll } from 'vitest';
import { type Clock, systemClock } from '../../src/clock.ts';
import type { Connectors, Proof } from '../../src/connectors/contract.ts';
import { createDatabase, type Database } from '../../src/database.ts';
import { fail } from '../../src/errors.ts';
import { createLimits } from '../../src/http/limits.ts';
import { createKoa, listen, type Middleware } from '../../src/http/server.ts';
import { createLogger } from '../../src/log.ts';
import { artifactId } from '../../src/oidc/adapter.ts';
import { type ClientInput, createClient } from '../../src/oidc/clients.ts';
import { createOidc } from '../../src/oidc/provider.ts';
import { createSeal } from '../../src/seal.ts';
import { resolveSubject } from '../../src/subjects/resolve.ts';
import { collectJobs, noJobs } from '../helpers/jobs.ts';
import { keptLog } from '../helpers/kept-log.ts';

export const seal = createSeal('a secret of at least thirty-two characters');
export const password = 'a-client-secret-of-some-length';

export type Person = { openid: string; unionid?: string; phone?: string };

/** Who asks for codes too fast. */
export const tooSoon = '+8613999999999';
/** Listed for reviewers: its code is known to others. */
export const reviewer = '+8613955500001';
/** Asked to do a captcha first. */
export const suspicious = '+8613955500002';

/** WeChat and the SMS gateway: codes are used once, whoever asks. */
export function createOutside() {
  const logins = new Map<string, Person & { appid: string }>();
  const phones = new Map<string, { phone: string; openid: string }>();
  const codes = new Map<string, { channel: string; to: string; code: string; binding: string }>();
  const calls: string[] = [];
  const state = { isDown: false };
  const take = <T>(map: Map<string, T>, code: string): T => {
    if (state.isDown) throw fail('upstream_unavailable', { retryAfterSeconds: 7 });
    const found = map.get(code);
    map.delete(code);
    if (!found) throw fail('wechat_code_invalid');
    return found;
  };
  const connectors: Connectors = {
    forms: async () => [
      { name: 'sms', field: 'phone' },
      { name: 'email', field: 'email' },
    ],
    async start(channel, { to, binding, captcha }) {
      calls.push(`start ${channel}`);
      if (state.isDown) throw fail('upstream_unavailable');
      if ([...codes.values()].some((sent) => sent.to === to && to === tooSoon))
        throw fail('code_too_soon', { retryAfterSeconds: 60 });
      if (!/^\+861\d{10}$|@/.test(to)) throw fail('phone_invalid');
      if (to === suspicious && captcha !== 'solved') throw fail('captcha_required');
      const otp_id = crypto.randomUUID();
      codes.set(otp_id, { channel, to, code: '123456', binding });
      return { otp_id, resend_after: 60, expires_in: 300, masked_to: '***' };
    },
    async verify(channel, { otp_id, code, binding }) {
      calls.push(`verify ${channel}`);
      const sent = codes.get(otp_id);
      if (sent?.channel !== channel || sent.code !== code || sent.binding !== binding) throw fail('code_wrong');
      codes.delete(otp_id);
      return sent.to === reviewer ? { ...phoneProof(sent.to), stands_alone: true } : phoneProof(sent.to);
    },
    delivery: async () => undefined,
    report: async () => {
      throw fail('not_found');
    },
    challenge: async () => ({ parameters: 'of a challenge' }),
    notify: async () => false,
    redirects: async () => [],
    authorize: async () => Promise.reject(fail('connector_not_configured')),
    callback: async () => Promise.reject(fail('connector_not_configured')),
    async exchange(appid, { login_code }) {
      calls.push(`exchange ${appid}`);
      const person = take(logins, login_code);
      if (person.appid !== appid) throw fail('wechat_code_invalid');
      return wechatProof(appid, person);
    },
    async exchangePhone(appid, { phone_code, openid }) {
      calls.push(`exchangePhone ${appid}`);
      const { phone, openid: owner } = take(phones, phone_code);
      if (owner !== openid) throw fail('wechat_code_invalid');
      return phoneProof(phone);
    },
    apps: async () => ['wxtest'],
    scanCode: async () => ({ type: 'image/png', bytes: Buffer.from('picture') }),
    appLink: async (_appid, { query }) => `https://wxaurl.cn/test?${query}`,
    accounts: async () => [],
    followCode: async () => ({ type: 'image/svg+xml', bytes: Buffer.from('picture') }),
    followerProof: async (appid, { openid }) => wechatProof(appid, { openid }),
    configure: async () => {},
    disableSandbox: async () => {},
  };
  return {
    connectors,
    calls,
    state,
    /** What wx.login gives this person. */
    loginCode(person: Person, appid = 'wxtest'): string {
      const code = `login-${randomBytes(8).toString('hex')}`;
      logins.set(code, { ...person, appid });
      return code;
    },
    phoneCode({ phone = '', openid }: Person): string {
      const code = `phone-${randomBytes(8).toString('hex')}`;
      phones.set(code, { phone, openid });
      return code;
    },
    otpFor: (to: string) => [...codes].find(([, sent]) => sent.to === to)?.[0],
  };
}

export function wechatProof(appid: string, { openid, unionid }: Person): Proof {
  const union = { kind: 'wechat_unionid' as const, issuer: 'platform', external_id: unionid ?? '' };
  const open = { kind: 'wechat_openid' as const, issuer: appid, external_id: openid };
  return { connector: 'wechat-miniprogram', identities: unionid ? [union, open] : [open] };
}

export function phoneProof(to: string): Proof {
  const kind = to.includes('@') ? 'email' : 'phone';
  return { connector: kind === 'phone' ? 'sms' : 'email', identities: [{ kind, issuer: '', external_id: to }] };
}

export type Outside = ReturnType<typeof createOutside>;
export type World = Awaited<ReturnType<typeof startWorld>>;

type WorldOptions = {
  db: Database;
  outside?: Outside;
  /** The public address when it is not the one listened on. */
  publicUrl?: string;
  /** Origins on this machine that logout notices may reach. */
  privateOrigins?: string[];
  trustProxy?: number;
  clock?: Clock;
};

/** Stopped when the test file is done. */
export async function startWorld({
  db,
  outside = createOutside(),
  publicUrl,
  privateOrigins = [],
  trustProxy,
  clock = systemClock,
}: WorldOptions) {
  const { lines, destination } = keptLog();
  const log = createLogger({ level: 'debug', destination });
  let serve: Middleware = async () => {};
  const koa = createKoa({ log, trustProxy: trustProxy ?? false, https: publicUrl?.startsWith('https') ?? false });
  koa.use((ctx, next) => serve(ctx, next));
  const listener = await listen(koa, { port: 0, host: '127.0.0.1' });
  const base = `http://localhost:${listener.port}`;
  const config = { publicUrl: publicUrl ?? base, privateOrigins };
  const { jobs, handlers, sent } = collectJobs();
  const limits = createLimits({ db, seal });
  const oidc = await createOidc({
    db,
    seal,
    clock,
    log,
    config,
    limits,
    connectors: outside.connectors,
    jobs,
    pages: {
      settle: () => {},
      renderError: (ctx, out) => {
        ctx.type = 'html';
        ctx.body = `<h1>error page</h1><p>${out.error}</p>`;
      },
      renderLogout: (ctx, form) => {
        ctx.body = `<h1>sign out?</h1>${form}<button form="op.logoutForm" name="logout" value="yes">yes</button>`;
      },
      renderLogoutDone: (ctx) => {
        ctx.body = '<h1>signed out</h1>';
      },
    },
  });
  serve = async (ctx, next) => {
    await oidc.middleware(ctx, async () => {
      if (!ctx.path.startsWith('/login/')) return next();
      const sub = new URL(ctx.href).searchParams.get('as');
      if (!sub) {
        ctx.body = 'login page';
        return;
      }
      const returnTo = await oidc.provider.interactionResult(ctx.req, ctx.res, {
        login: { accountId: sub, amr: ['otp'] },
      });
      ctx.status = 303;
      ctx.redirect(returnTo);
    });
  };
  afterAll(() => listener.stop());
  return {
    base,
    issuer: config.publicUrl,
    oidc,
    outside,
    jobs: handlers,
    sent,
    log: () => lines.join(''),
    port: listener.port,
    register: (input: ClientInput) => createClient({ db, seal }, input),
    stop: () => listener.stop(),
  };
}

/** A second process: its own pool, its own engine. */
export async function secondWorld(url: string, outside: Outside) {
  const db = createDatabase({ url, application: 'second' });
  afterAll(() => db.destroy());
  return { db, world: await startWorld({ db, outside }) };
}

/** A person who signed in by phone before. */
export async function newPerson(
  db: Database,
  phone = `+8613${String(randomBytes(4).readUInt32BE()).padStart(9, '0').slice(0, 9)}`,
) {
  const context = { channel: 'website' };
  const { sub } = await resolveSubject(
    { db, seal, jobs: noJobs },
    { proofs: [phoneProof(phone)], create: true, context },
  );
  return { sub, phone };
}

export type Reply = { status: number; headers: Headers; body: Record<string, unknown>; text: string };

export async function reply(response: Response): Promise<Reply> {
  const text = await response.text();
  let body = {};
  try {
    body = JSON.parse(text);
  } catch {}
  return { status: response.status, headers: response.headers, body, text };
}

export type Fields = Record<string, string | string[]>;

export function form(fields: Fields): URLSearchParams {
  const encoded = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) for (const one of [value].flat()) encoded.append(name, one);
  return encoded;
}

export function basic(client_id: string, secret = password): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(`${client_id}:${secret}`).toString('base64')}` };
}

export async function post(url: string, fields: Fields, headers: Record<string, string> = {}): Promise<Reply> {
  return reply(await fetch(url, { method: 'POST', body: form(fields), headers, redirect: 'manual' }));
}

/** Keeps cookies by name and path, follows redirects by hand. */
export function createBrowser(base: string) {
  const cookies = new Map<string, { value: string; path: string }>();
  const browser = {
    cookies,
    async get(url: string, init: RequestInit = {}): Promise<Response> {
      const target = new URL(url, base);
      const sent = [...cookies].filter(([, { path }]) => target.pathname.startsWith(path));
      const response = await fetch(target, {
        redirect: 'manual',
        ...init,
        headers: {
          ...init.headers,
          cookie: sent.map(([key, { value }]) => `${key.split(' ')[0]}=${value}`).join('; '),
        },
      });
      for (const line of response.headers.getSetCookie()) keep(line);
      return response;
    },
  };
  function keep(line: string): void {
    const [pair = '', ...attributes] = line.split('; ');
    const [name = '', ...value] = pair.split('=');
    const path = attributes.find((attribute) => /^path=/i.test(attribute))?.slice(5) ?? '/';
    const key = `${name} ${path}`;
    if (/expires=Thu, 01 Jan 1970/i.test(line)) cookies.delete(key);
    else cookies.set(key, { value: value.join('='), path });
  }
  return browser;
}

export type Browser = ReturnType<typeof createBrowser>;

/** Lets two requests both read a code or token as unused, and only then mark it: a race that luck alone seldom makes. */
export async function atTheSameMoment(
  db: Database,
  { model, value }: { model: string; value: string },
  start: () => Promise<Reply>[],
): Promise<Reply[]> {
  const meanwhile = await db.transaction();
  await meanwhile('oidc_artifacts')
    .where({ model, id: artifactId(value) })
    .forUpdate();
  const answers = start();
  for (let waiting = 0; waiting < answers.length; ) {
    const { rows } = await db.raw(
      `select count(*)::integer as waiting from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'`,
    );
    waiting = rows[0].waiting;
  }
  await meanwhile.rollback();
  return Promise.all(answers);
}

export function pkce() {
  const verifier = randomBytes(32).toString('base64url');
  return { verifier, challenge: createHash('sha256').update(verifier).digest('base64url') };
}

export type CodeRequest = {
  client_id: string;
  redirect_uri: string;
  scope?: string;
  [parameter: string]: string | undefined;
};

/** /authorize, the login page as `sub`, and back: the address the client is called at. */
export async function authorize(world: World, browser: Browser, sub: string, request: CodeRequest): Promise<URL> {
  const query = new URLSearchParams({ response_type: 'code', scope: 'openid' });
  for (const [name, value] of Object.entries(request)) if (value !== undefined) query.set(name, value);
  let location = `/authorize?${query}`;
  for (let step = 0; step < 6; step++) {
    const response = await browser.get(location);
    const next = response.headers.get('location');
    if (!next) throw new Error(`no redirect from ${location}: ${response.status} ${await response.text()}`);
    const url = new URL(next, world.base);
    if (next.startsWith(request.redirect_uri)) return url;
    location = url.pathname.startsWith('/login/') ? `${url.pathname}?as=${sub}` : `${url.pathname}${url.search}`;
  }
  throw new Error('the redirects do not end');
}

/** A code with what redeems it. */
export async function newCode(world: World, sub: string, request: CodeRequest, browser = createBrowser(world.base)) {
  const { verifier, challenge } = pkce();
  const pkceFields = { code_challenge: challenge, code_challenge_method: 'S256' };
  const back = await authorize(world, browser, sub, { ...pkceFields, ...request });
  const code = back.searchParams.get('code') ?? '';
  const { client_id, redirect_uri } = request;
  const fields = { grant_type: 'authorization_code', code, client_id, redirect_uri, code_verifier: verifier };
  return { code, back, fields, verifier };
}
