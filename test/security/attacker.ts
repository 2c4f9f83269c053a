/** Hands on the whole running product: a browser at the demo's clients, programs, and the sandbox's controls. */
import { createHash, randomBytes } from 'node:crypto';
import type { Config } from '../../src/config.ts';
import { createVisitor, formTo, type Visitor } from '../login/visitor.ts';

export const website = { id: 'demo-website', secret: 'demo-website-secret-of-the-sandbox' };
export const backend = { id: 'demo-backend', secret: 'demo-backend-secret' };
export const appid = 'wxsandbox0000000001';
export const exchangeGrant = 'urn:ietf:params:oauth:grant-type:token-exchange';
export const wechatCode = 'urn:heyi:token-type:wechat-login-code';
export const oneTimeCode = 'urn:heyi:token-type:one-time-code';

export const basic = (id: string, secret: string) => ({ authorization: `Basic ${btoa(`${id}:${secret}`)}` });
export const bearer = (token: unknown) => ({ authorization: `Bearer ${token}` });

export type Json = Record<string, unknown>;
export type Said = { status: number; headers: Headers; body: Json };

export type Attacker = ReturnType<typeof attackerOf>;

let numbers = 0;
/** A mainland number that no other test of the file uses. */
export const freshPhone = () => `+86139${String(20_000_000 + ++numbers)}`;

export function attackerOf({ publicUrl, sandboxUrl, demoUrl }: Config) {
  async function say(url: string, init: RequestInit = {}): Promise<Said> {
    const answer = await fetch(url, { redirect: 'manual', ...init });
    const text = await answer.text();
    let body: Json = {};
    try {
      body = JSON.parse(text);
    } catch {
      body = { text };
    }
    return { status: answer.status, headers: answer.headers, body };
  }
  const json = { 'content-type': 'application/json', accept: 'application/json' };
  const send = (method: string, url: string, body: unknown) =>
    say(url, { method, headers: json, body: JSON.stringify(body) });
  const token = (fields: Record<string, string>, headers: Record<string, string> = {}) =>
    say(`${publicUrl}/token`, { method: 'POST', headers, body: new URLSearchParams(fields) });
  async function inbox(to: string): Promise<string> {
    const { body } = await say(`${sandboxUrl}/inbox?to=${encodeURIComponent(to)}`, { headers: json });
    const [message] = body.messages as { code: string }[];
    if (!message) throw new Error('nothing was sent');
    return message.code;
  }

  const sandbox = {
    inbox,
    send: (method: string, path: string, body: unknown) => send(method, `${sandboxUrl}${path}`, body),
    async person(nickname: string, phone?: string): Promise<string> {
      return String((await send('POST', `${sandboxUrl}/people`, { nickname, phone })).body.person_id);
    },
    async code(person: string, kind: 'login-code' | 'phone-code'): Promise<string> {
      return String((await send('POST', `${sandboxUrl}/people/${person}/${kind}`, { appid })).body.code);
    },
  };

  function authorize(client_id = website.id, more: Record<string, string> = {}) {
    const verifier = randomBytes(32).toString('base64url');
    const redirect_uri = client_id === 'demo-spa' ? `${demoUrl}/spa/callback` : `${demoUrl}/callback`;
    const query = new URLSearchParams({
      client_id,
      redirect_uri,
      response_type: 'code',
      scope: 'openid phone email offline_access',
      state: 'state-of-this-test',
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
      ...more,
    });
    return { url: `${publicUrl}/authorize?${query}`, verifier, redirect_uri };
  }

  /** The sign-in pages from the client to the way back; `wrong` codes are typed first. */
  async function signIn(
    method: 'sms' | 'email',
    to: string,
    {
      visitor = createVisitor(),
      client_id = website.id,
      wrong = [] as string[],
      more = {} as Record<string, string>,
    } = {},
  ) {
    const { url, verifier, redirect_uri } = authorize(client_id, more);
    const start = await visitor.follow(await visitor.get(url));
    const field: Record<string, string> = method === 'sms' ? { phone: to } : { email: to };
    let page = await visitor.follow(await visitor.submit(formTo(start, `/${method}`), { ...field, privacy: '1' }));
    for (const code of wrong) page = await visitor.submit(formTo(page, '/verify'), { code });
    const otp = await inbox(to);
    const done = await visitor.follow(await visitor.submit(formTo(page, '/verify'), { code: otp }));
    const back = new URL(done.location ?? `about:${done.status}`);
    const code = back.searchParams.get('code') ?? '';
    return { visitor, otp, code, back, verifier, redirect_uri, client_id, pages: [start, page, done] };
  }

  const redeem = (
    signed: { code: string; verifier: string; redirect_uri: string },
    more: Record<string, string> = {},
  ) =>
    token(
      {
        grant_type: 'authorization_code',
        code: signed.code,
        code_verifier: signed.verifier,
        redirect_uri: signed.redirect_uri,
        ...more,
      },
      basic(website.id, website.secret),
    );
  const refresh = (refresh_token: string) =>
    token({ grant_type: 'refresh_token', refresh_token }, basic(website.id, website.secret));
  const exchange = (subject_token: string, more: Record<string, string> = {}) =>
    token({
      grant_type: exchangeGrant,
      client_id: 'demo-miniprogram',
      subject_token,
      subject_token_type: wechatCode,
      scope: 'openid offline_access',
      ...more,
    });
  async function machineToken(): Promise<string> {
    const said = await token(
      { grant_type: 'client_credentials', resource: `${publicUrl}/api` },
      basic(backend.id, backend.secret),
    );
    return String(said.body.access_token);
  }
  const api = async (path: string, init: RequestInit = {}) =>
    say(`${publicUrl}/api/v1${path}`, {
      ...init,
      headers: { ...json, ...bearer(await machineToken()), ...init.headers },
    });

  return {
    base: publicUrl,
    say,
    send,
    token,
    sandbox,
    authorize,
    signIn,
    redeem,
    refresh,
    exchange,
    machineToken,
    api,
  };
}

export type { Visitor };

/** What an ID token or a JWT access token says. */
export const claimsOf = (jwt: unknown): Json =>
  JSON.parse(Buffer.from(String(jwt).split('.')[1] ?? '', 'base64url').toString('utf8'));
