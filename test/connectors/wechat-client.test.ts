import { beforeEach, describe, expect, it } from 'vitest';
import { callWechat, type WechatCall, type WechatError } from '../../src/connectors/wechat/client.ts';
import { explain } from '../../src/connectors/wechat/errors.ts';
import { testDatabase } from '../helpers/database.ts';
import { type Answer, closedPort, fakeServer } from './fakes.ts';
import { testServices } from './services.ts';

const { db } = await testDatabase();
const wechat = await fakeServer(() => 'hang');
const secrets = { secret: 'appsecret-5f0e1c7d2b', js_code: 'js-code-0c3Xk2' };
const once = (): WechatCall => ({
  api: 'sns/jscode2session',
  base_url: wechat.base,
  query: secrets,
  repeatable: false,
});
const repeatable = (): WechatCall => ({
  api: 'cgi-bin/stable_token',
  base_url: `${wechat.base}/`,
  body: secrets,
  repeatable: true,
});
const fault = (call = once()) =>
  callWechat(call).then(
    () => expect.unreachable(),
    (error: WechatError) => error,
  );
const answers = (...queue: (Answer | 'reset')[]) => wechat.behave(() => queue.shift() ?? { body: { openid: 'o1' } });

beforeEach(() => {
  wechat.seen.length = 0;
});

describe('a call to WeChat', () => {
  it.each([
    ['JSON sent as text/plain', { body: '{"openid":"o1"}' }],
    ['errcode 0', { body: { errcode: 0, errmsg: 'ok', openid: 'o1' } }],
    ['errcode "0"', { body: { errcode: '0', openid: 'o1' } }],
  ])('reads %s', async (_what, answer) => {
    answers(answer);
    expect(await callWechat(once())).toMatchObject({ openid: 'o1' });
  });

  it.each([
    [40029, { body: { errcode: 40029, errmsg: 'invalid code, rid: 1-2-3' } }],
    [40029, { body: { errcode: '40029', errmsg: 'invalid code' } }],
    [40029, { status: 500, body: { errcode: 40029 } }],
  ])('understands errcode %s', async (errcode, answer) => {
    answers(answer);
    expect(await fault()).toMatchObject({ name: 'WechatError', errcode, kind: 'refused', api: 'sns/jscode2session' });
    expect(wechat.seen).toHaveLength(1);
  });

  it('keeps the path of the base address', async () => {
    answers();
    await callWechat({ ...once(), base_url: `${wechat.base}/api.weixin.qq.com` });
    expect(wechat.seen[0]?.url.pathname).toBe('/api.weixin.qq.com/sns/jscode2session');
  });

  it('does not escape Chinese in a body', async () => {
    answers();
    await callWechat({ ...once(), body: { text: '合一' } });
    expect(wechat.seen[0]).toMatchObject({ method: 'POST', body: '{"text":"合一"}' });
  });
});

describe('C14: WeChat in trouble', () => {
  it.each([
    ['an HTML page', { status: 502, type: 'text/html', body: '<html>502 Bad Gateway</html>' }],
    ['an HTML page with status 200', { type: 'text/html', body: '<html>maintenance</html>' }],
    ['truncated JSON', { body: '{"openid":"o1","session_k' }],
    ['a list', { body: '[]' }],
    ['null', { body: 'null' }],
    ['nothing', { body: '' }],
    ['HTTP 500 with JSON of somebody else', { status: 500, body: '{"error":"x"}' }],
  ])('%s is no answer', async (_what, answer) => {
    answers(answer);
    expect(await fault()).toMatchObject({ kind: 'unreadable', errcode: undefined });
    expect(wechat.seen).toHaveLength(1);
  });

  it('retries -1, twice at most, also for a call that spends a code', async () => {
    answers({ body: { errcode: -1, errmsg: 'system error' } }, { body: { errcode: -1 } });
    expect(await callWechat(once())).toMatchObject({ openid: 'o1' });
    const busy = { body: { errcode: -1, errmsg: 'system error' } };
    answers(busy, busy, busy, busy);
    expect(await fault()).toMatchObject({ errcode: -1 });
    expect(wechat.seen).toHaveLength(3 + 3);
  });

  it('retries a broken connection when repeating does no harm', async () => {
    answers('reset', { status: 502, body: 'bad gateway' });
    expect(await callWechat(repeatable())).toMatchObject({ openid: 'o1' });
    expect(wechat.seen).toHaveLength(3);
  });

  it('does not repeat a call whose code may be spent', async () => {
    answers('reset');
    expect(await fault()).toMatchObject({ kind: 'unreachable' });
    expect(wechat.seen).toHaveLength(1);
  });

  it('does not retry what WeChat has refused', async () => {
    answers({ body: { errcode: 45011, errmsg: 'api minute-quota reach limit  mustslower  retry next minute' } });
    expect(await fault(repeatable())).toMatchObject({ errcode: 45011 });
    expect(wechat.seen).toHaveLength(1);
  });

  it('gives up after five seconds of silence, repeatable or not', async () => {
    wechat.behave(() => 'hang');
    const start = performance.now();
    await Promise.all([fault(), fault(repeatable())]);
    expect(performance.now() - start).toBeLessThan(6_000);
    expect(wechat.seen).toHaveLength(2);
  });

  it('gives up on an answer without end', async () => {
    answers({ body: `{"openid":"${'o'.repeat(1_000_000)}"}` });
    expect(await fault()).toMatchObject({ kind: 'unreachable' });
  });

  it('says nothing of the secrets it sent, whatever WeChat or the network says', async () => {
    const faults: WechatError[] = [];
    const echo = `bad request /sns/jscode2session?secret=${secrets.secret}&js_code=${secrets.js_code}`;
    for (const answer of ['reset', { status: 502, body: echo }, { body: { errcode: 40029, errmsg: echo } }] as const) {
      answers(answer);
      faults.push(await fault());
    }
    faults.push(await fault({ ...once(), base_url: `http://127.0.0.1:${await closedPort()}` }));
    faults.push(await fault({ ...once(), base_url: wechat.base.replace('http:', 'https:') }));
    const services = testServices(db);
    for (const error of faults) {
      const said = explain(error, { log: services.log, appid: 'wx1', connector: 'wechat-miniprogram' });
      services.log.error({ err: said }, 'all of it');
      const everything = [error, said].map((value) => JSON.stringify(value, Object.getOwnPropertyNames(value)));
      expect(everything.join()).not.toMatch(/appsecret-5f0e1c7d2b|js-code-0c3Xk2/);
    }
    expect(services.logged()).toContain('all of it');
    expect(services.logged()).not.toMatch(/appsecret-5f0e1c7d2b|js-code-0c3Xk2/);
  });
});
