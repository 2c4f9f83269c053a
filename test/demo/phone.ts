/** A WeChat user's phone without a screen: `wx` over real HTTP, with storage and login codes; and a line that loses answers. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import { afterAll } from 'vitest';
import type { World } from '../e2e/world.ts';

const require = createRequire(import.meta.url);
const appid = 'wxsandbox0000000001';

type Person = { sub: string; phone_status?: string };
export type Heyi = {
  signIn(options?: { phoneCode?: string; consents?: string[]; create?: boolean }): Promise<Person>;
  sendCode(options: { to: string }): Promise<{ otp_id: string }>;
  signInByCode(options: { otpId: string; code: string; consents?: string[] }): Promise<Person>;
  person(): Person | null;
  request(options: { url: string }): Promise<{ statusCode: number; data: Record<string, unknown> }>;
  signOut(): Promise<void>;
  track(name: string, properties?: Record<string, unknown>): void;
  flush(): Promise<void>;
  setConsent(given: Record<string, boolean>): void;
};

type RequestOptions = {
  url: string;
  method?: string;
  data?: Record<string, string>;
  header?: Record<string, string>;
  success(answer: { statusCode: number; data: unknown }): void;
  fail(failure: { errMsg: string; errno: number }): void;
};

export function createPhone(world: World, personId: string, issuer: string) {
  const storage = new Map<string, string>();
  const wx = {
    login: ({ success }: { success(answer: { code: string }): void }) =>
      void world
        .sandboxPost(`/people/${personId}/login-code`, { appid })
        .then(({ code }) => success({ code: String(code) })),
    request: (options: RequestOptions) =>
      void exchange(options).then(options.success, () => options.fail({ errMsg: 'request:fail', errno: 600000 })),
    getStorageSync: (key: string) => JSON.parse(storage.get(key) ?? '""'),
    setStorageSync: (key: string, value: unknown) => void storage.set(key, JSON.stringify(value)),
    removeStorageSync: (key: string) => void storage.delete(key),
    getRandomValues: ({ length, success }: { length: number; success(answer: { randomValues: ArrayBuffer }): void }) =>
      queueMicrotask(() => success({ randomValues: crypto.getRandomValues(new Uint8Array(length)).buffer })),
  };
  return {
    storage,
    phoneCode: async () => String((await world.sandboxPost(`/people/${personId}/phone-code`, { appid })).code),
    /** A cold start of the mini-program: only storage is left of the last one. */
    launch(): Heyi {
      Object.assign(globalThis, { wx });
      const { createHeyi } = require('../../sdk/miniprogram/heyi.js');
      return createHeyi({ issuer, clientId: 'demo-miniprogram', writeKey: 'demo-client-key' });
    },
    /** Changes what the phone holds, as time would. */
    change(key: string, changes: Record<string, unknown>) {
      storage.set(key, JSON.stringify({ ...JSON.parse(storage.get(key) ?? '{}'), ...changes }));
    },
  };
}

/** As wx.request: any status is an answer, a form's data is an object. */
async function exchange({ url, method = 'GET', data, header = {} }: RequestOptions) {
  const isForm = header['content-type'] === 'application/x-www-form-urlencoded';
  const body = data && (isForm ? new URLSearchParams(data).toString() : JSON.stringify(data));
  const answer = await fetch(url, { method, headers: header, ...(body && { body }) });
  const text = await answer.text();
  return { statusCode: answer.status, data: text.startsWith('{') ? JSON.parse(text) : text };
}

/** Passes requests on to Heyi, counts them, and keeps the next answers of a path to itself: Heyi did the work, the phone never hears. */
export async function lossyLine(target: string) {
  const counts = new Map<string, number>();
  const losing = new Map<string, number>();
  const pass = (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const path = incoming.url ?? '';
    counts.set(path, (counts.get(path) ?? 0) + 1);
    const headers = { ...incoming.headers, host: new URL(target).host };
    const onward = request(`${target}${path}`, { method: incoming.method, headers }, (answer) => {
      const left = losing.get(path) ?? 0;
      if (left > 0) {
        losing.set(path, left - 1);
        answer.resume().on('end', () => outgoing.destroy());
        return;
      }
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    incoming.pipe(onward);
  };
  const server = createServer(pass).listen(0, '127.0.0.1');
  await once(server, 'listening');
  afterAll(() => void server.close());
  const address = server.address();
  return {
    url: `http://localhost:${address && typeof address === 'object' ? address.port : 0}`,
    lose: (path: string, times: number) => losing.set(path, times),
    count: (path: string) => counts.get(path) ?? 0,
  };
}
