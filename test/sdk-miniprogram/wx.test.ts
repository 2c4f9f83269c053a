/** The phone on which the SDKs are tested keeps WeChat's rules, so that what passes on it passes there. */
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { afterAll, describe, expect, test } from 'vitest';
import { createPhone, type PhoneSettings, type Program, type Scope } from '../helpers/wx.ts';

const seen: IncomingMessage[] = [];
const bodies: string[] = [];
let together = 0;
let most = 0;
const server = createServer(async (incoming, outgoing) => {
  seen.push(incoming);
  most = Math.max(most, ++together);
  let body = '';
  for await (const part of incoming) body += part;
  bodies.push(body);
  if (incoming.url?.startsWith('/never')) return;
  await new Promise((resolve) => setTimeout(resolve, 5));
  together--;
  if (incoming.url === '/moved') outgoing.writeHead(302, { Location: '/text' }).end();
  else if (incoming.url === '/text') outgoing.end('plain');
  else outgoing.writeHead(incoming.url === '/503' ? 503 : 200, { 'Retry-After': '7' }).end('{"a":[1]}');
}).listen(0, '127.0.0.1');
await once(server, 'listening');
const address = server.address();
const url = `http://127.0.0.1:${address && typeof address === 'object' ? address.port : 0}`;
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const bare: Program = { app: ({ App }) => App({}) };
const start = (settings: PhoneSettings = {}, program = bare) => {
  const phone = createPhone(settings);
  return { phone, running: phone.launch(program) };
};
const ask = ({ request }: Scope, options: object) =>
  new Promise<Record<string, unknown>>((resolve) => {
    request({ ...options, success: resolve, fail: resolve });
  });

describe('requests', () => {
  test('ten go at once, the others wait in line', async () => {
    const { wx, network } = start().running;
    most = 0;
    const asked = Array.from({ length: 25 }, (_, i) => ask(wx, { url: `${url}/${i}` }));
    expect([network.running(), network.waiting()]).toEqual([10, 15]);
    expect((await Promise.all(asked)).map(({ statusCode }) => statusCode)).toEqual(Array(25).fill(200));
    expect(most).toBeLessThanOrEqual(10);
  });

  test('any status is a success, headers come as the server wrote them, JSON is parsed and text left alone', async () => {
    const { wx } = start().running;
    expect(await ask(wx, { url: `${url}/503` })).toMatchObject({
      statusCode: 503,
      data: { a: [1] },
      header: { 'Retry-After': '7' },
      errMsg: 'request:ok',
    });
    expect(await ask(wx, { url: `${url}/moved` })).toMatchObject({ statusCode: 200, data: 'plain' });
    expect(await ask(wx, { url: `${url}/moved`, redirect: 'manual' })).toMatchObject({ statusCode: 302 });
  });

  test('data becomes JSON, a form, the query or stays the text it is; Referer is WeChat’s', async () => {
    const { wx } = start().running;
    const form = { 'Content-Type': 'application/x-www-form-urlencoded', Referer: 'https://forged.example' };
    await ask(wx, { url, method: 'POST', data: { a: '中' } });
    await ask(wx, { url, method: 'POST', data: { a: '1 2', b: '&' }, header: form });
    await ask(wx, { url, method: 'POST', data: 'as it is' });
    await ask(wx, { url: `${url}/?x=1`, data: { a: '中' } });
    expect(bodies.slice(-4)).toEqual(['{"a":"中"}', 'a=1%202&b=%26', 'as it is', '']);
    expect(seen.at(-1)?.url).toBe('/?x=1&a=%E4%B8%AD');
    expect(seen.at(-3)?.headers).toMatchObject({
      'content-type': 'application/x-www-form-urlencoded',
      referer: 'https://servicewechat.com/wxsandbox0000000001/1.0.0/page-frame.html',
    });
    expect(seen.at(-1)?.headers['content-type']).toBe('application/json');
  });

  test('fail in the words of the real one', async () => {
    const { phone, running } = start({ domains: [url] });
    const { wx } = running;
    expect(await ask(wx, { url: 'https://other.example' })).toEqual({
      errMsg: 'request:fail url not in domain list',
      errno: 600002,
    });
    expect(await ask(wx, { url: '/relative' })).toEqual({
      errMsg: 'request:fail invalid url "/relative"',
      errno: 600009,
    });
    expect(await ask(wx, {})).toEqual({
      errMsg: 'request:fail parameter error: parameter.url should be String instead of Undefined;',
    });
    expect(await ask(wx, { url: `${url}/never`, timeout: 20 })).toEqual({ errMsg: 'request:fail timeout', errno: 5 });
    const aborted = new Promise((resolve) => {
      wx.request({ url: `${url}/never`, fail: resolve }).abort();
    });
    expect(await aborted).toMatchObject({ errMsg: 'request:fail abort' });
    phone.line.lose('/lost');
    expect(await ask(wx, { url: `${url}/lost` })).toMatchObject({ errno: 600001 });
    expect(phone.line.sentTo('/lost')).toMatchObject([{ status: 0 }]);
    phone.line.answer('/busy', 429, { headers: { 'Retry-After': '2' } });
    expect(await ask(wx, { url: `${url}/busy` })).toMatchObject({ statusCode: 429 });
    running.networkChanges(false);
    expect(await ask(wx, { url })).toMatchObject({
      errMsg: expect.stringContaining('request:fail errcode:-106'),
      errno: 600001,
    });
  });
});

describe('the background', () => {
  test('after the five seconds requests are interrupted, and nothing is told before the return', async () => {
    const { running } = start();
    const told: unknown[] = [];
    running.wx.request({ url: `${url}/never`, fail: (failure: unknown) => told.push(failure) });
    running.scope.setTimeout(() => told.push('timer'), 5);
    running.hide();
    running.suspend();
    await new Promise((resolve) => setTimeout(resolve, 15));
    expect(told).toEqual([]);
    running.show();
    expect(told).toEqual([{ errMsg: 'request:fail interrupted', errno: 600003 }, 'timer']);
    expect(await ask(running.wx, { url })).toMatchObject({ statusCode: 200 });
  });

  test('what is killed hears nothing and writes nothing; storage is there for the next launch', async () => {
    const { phone, running } = start();
    running.wx.setStorageSync('kept', { a: 1 });
    const told: unknown[] = [];
    running.wx.request({ url, complete: (result: unknown) => told.push(result) });
    running.kill();
    running.wx.setStorageSync('kept', 'overwritten');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(told).toEqual([]);
    expect(phone.launch(bare).wx.getStorageSync('kept')).toEqual({ a: 1 });
  });
});

describe('storage', () => {
  test('holds 1 MB a key and 10 MB together', async () => {
    const { wx } = start().running;
    expect(() => wx.setStorageSync('big', 'x'.repeat(1024 * 1024))).toThrow(
      'setStorageSync:fail entry size limit reached',
    );
    for (let i = 0; i < 10; i++) wx.setStorageSync(`k${i}`, 'x'.repeat(1024 * 1000));
    await expect(wx.setStorage({ key: 'more', data: 'x'.repeat(1024 * 500) })).rejects.toMatchObject({
      errMsg: 'setStorage:fail exceed storage max size 10Mb',
    });
    expect(wx.getStorageInfoSync()).toMatchObject({ currentSize: 10_001, limitSize: 10_240 });
  });

  test('knows no undefined, and says so in each form', async () => {
    const { wx } = start().running;
    expect(wx.getStorageSync('none')).toBe('');
    await expect(wx.getStorage({ key: 'none' })).rejects.toEqual({ errMsg: 'getStorage:fail data not found' });
  });
});

describe('the world of the program', () => {
  test('has the language, wx and timers; nothing of a browser or Node', () => {
    const { scope } = start().running;
    for (const name of [
      'fetch',
      'URL',
      'window',
      'document',
      'process',
      'localStorage',
      'TextEncoder',
      'Buffer',
      'atob',
    ])
      expect(scope[name]).toBeUndefined();
    for (const name of ['wx', 'App', 'Page', 'Component', 'getApp', 'getCurrentPages', 'setTimeout', 'console'])
      expect(scope[name]).toBeDefined();
  });

  test('Page and App may be replaced by an SDK, and pages live their lives in order', () => {
    const calls: string[] = [];
    const program: Program = {
      app: (scope) => {
        const { Page } = scope;
        scope.Page = (options: Record<string, unknown>) =>
          Page({ ...options, onHide: () => calls.push('wrapped hide') });
        scope.App({
          onLaunch: ({ scene }: { scene: number }) => calls.push(`launch ${scene}`),
          onShow: () => calls.push('show'),
        });
      },
      pages: {
        'pages/a': ({ Page, getApp }) =>
          Page({
            data: { list: [{}] },
            onLoad: (query: { id: string }) => calls.push(`load ${query.id} ${Boolean(getApp())}`),
            onShow: () => calls.push('a shows'),
          }),
        'pages/b': ({ Page, getCurrentPages }) =>
          Page({ onReady: () => calls.push(`ready ${getCurrentPages().length}`) }),
      },
    };
    const running = createPhone().launch(program, { scene: 1036, path: 'pages/a', query: { id: '7' } });
    running.page()?.setData({ 'list[0].name': 'x' });
    expect(running.page()?.data).toEqual({ list: [{ name: 'x' }] });
    running.move('navigateTo', { url: '/pages/b' });
    running.move('navigateBack');
    expect(calls).toEqual(['launch 1036', 'show', 'load 7 true', 'a shows', 'wrapped hide', 'ready 2', 'a shows']);
    expect(running.errors).toEqual([]);
  });

  test('wx.login has no promise form; others have one when no callback is given', async () => {
    const { wx } = start().running;
    const { code } = await new Promise<{ code: string }>((success) => {
      expect(wx.login({ success })).toBeUndefined();
    });
    expect(code).toMatch(/^login-code-/);
    expect(await wx.getSystemInfo()).toMatchObject({ SDKVersion: expect.any(String), errMsg: 'getSystemInfo:ok' });
  });
});

describe('privacy', () => {
  test('a call waits for the person’s answer, and fails as the real one when it is no', async () => {
    const { running } = start({ privacy: { isRequired: true } });
    const { wx } = running;
    expect(await wx.getPrivacySetting()).toMatchObject({ needAuthorization: true });
    const answers: ((answer: object) => void)[] = [];
    wx.onNeedPrivacyAuthorization((resolve: (answer: object) => void) => answers.push(resolve));
    const refused = running.tapPhoneButton();
    await new Promise((resolve) => setTimeout(resolve, 0));
    answers[0]?.({ event: 'disagree' });
    expect(await refused).toEqual({ errMsg: 'getPhoneNumber:fail privacy permission is not authorized', errno: 104 });
    const agreed = running.tapPhoneButton();
    await new Promise((resolve) => setTimeout(resolve, 0));
    answers[1]?.({ event: 'agree', buttonId: 'agree-btn' });
    expect(await agreed).toMatchObject({ errMsg: 'getPhoneNumber:ok' });
    expect(await wx.getPrivacySetting()).toMatchObject({ needAuthorization: false });
    running.kill();
  });

  test('what the statement does not declare fails whatever the person says', async () => {
    const { running } = start({ privacy: { isRequired: true, hasAgreed: true, declared: [] } });
    expect(await running.tapPhoneButton()).toMatchObject({ errno: 112 });
  });
});
