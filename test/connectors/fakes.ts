/** Small servers on loopback that answer as the outside world does. Each test file starts its own and says how they behave. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { afterAll } from 'vitest';
import { signAcs3 } from '../../src/connectors/sms/acs3.ts';
import { signTc3 } from '../../src/connectors/sms/tc3.ts';

export type Seen = { method: string; url: URL; headers: IncomingMessage['headers']; body: string };
export type Answer = { status?: number; type?: string; body: string | Buffer | object };
/** `reset`: the connection breaks after the request was read. `hang`: no answer at all. */
export type Behaviour = (seen: Seen) => Answer | 'reset' | 'hang' | Promise<Answer | 'reset' | 'hang'>;

export type FakeServer = { base: string; seen: Seen[]; behave(behaviour: Behaviour): void };

export async function fakeServer(initial: Behaviour): Promise<FakeServer> {
  let behaviour = initial;
  const seen: Seen[] = [];
  const sockets = new Set<Socket>();
  const server = createServer(async (req, res) => {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk);
    const request = {
      method: req.method ?? '',
      url: new URL(req.url ?? '/', `http://${req.headers.host}`),
      headers: req.headers,
      body: Buffer.concat(chunks).toString('utf8'),
    };
    seen.push(request);
    reply(res, await behaviour(request));
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  afterAll(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const behave = (next: Behaviour) => {
    behaviour = next;
  };
  return { base: `http://127.0.0.1:${port}`, seen, behave };
}

function reply(res: ServerResponse, answer: Answer | 'reset' | 'hang'): void {
  if (answer === 'hang') return;
  if (answer === 'reset') return void res.socket?.destroy();
  const isReady = typeof answer.body === 'string' || Buffer.isBuffer(answer.body);
  const body = isReady ? answer.body : JSON.stringify(answer.body);
  res.writeHead(answer.status ?? 200, { 'content-type': answer.type ?? 'text/plain' }).end(body);
}

/** A port nobody listens on. */
export async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

export const aliyunKey = { access_key_id: 'LTAI-test-id', access_key_secret: 'aliyun-secret-Zx81' };

/** Settings of the connector `sms` that point at a fake of ours. */
export function aliyunAt(base_url: string) {
  return { provider: 'aliyun', ...aliyunKey, sign_name: '合一', template_code: 'SMS_1', base_url };
}

/** Aliyun's side of SendSms: checks the signature and the nonce, then answers and keeps what was sent. */
export function aliyunBehaviour(
  sent: { phone: string; code: string }[],
  answer: () => Answer['body'] = () => ok,
): Behaviour {
  const nonces = new Set<string>();
  return ({ method, url, headers, body }) => {
    const signed = /SignedHeaders=([^,]+),/.exec(String(headers.authorization))?.[1]?.split(';') ?? [];
    const expected = signAcs3(
      {
        method,
        path: url.pathname,
        query: Object.fromEntries(url.searchParams),
        headers: Object.fromEntries(signed.map((name) => [name, String(headers[name])])),
        body,
      },
      aliyunKey,
    );
    if (headers.authorization !== expected.authorization) return refusal('SignatureDoesNotMatch');
    const nonce = String(headers['x-acs-signature-nonce']);
    if (nonces.has(nonce)) return refusal('SignatureNonceUsed');
    nonces.add(nonce);
    const reply = answer();
    if (reply !== ok) return { type: 'application/json', body: reply };
    const form = new URLSearchParams(body);
    sent.push({ phone: form.get('PhoneNumbers') ?? '', code: JSON.parse(form.get('TemplateParam') ?? '{}').code });
    return { type: 'application/json', body: ok };
  };
}

const ok = { Code: 'OK', Message: 'OK', RequestId: 'F655A8D5-B967-440B-8683-DAD6FF8DE990', BizId: '9006^0' };

function refusal(code: string): Answer {
  return {
    status: 400,
    type: 'application/json',
    body: { Code: code, Message: 'refused', RequestId: 'X', HostId: 'h' },
  };
}

/** WeChat's side of the calls a mini-program sign-in makes, as its documentation and raw samples describe them. */
export type FakeWechat = FakeServer & {
  appid: string;
  secret: string;
  loginCodes: Map<string, { openid: string; unionid?: string }>;
  phoneCodes: Map<string, { openid: string; phone_info: object }>;
  /** The app token that WeChat takes at the moment. */
  token: string;
  normal: Behaviour;
};

export async function fakeWechat(appid = 'wxtest00000000001'): Promise<FakeWechat> {
  const used = new Set<string>();
  const refuse = (errcode: number, text: string): Answer => ({
    body: { errcode, errmsg: `${text}, rid: 65d56510-389d87bb-729c2f46` },
  });
  const server = await fakeServer(() => refuse(-1, 'not ready'));
  const wechat: FakeWechat = Object.assign(server, {
    appid,
    secret: 'appsecret-5f0e1c7d2b',
    loginCodes: new Map(),
    phoneCodes: new Map(),
    token: 'app-token-1',
    normal: (seen: Seen): Answer => {
      if (seen.url.pathname === '/sns/jscode2session') return session(seen);
      if (seen.url.pathname === '/cgi-bin/stable_token') return stableToken(seen);
      return phoneNumber(seen);
    },
  });
  function session({ url }: Seen): Answer {
    if (url.searchParams.get('appid') !== appid) return refuse(40013, 'invalid appid');
    if (url.searchParams.get('secret') !== wechat.secret) return refuse(40125, 'invalid appsecret');
    const code = url.searchParams.get('js_code') ?? '';
    const person = wechat.loginCodes.get(code);
    if (!person) return refuse(40029, 'invalid code');
    if (used.has(code)) return refuse(40163, 'code been used');
    used.add(code);
    return { body: { ...person, session_key: 'tiihtNczf5v6AKRyjwEUhQ==' } };
  }
  function stableToken({ body }: Seen): Answer {
    const asked = JSON.parse(body);
    if (asked.secret !== wechat.secret) return refuse(40125, 'invalid appsecret');
    return { body: { access_token: wechat.token, expires_in: 7200 } };
  }
  function phoneNumber({ url, body }: Seen): Answer {
    if (url.searchParams.get('access_token') !== wechat.token) return refuse(40001, 'invalid credential');
    const { code, openid } = JSON.parse(body);
    const phone = wechat.phoneCodes.get(code);
    if (!phone || used.has(code) || phone.openid !== openid) return refuse(40029, 'invalid code');
    used.add(code);
    return { body: { errcode: 0, errmsg: 'ok', phone_info: phone.phone_info } };
  }
  wechat.behave(wechat.normal);
  return wechat;
}

export const tencentKey = { secret_id: 'AKID-test-id', secret_key: 'tencent-secret-Qk27' };

export function tencentAt(base_url: string) {
  const application = { sms_sdk_app_id: '1400006666', sign_name: '合一', template_id: '1110' };
  return { provider: 'tencent', ...tencentKey, ...application, base_url };
}

export const tencentError = (Code: string) => ({ Response: { Error: { Code, Message: 'refused' }, RequestId: 'R' } });
export const tencentStatus = (Code: string, SerialNo = '') => ({
  Response: { SendStatusSet: [{ SerialNo, Code, Message: 'send success' }], RequestId: 'R' },
});

/** Tencent's side of SendSms: checks signature and content type, then answers and keeps what was sent. */
export function tencentBehaviour(sent: object[], answer: () => object | undefined = () => undefined): Behaviour {
  return ({ url, headers, body }) => {
    const signed = /SignedHeaders=([^,]+),/.exec(String(headers.authorization))?.[1]?.split(';') ?? [];
    const expected = signTc3(
      {
        service: 'sms',
        path: url.pathname,
        timestamp: Number(headers['x-tc-timestamp']),
        headers: Object.fromEntries(signed.map((name) => [name, String(headers[name])])),
        body,
      },
      tencentKey,
    );
    const type = 'application/json';
    if (headers.authorization !== expected.authorization)
      return { type, body: tencentError('AuthFailure.SignatureFailure') };
    const reply = answer();
    if (reply) return { type, body: reply };
    sent.push(JSON.parse(body));
    return { type, body: tencentStatus('Ok', `5000:${sent.length}`) };
  };
}
