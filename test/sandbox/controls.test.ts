import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { StartupError } from '../../src/errors.ts';
import { createSandbox } from '../../src/sandbox/sandbox.ts';
import { apps, log, startWorld, temporaryFolder } from './world.ts';

const world = await startWorld();
const { url, call, wechat, code, newPerson } = world;
const app = apps.miniprogram;
const clock = { now: () => new Date() };
const login = async (js_code: string) =>
  wechat('sns/jscode2session', { ...app, js_code, grant_type: 'authorization_code' });

describe('people', () => {
  test('are three from the start, one of them without a phone', async () => {
    const people = (await call('GET', '/people')).body.people as Record<string, unknown>[];
    expect(people.slice(0, 3).map(({ nickname, phone }) => [nickname, phone])).toEqual([
      ['林小满', '+8613800138000'],
      ['陈嘉禾', '+8613900139000'],
      ['王若溪', null],
    ]);
    expect(people[0]?.identities).toContainEqual({
      appid: app.appid,
      openid: expect.stringMatching(/^o[\w-]{27}$/),
      unionid: expect.stringMatching(/^o[\w-]{27}$/),
    });
  });

  test('are made with a phone in any common form, and changed', async () => {
    const person_id = await newPerson('新人', '138 0013-8009');
    const find = async () => {
      const people = (await call('GET', '/people')).body.people as Record<string, unknown>[];
      return people.find((person) => person.person_id === person_id);
    };
    expect(await find()).toMatchObject({ nickname: '新人', phone: '+8613800138009' });
    await call('PUT', `/people/${person_id}`, { phone: null });
    expect(await find()).toMatchObject({ phone: null });
  });

  test('without a phone get no phone code', async () => {
    const answer = await call('POST', '/people/wang-ruoxi/phone-code', { appid: app.appid });
    expect(answer.status).toBe(409);
  });

  test.each<[string, string, string, unknown, number, string]>([
    ['no nickname', 'POST', '/people', {}, 400, 'nickname'],
    ['a phone that is none', 'POST', '/people', { nickname: 'a', phone: '123' }, 400, 'phone number such as'],
    ['an unknown field', 'POST', '/people', { nickname: 'a', fone: '1' }, 400, 'fone'],
    ['a body that is not JSON', 'POST', '/people', 'nickname=a', 400, 'JSON'],
    ['an unknown person', 'POST', '/people/nobody/login-code', { appid: app.appid }, 404, 'GET /people'],
    [
      'an app without wx.login',
      'POST',
      '/people/lin-xiaoman/login-code',
      { appid: apps.website.appid },
      400,
      'mini-program',
    ],
    ['no appid', 'POST', '/people/lin-xiaoman/login-code', {}, 400, 'appid'],
    ['an address that is none', 'POST', '/people/lin-xiaoman/confirm', { url: 'x' }, 400, 'authorise page'],
    ['an unknown app', 'PUT', '/apps/wx0', { open_platform: null }, 404, 'kind and secret'],
    ['a new app without a secret', 'PUT', '/apps/wx0', { kind: 'website' }, 400, 'secret'],
    ['a fault without an effect', 'PUT', '/faults', { target: 'smtp' }, 400, 'say what goes wrong'],
    ['a fault of an unknown API', 'PUT', '/faults', { target: 'fax', errcode: 1 }, 400, 'target'],
    ['a fault with a wrong delay', 'PUT', '/faults', { target: 'smtp', delay_ms: -1 }, 400, 'delay_ms'],
  ])('answer a sentence to %s', async (_, method, path, body, status, sentence) => {
    const answer = await call(method, path, body);
    expect(answer.status).toBe(status);
    expect(String((answer.body.error as { message: string }).message)).toContain(sentence);
  });
});

describe('a restart', () => {
  test('keeps people, their ids, apps and bindings', async () => {
    const first = await startWorld();
    const person_id = await first.newPerson('留下的人', '+85251234567');
    await first.call('PUT', `/apps/${app.appid}`, { open_platform: null });
    const before = (await first.call('GET', '/people')).body;
    await first.sandbox.stop();
    const second = await startWorld({ dataDir: first.dataDir });
    expect((await second.call('GET', '/people')).body).toEqual(before);
    const { body } = await second.wechat('sns/jscode2session', {
      ...app,
      js_code: await second.code(person_id, 'login-code'),
      grant_type: 'authorization_code',
    });
    expect(body.unionid).toBeUndefined();
    expect(statSync(join(first.dataDir, 'sandbox.json')).mode & 0o777).toBe(0o600);
  });

  test('with a file of before pushes and followers existed keeps its people', async () => {
    const first = await startWorld();
    await first.sandbox.stop();
    const file = join(first.dataDir, 'sandbox.json');
    const { seed, people, apps } = JSON.parse(readFileSync(file, 'utf8'));
    const old = {
      version: 1,
      seed,
      people: people.map(({ closed: _, ...person }: { closed: boolean }) => person),
      apps: apps.map(({ unionid_with_base: _, ...app }: { unionid_with_base: boolean }) => app),
    };
    writeFileSync(file, JSON.stringify(old));
    const second = await startWorld({ dataDir: first.dataDir });
    expect((await second.call('GET', '/people')).body.people).toHaveLength(3);
    const followed = await second.call('POST', '/people/lin-xiaoman/follow', { appid: apps[2].appid });
    expect(followed.body.event).toBe('subscribe');
  });

  test('two sandboxes do not know each other’s people', async () => {
    const openid = async ({ call }: Pick<typeof world, 'call'>) =>
      JSON.stringify(((await call('GET', '/people')).body.people as { identities: unknown }[])[0]?.identities);
    expect(await openid(await startWorld())).not.toBe(await openid(world));
  });

  test('with a damaged file says so in one sentence', () => {
    const dataDir = temporaryFolder();
    writeFileSync(join(dataDir, 'sandbox.json'), '{"version":1,');
    expect(() => createSandbox({ port: 0, dataDir, clock, log })).toThrow(StartupError);
    expect(() => createSandbox({ port: 0, dataDir, clock, log })).toThrow(/sandbox\.json.*Delete it/);
  });

  test('on a taken port fails with the listen error and leaves the file alone', async () => {
    const dataDir = temporaryFolder();
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    const second = createSandbox({ port: (taken.address() as AddressInfo).port, dataDir, clock, log });
    await expect(second.start()).rejects.toMatchObject({ code: 'EADDRINUSE' });
    expect(() => readFileSync(join(dataDir, 'sandbox.json'))).toThrow(/ENOENT/);
    taken.close();
  });

  test('in production is refused', () => {
    const options = { port: 0, dataDir: temporaryFolder(), clock, log, production: true };
    expect(() => createSandbox(options)).toThrow(StartupError);
  });
});

describe('faults', () => {
  const clear = () => call('DELETE', '/faults');

  test('an errcode strikes the next calls only, with the usual text and rid, and uses up no code', async () => {
    await call('PUT', '/faults', { target: 'jscode2session', errcode: -1, times: 2 });
    const text = await code('lin-xiaoman', 'login-code');
    for (let n = 0; n < 2; n++) {
      expect((await login(text)).body).toEqual({ errcode: -1, errmsg: expect.stringMatching(/^system error, rid: /) });
    }
    expect((await login(text)).body.openid).toBeDefined();
  });

  test('without `times` it stays until it is deleted; the path names the API too', async () => {
    await call('PUT', '/faults', { target: 'sns/jscode2session', errcode: 40226, errmsg: 'mine' });
    for (let n = 0; n < 3; n++) expect((await login('x')).body.errmsg).toMatch(/^mine, rid: /);
    expect((await call('GET', '/faults')).body.faults).toEqual([
      { target: 'jscode2session', errcode: 40226, errmsg: 'mine' },
    ]);
    await call('DELETE', '/faults?target=jscode2session');
    expect((await login('x')).body.errcode).toBe(40029);
  });

  test('`wechat` strikes every API of WeChat, and nothing else', async () => {
    await call('PUT', '/faults', { target: 'wechat', status: 502 });
    const answer = await fetch(`${url}/api.weixin.qq.com/cgi-bin/token`);
    expect([answer.status, answer.headers.get('content-type')]).toEqual([502, 'text/html']);
    expect(await answer.text()).toContain('<h1>502</h1>');
    expect((await call('GET', '/people')).status).toBe(200);
    await clear();
  });

  test('a body of one’s own, with its status', async () => {
    await call('PUT', '/faults', { target: 'jscode2session', body: '{"openid":', status: 200, times: 1 });
    const answer = await fetch(`${url}/api.weixin.qq.com/sns/jscode2session`);
    expect([answer.status, await answer.text()]).toEqual([200, '{"openid":']);
  });

  test('a delay, and the true answer after it', async () => {
    await call('PUT', '/faults', { target: 'jscode2session', delay_ms: 150, times: 1 });
    const startedAt = performance.now();
    expect((await login(await code('lin-xiaoman', 'login-code'))).body.openid).toBeDefined();
    expect(performance.now() - startedAt).toBeGreaterThan(145);
  });

  test('a reset connection: before the work the code is still good, after it the code is used', async () => {
    const [before, after] = [await code('lin-xiaoman', 'login-code'), await code('lin-xiaoman', 'login-code')];
    await call('PUT', '/faults', { target: 'jscode2session', reset: true, times: 1 });
    await expect(login(before)).rejects.toThrow();
    expect((await login(before)).body.openid).toBeDefined();
    await call('PUT', '/faults', { target: 'jscode2session', reset: 'after', times: 1 });
    await expect(login(after)).rejects.toThrow();
    expect((await login(after)).body.errcode).toBe(40163);
  });

  test('an SMS gateway’s own code, in its own form', async () => {
    await call('PUT', '/faults', { target: 'aliyun_sms', errcode: 'isv.AMOUNT_NOT_ENOUGH', errmsg: '账户余额不足' });
    const answer = await call('POST', '/dysmsapi.aliyuncs.com/');
    expect(answer.body).toEqual({
      Code: 'isv.AMOUNT_NOT_ENOUGH',
      Message: '账户余额不足',
      RequestId: expect.any(String),
    });
    await call('PUT', '/faults', { target: 'tencent_sms', errcode: 'InternalError.Timeout', times: 1 });
    const tencent = (await call('POST', '/sms.tencentcloudapi.com/')).body.Response as { Error: { Code: string } };
    expect(tencent.Error.Code).toBe('InternalError.Timeout');
    await clear();
  });
});

/** fetch keeps the Host header to itself; a rebound name is played with the plain client. */
function statusWithHost(host: string, path = '/people'): Promise<number> {
  return new Promise((resolve, reject) => {
    request(`${url}${path}`, { headers: { host } }, (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    })
      .on('error', reject)
      .end();
  });
}

describe('other sites', () => {
  test.each(['evil.example', 'localhost.evil.example', '192.168.1.5:3200'])(
    'a rebound Host "%s" is refused',
    async (host) => {
      expect(await statusWithHost(host)).toBe(403);
      expect(await statusWithHost(host, '/api.weixin.qq.com/cgi-bin/token')).toBe(403);
    },
  );

  test('the names of this machine are taken', async () => {
    for (const host of ['localhost:1', '127.0.0.1', '[::1]:9']) expect(await statusWithHost(host)).toBe(200);
  });

  test.each(['https://evil.example', 'http://localhost.evil.example', 'null'])(
    'a page of %s may not post',
    async (origin) => {
      const answer = await call('POST', '/people', { nickname: 'x' }, { origin });
      expect(answer.status).toBe(403);
    },
  );

  test('a page on another port of this machine may use the controls, and only those', async () => {
    const origin = 'http://localhost:3100';
    const preflight = await fetch(`${url}/people/lin-xiaoman/login-code`, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST' },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-origin')).toBe(origin);
    expect(preflight.headers.get('access-control-allow-headers')).toBe('Content-Type');
    const allowed = async (path: string) =>
      (await fetch(`${url}${path}`, { headers: { origin } })).headers.get('access-control-allow-origin');
    expect(await allowed('/inbox')).toBe(origin);
    expect(await allowed('/faults')).toBe(origin);
    expect(await allowed('/')).toBeNull();
    expect(await allowed('/api.weixin.qq.com/sns/jscode2session')).toBeNull();
  });

  test('the sandbox listens on the loopback address alone', async () => {
    const port = Number(new URL(url).port);
    const other = createServer();
    // On every other address the same port is still free.
    await new Promise<void>((resolve, reject) => other.once('error', reject).listen(port, '127.0.0.2', resolve));
    other.close();
  });
});
