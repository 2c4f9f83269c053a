import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { apps, hour, minute, startWorld } from './world.ts';

const world = await startWorld();
const { wechat, call, code, pass, appToken, newPerson } = world;
const app = apps.miniprogram;
const login = (js_code: string, changes: Record<string, string | undefined> = {}) =>
  wechat('sns/jscode2session', { ...app, js_code, grant_type: 'authorization_code', ...changes });
const rid = /, rid: [0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}$/;

describe('GET sns/jscode2session', () => {
  test('gives openid, unionid and session_key as JSON in text/plain, without an errcode', async () => {
    const answer = await login(await code('lin-xiaoman', 'login-code'));
    expect(answer.status).toBe(200);
    expect(answer.type).toBe('text/plain');
    expect(Object.keys(answer.body).sort()).toEqual(['openid', 'session_key', 'unionid']);
    expect(answer.body.openid).toMatch(/^o[\w-]{27}$/);
    expect(answer.body.unionid).toMatch(/^o[\w-]{27}$/);
    expect(Buffer.from(String(answer.body.session_key), 'base64')).toHaveLength(16);
  });

  test('gives a person the same openid every time and another person another one', async () => {
    const openid = async (person: string) => (await login(await code(person, 'login-code'))).body.openid;
    expect(await openid('lin-xiaoman')).toBe(await openid('lin-xiaoman'));
    expect(await openid('lin-xiaoman')).not.toBe(await openid('chen-jiahe'));
  });

  test.each([
    ['no appid', { appid: undefined }, 41002, 'appid missing'],
    ['an unknown appid', { appid: 'wx0' }, 40013, 'invalid appid'],
    ['no secret', { secret: undefined }, 41004, 'appsecret missing'],
    ['a wrong secret', { secret: 'wrong' }, 40125, 'invalid appsecret'],
    ['no code', { js_code: undefined }, 41008, 'missing code'],
    ['another grant_type', { grant_type: 'password' }, 40002, 'invalid grant_type'],
    ['an invented code', { js_code: 'invented' }, 40029, 'invalid code'],
  ])('refuses %s with HTTP 200 and the errcode', async (_, changes, errcode, errmsg) => {
    const answer = await login(await code('lin-xiaoman', 'login-code'), changes);
    expect(answer.status).toBe(200);
    expect(answer.type).toBe('text/plain');
    expect(answer.body).toEqual({ errcode, errmsg: expect.stringMatching(rid) });
    expect(answer.body.errmsg).toContain(errmsg);
  });

  test('takes a code once: the second time is 40163, and a refusal does not use it up', async () => {
    const text = await code('lin-xiaoman', 'login-code');
    expect((await login(text, { secret: 'wrong' })).body.errcode).toBe(40125);
    expect((await login(text)).body.openid).toBeDefined();
    expect((await login(text)).body.errcode).toBe(40163);
  });

  test('lets one of twenty parallel exchanges of a code succeed', async () => {
    const text = await code('lin-xiaoman', 'login-code');
    const answers = await Promise.all(Array.from({ length: 20 }, () => login(text)));
    expect(answers.filter(({ body }) => body.openid)).toHaveLength(1);
    expect(answers.filter(({ body }) => body.errcode === 40163)).toHaveLength(19);
  });

  test('takes a code for 5 minutes', async () => {
    const [early, late] = [await code('lin-xiaoman', 'login-code'), await code('lin-xiaoman', 'login-code')];
    pass(5 * minute - 2000);
    expect((await login(early)).body.openid).toBeDefined();
    pass(3000);
    expect((await login(late)).body.errcode).toBe(40029);
    expect((await login(early)).body.errcode).toBe(40029);
  });

  test('refuses a phone code, and a code of another mini-program', async () => {
    expect((await login(await code('lin-xiaoman', 'phone-code'))).body.errcode).toBe(40029);
    const other = { appid: 'wxother', secret: 'another-secret', kind: 'miniprogram' };
    await call('PUT', '/apps/wxother', { kind: other.kind, secret: other.secret });
    const foreign = await code('lin-xiaoman', 'login-code', 'wxother');
    expect((await login(foreign)).body.errcode).toBe(40029);
    expect((await login(foreign, other)).body.openid).toBeDefined();
  });

  test('answers 40226 for a person whom WeChat takes for a risk', async () => {
    const person = await newPerson('风险');
    await call('PUT', `/people/${person}`, { blocked: true });
    expect((await login(await code(person, 'login-code'))).body.errcode).toBe(40226);
  });

  test('answers 45011 to the 101st exchange of one person in a minute, and to nobody else', async () => {
    const person = await newPerson('频繁');
    for (let n = 0; n < 100; n++) expect((await login(await code(person, 'login-code'))).body.errcode).toBeUndefined();
    expect((await login(await code(person, 'login-code'))).body.errcode).toBe(45011);
    expect((await login(await code('chen-jiahe', 'login-code'))).body.errcode).toBeUndefined();
    await call('PUT', '/faults', { target: 'jscode2session', limits: 'off' });
    expect((await login(await code(person, 'login-code'))).body.errcode).toBeUndefined();
    await call('DELETE', '/faults');
    expect((await login(await code(person, 'login-code'))).body.errcode).toBe(45011);
    pass(minute);
    expect((await login(await code(person, 'login-code'))).body.errcode).toBeUndefined();
  });
});

describe('unionid', () => {
  const ids = async (appid: { appid: string; secret: string } = app) =>
    (await login(await code('chen-jiahe', 'login-code', appid.appid), appid)).body;

  test('is absent while the app is not bound, and comes late when it is', async () => {
    const before = await ids();
    expect((await call('PUT', `/apps/${app.appid}`, { open_platform: null })).body.open_platform).toBeNull();
    expect(await ids()).toEqual({ openid: before.openid, session_key: expect.any(String) });
    await call('PUT', `/apps/${app.appid}`, { open_platform: 'sandbox-platform' });
    expect((await ids()).unionid).toBe(before.unionid);
  });

  test('is one for all apps of an account, and another one under another account', async () => {
    const second = { appid: 'wxsecond', secret: 'second-secret' };
    await call('PUT', '/apps/wxsecond', {
      kind: 'miniprogram',
      secret: second.secret,
      open_platform: 'sandbox-platform',
    });
    const [first, other] = [await ids(), await ids(second)];
    expect(other.unionid).toBe(first.unionid);
    expect(other.openid).not.toBe(first.openid);
    await call('PUT', '/apps/wxsecond', { open_platform: 'another-platform' });
    const moved = await ids(second);
    expect(moved.unionid).not.toBe(first.unionid);
    expect(moved.openid).toBe(other.openid);
  });
});

describe('cgi-bin/token and cgi-bin/stable_token', () => {
  const plain = async () => (await wechat('cgi-bin/token', { ...app, grant_type: 'client_credential' })).body;
  const stable = async (changes: Record<string, unknown> = {}) =>
    (
      await call('POST', '/api.weixin.qq.com/cgi-bin/stable_token', {
        ...app,
        grant_type: 'client_credential',
        ...changes,
      })
    ).body;
  /** 41009 means that the token was accepted and only the openid is missing. */
  const stateOf = async (token: unknown) =>
    (await wechat('wxa/checksession', { access_token: String(token) })).body.errcode;
  const accepted = 41009;

  test.each([
    ['token without grant_type', () => wechat('cgi-bin/token', app), 40002],
    [
      'token of an unknown app',
      () => wechat('cgi-bin/token', { ...app, appid: 'wx0', grant_type: 'client_credential' }),
      40013,
    ],
    [
      'token with a wrong secret',
      () => wechat('cgi-bin/token', { ...app, secret: 'no', grant_type: 'client_credential' }),
      40125,
    ],
    ['stable_token by GET', () => wechat('cgi-bin/stable_token'), 43002],
    ['stable_token without a body', () => call('POST', '/api.weixin.qq.com/cgi-bin/stable_token'), 44002],
    [
      'stable_token with a body that is not JSON',
      () => call('POST', '/api.weixin.qq.com/cgi-bin/stable_token', 'a=b'),
      47001,
    ],
    ['stable_token without appid', async () => ({ body: await stable({ appid: undefined }) }), 41002],
    ['stable_token without secret', async () => ({ body: await stable({ secret: undefined }) }), 41004],
    ['stable_token with a wrong secret', async () => ({ body: await stable({ secret: 'no' }) }), 40125],
    ['stable_token with another grant_type', async () => ({ body: await stable({ grant_type: 'x' }) }), 40002],
    ['an unknown path', () => wechat('wxa/nothing'), 40066],
  ])('refuses %s', async (_, send, errcode) => {
    expect((await send()).body).toEqual({ errcode, errmsg: expect.stringMatching(rid) });
  });

  test('a new token voids its predecessor after 5 minutes and leaves the stable one alone', async () => {
    const [stableToken, first, second] = [await stable(), await plain(), await plain()];
    expect(first.expires_in).toBe(7200);
    expect(second.access_token).not.toBe(first.access_token);
    expect(await stateOf(first.access_token)).toBe(accepted);
    pass(5 * minute + 1000);
    expect(await stateOf(first.access_token)).toBe(40001);
    expect(await stateOf(second.access_token)).toBe(accepted);
    expect(await stateOf(stableToken.access_token)).toBe(accepted);
  });

  test('stable_token gives the same token with the seconds that remain, until 5 minutes before its end', async () => {
    pass(3 * hour);
    const first = await stable();
    expect(first).toEqual({ access_token: expect.any(String), expires_in: 7200 });
    pass(hour);
    const again = await stable();
    expect(again.access_token).toBe(first.access_token);
    expect(Number(again.expires_in)).toBeGreaterThan(3590);
    expect(Number(again.expires_in)).toBeLessThanOrEqual(3600);
    pass(56 * minute);
    expect((await stable()).access_token).not.toBe(first.access_token);
    expect(await stateOf(first.access_token)).toBe(accepted);
    pass(5 * minute);
    expect(await stateOf(first.access_token)).toBe(42001);
  });

  test('force_refresh voids the old token at once, at most every 30 seconds and 20 times a day', async () => {
    pass(24 * hour);
    const first = await stable();
    const forced = await stable({ force_refresh: true });
    expect(await stateOf(first.access_token)).toBe(40001);
    expect((await stable({ force_refresh: true })).access_token).toBe(forced.access_token);
    // The vendor's day must not turn while the twenty are counted.
    const untilNextDay = 24 * hour - ((world.now().getTime() + 8 * hour) % (24 * hour));
    pass(untilNextDay);
    for (let n = 0; n < 20; n++) {
      pass(31_000);
      expect((await stable({ force_refresh: true })).errcode).toBeUndefined();
    }
    pass(31_000);
    expect((await stable({ force_refresh: true })).errcode).toBe(45009);
    expect((await stable()).errcode).toBeUndefined();
    pass(24 * hour);
    expect((await stable({ force_refresh: true })).errcode).toBeUndefined();
  });

  test.each([
    ['no token', undefined, 41001],
    ['a token of a wrong shape', 'abc', 40014],
    ['a token that was never given', `12_${'a'.repeat(136)}`, 40001],
  ])('an API refuses %s', async (_, access_token, errcode) => {
    expect((await wechat('wxa/checksession', { access_token })).body.errcode).toBe(errcode);
  });

  test('an app with an IP list answers 40164 to others', async () => {
    await call('PUT', `/apps/${app.appid}`, { ip_whitelist: ['203.0.113.7'] });
    const refused = await stable();
    expect(refused.errcode).toBe(40164);
    expect(refused.errmsg).toContain('invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist');
    await call('PUT', `/apps/${app.appid}`, { ip_whitelist: ['127.0.0.1'] });
    expect((await stable()).errcode).toBeUndefined();
    await call('PUT', `/apps/${app.appid}`, { ip_whitelist: [] });
  });
});

describe('POST wxa/business/getuserphonenumber', () => {
  const path = '/api.weixin.qq.com/wxa/business/getuserphonenumber';
  const phone = async (body: unknown, token?: string) =>
    call('POST', `${path}?access_token=${token ?? (await appToken())}`, body);

  test('gives the number of the moment of the tap, with errcode 0 and JSON', async () => {
    const answer = await phone({ code: await code('lin-xiaoman', 'phone-code') });
    expect(answer.type).toContain('application/json');
    expect(answer.body).toEqual({
      errcode: 0,
      errmsg: 'ok',
      phone_info: {
        phoneNumber: '13800138000',
        purePhoneNumber: '13800138000',
        countryCode: '86',
        watermark: { timestamp: expect.any(Number), appid: app.appid },
      },
    });
  });

  test('splits a foreign number', async () => {
    const person = await newPerson('阿强', '+85251234567');
    const answer = await phone({ code: await code(person, 'phone-code') });
    expect(answer.body.phone_info).toMatchObject({
      phoneNumber: '85251234567',
      purePhoneNumber: '51234567',
      countryCode: '852',
    });
  });

  test('takes a code once and for 5 minutes: then 40029, never 40163', async () => {
    const [used, old] = [await code('lin-xiaoman', 'phone-code'), await code('lin-xiaoman', 'phone-code')];
    expect((await phone({ code: used })).body.errcode).toBe(0);
    expect((await phone({ code: used })).body.errcode).toBe(40029);
    pass(5 * minute + 1000);
    expect((await phone({ code: old })).body.errcode).toBe(40029);
  });

  test('checks the openid without using up the code', async () => {
    const text = await code('lin-xiaoman', 'phone-code');
    const openid = async (person: string) => String((await login(await code(person, 'login-code'))).body.openid);
    expect((await phone({ code: text, openid: await openid('chen-jiahe') })).body.errcode).toBe(40029);
    expect((await phone({ code: text, openid: 'no openid' })).body.errcode).toBe(40003);
    expect((await phone({ code: text, openid: await openid('lin-xiaoman') })).body.errcode).toBe(0);
  });

  test('refuses a code of another app, a login code, no code, a stale token and GET', async () => {
    const text = await code('lin-xiaoman', 'phone-code');
    expect((await phone({ code: text }, await appToken(apps.website))).body.errcode).toBe(40013);
    expect((await phone({ code: await code('lin-xiaoman', 'login-code') })).body.errcode).toBe(40029);
    expect((await phone({})).body.errcode).toBe(41008);
    expect((await phone({ code: text }, `12_${'a'.repeat(136)}`)).body.errcode).toBe(40001);
    expect((await wechat('wxa/business/getuserphonenumber')).body.errcode).toBe(43002);
  });
});

describe('GET wxa/checksession', () => {
  const check = async (openid: unknown, session_key: unknown, sig_method = 'hmac_sha256') => {
    const signature = createHmac('sha256', String(session_key)).update('').digest('hex');
    return (
      await wechat('wxa/checksession', {
        access_token: await appToken(),
        openid: String(openid),
        signature,
        sig_method,
      })
    ).body.errcode;
  };

  test('knows the key of the last login, with the key as its base64 text', async () => {
    const { openid, session_key } = (await login(await code('wang-ruoxi', 'login-code'))).body;
    expect(await check(openid, session_key)).toBe(0);
    expect(await check(openid, 'AAAAAAAAAAAAAAAAAAAAAA==')).toBe(87009);
    expect(await check(openid, session_key, 'md5')).toBe(87008);
    expect(await check('o'.repeat(28), session_key)).toBe(40003);
  });

  test('a key rotates at wx.login only when the app is set so, and dies of three idle days', async () => {
    const first = (await login(await code('wang-ruoxi', 'login-code'))).body;
    expect((await login(await code('wang-ruoxi', 'login-code'))).body.session_key).toBe(first.session_key);
    await call('PUT', `/apps/${app.appid}`, { rotate_session_key: true });
    const second = (await login(await code('wang-ruoxi', 'login-code'))).body;
    await call('PUT', `/apps/${app.appid}`, { rotate_session_key: false });
    expect(second.session_key).not.toBe(first.session_key);
    expect(await check(first.openid, first.session_key)).toBe(87009);
    pass(73 * hour);
    expect(await check(second.openid, second.session_key)).toBe(87007);
  });
});
