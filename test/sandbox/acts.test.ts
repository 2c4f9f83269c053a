/** What simulated people do, and what WeChat's servers push and answer after it. */
import { describe, expect, test } from 'vitest';
import { startReceiver } from './push-receiver.ts';
import { apps, type Json, startWorld } from './world.ts';

const demoUrl = 'http://localhost:3100';
const world = await startWorld({ demoUrl });
const { url, call, wechat, appToken, code, newPerson } = world;
const receiver = await startReceiver();
const { official_account: official, miniprogram, website } = apps;
const push = { url: receiver.url, token: 'AAAAA', format: 'json' };
for (const { appid } of Object.values(apps)) await call('PUT', `/apps/${appid}`, { push });

const act = (person: string, name: string, body: Json = {}) => call('POST', `/people/${person}/${name}`, body);
const messages = () => receiver.take().map(({ body }) => JSON.parse(body) as Json);
const identity = async (person: string, { appid }: { appid: string }) => {
  const people = (await call('GET', '/people')).body.people as { person_id: string; identities: Json[] }[];
  return people.find(({ person_id }) => person_id === person)?.identities.find((entry) => entry.appid === appid);
};
const userInfo = async (person: string) =>
  (
    await wechat('cgi-bin/user/info', {
      access_token: await appToken(official),
      openid: String((await identity(person, official))?.openid),
      lang: 'zh_CN',
    })
  ).body;
const post = async (path: string, body: unknown, app: { appid: string; secret: string }) =>
  (await call('POST', `/api.weixin.qq.com/${path}?access_token=${await appToken(app)}`, body)).body;
const accountCode = (scene: Json, action_name: string) =>
  post('cgi-bin/qrcode/create', { expire_seconds: 300, action_name, action_info: { scene } }, official);
const login = async (person: string) =>
  (
    await wechat('sns/jscode2session', {
      ...miniprogram,
      js_code: await code(person, 'login-code'),
      grant_type: 'authorization_code',
    })
  ).body;

describe('scanning an official account’s code', () => {
  test('follows the account first, with the scene, then only scans', async () => {
    const { ticket, url: address } = await accountCode({ scene_str: 'login.abc' }, 'QR_STR_SCENE');
    const scan = await act('lin-xiaoman', 'scan', { url: address });
    expect(scan.body).toMatchObject({ kind: 'account', appid: official.appid, event: 'subscribe' });
    const { openid, unionid } = (await identity('lin-xiaoman', official)) ?? {};
    const [subscribed] = messages();
    expect(subscribed).toEqual({
      ToUserName: expect.stringMatching(/^gh_[0-9a-f]{12}$/),
      FromUserName: openid,
      CreateTime: expect.any(Number),
      MsgType: 'event',
      Event: 'subscribe',
      EventKey: 'qrscene_login.abc',
      Ticket: ticket,
    });
    expect(await userInfo('lin-xiaoman')).toMatchObject({
      subscribe: 1,
      openid,
      unionid,
      nickname: '',
      subscribe_scene: 'ADD_SCENE_QR_CODE',
      qr_scene_str: 'login.abc',
    });
    expect((await act('lin-xiaoman', 'scan', { ticket })).body.event).toBe('SCAN');
    expect(messages()).toMatchObject([{ Event: 'SCAN', EventKey: 'login.abc', Ticket: ticket }]);
  });

  test('carries a number as digits', async () => {
    const { ticket } = await accountCode({ scene_id: 4294967295 }, 'QR_SCENE');
    await act('chen-jiahe', 'scan', { ticket });
    expect(messages()).toMatchObject([{ Event: 'subscribe', EventKey: 'qrscene_4294967295' }]);
    expect(await userInfo('chen-jiahe')).toMatchObject({ qr_scene: 4294967295, qr_scene_str: '' });
  });

  test('too late is refused, and so is an unknown ticket', async () => {
    const { ticket } = await accountCode({ scene_str: 'late' }, 'QR_STR_SCENE');
    world.pass(300_000);
    expect((await act('lin-xiaoman', 'scan', { ticket })).status).toBe(409);
    expect((await act('lin-xiaoman', 'scan', { ticket: 'gQno' })).status).toBe(400);
    expect(messages()).toEqual([]);
  });
});

describe('following', () => {
  test('without a code has no scene; unfollowing is pushed and ends what the account may know', async () => {
    await act('wang-ruoxi', 'follow', { appid: official.appid });
    expect(messages()).toMatchObject([{ Event: 'subscribe', EventKey: '' }]);
    expect(await userInfo('wang-ruoxi')).toMatchObject({ subscribe: 1, subscribe_scene: 'ADD_SCENE_SEARCH' });
    expect((await act('wang-ruoxi', 'follow', { appid: official.appid })).body).toEqual({ event: null, pushes: [] });
    await act('wang-ruoxi', 'unfollow', { appid: official.appid });
    expect(messages()).toMatchObject([{ Event: 'unsubscribe', EventKey: '' }]);
    const { openid } = (await identity('wang-ruoxi', official)) ?? {};
    expect(await userInfo('wang-ruoxi')).toEqual({ subscribe: 0, openid, tagid_list: [] });
    expect((await act('wang-ruoxi', 'unfollow', { appid: official.appid })).status).toBe(409);
  });

  test('gives no unionid while the account is not bound', async () => {
    const person = await newPerson('未绑定');
    await act(person, 'follow', { appid: official.appid });
    await call('PUT', `/apps/${official.appid}`, { open_platform: null });
    expect(await userInfo(person)).not.toHaveProperty('unionid');
    await call('PUT', `/apps/${official.appid}`, { open_platform: 'sandbox-platform' });
    expect(await userInfo(person)).toHaveProperty('unionid');
  });

  test('is kept over a restart, as is the address of the pushes', async () => {
    const first = await startWorld();
    await first.call('PUT', `/apps/${official.appid}`, { push });
    await first.call('POST', '/people/lin-xiaoman/follow', { appid: official.appid });
    await first.sandbox.stop();
    receiver.take();
    const second = await startWorld({ dataDir: first.dataDir });
    await second.call('POST', '/people/lin-xiaoman/say', { appid: official.appid, text: '还在' });
    expect(messages()).toMatchObject([{ MsgType: 'text', Content: '还在' }]);
  });

  test('user/info refuses a foreign openid, an app of another kind and a missing openid', async () => {
    const access_token = await appToken(official);
    const ask = async (given: Record<string, string>) => (await wechat('cgi-bin/user/info', given)).body.errcode;
    expect(await ask({ access_token, openid: String((await identity('lin-xiaoman', website))?.openid) })).toBe(40003);
    expect(await ask({ access_token })).toBe(41009);
    expect(await ask({ access_token: await appToken(miniprogram), openid: 'o' })).toBe(48001);
  });
});

describe('scanning a mini-program code, or opening a link', () => {
  const phone = (body: Json) => {
    const opened = new URL(String(body.page_url));
    expect(opened.origin + opened.pathname).toBe(`${demoUrl}/miniprogram`);
    const { query = '{}', ...rest } = Object.fromEntries(opened.searchParams);
    return { ...rest, query: JSON.parse(query) };
  };

  test('opens the demo’s phone as that person, with the scene encoded as WeChat hands it over', async () => {
    const scene = 'a=b&c/d?~';
    await fetch(`${url}/api.weixin.qq.com/wxa/getwxacodeunlimit?access_token=${await appToken(miniprogram)}`, {
      method: 'POST',
      body: JSON.stringify({ scene, page: 'pages/login/login' }),
    });
    const { codes } = (await call('GET', `/codes?appid=${miniprogram.appid}`)).body as { codes: Json[] };
    expect(codes[0]).toMatchObject({ kind: 'wxacode', scene, page: 'pages/login/login' });
    const { body } = await act('lin-xiaoman', 'scan', { url: codes[0]?.url });
    expect(body).toMatchObject({ kind: 'miniprogram', appid: miniprogram.appid, path: 'pages/login/login', scene });
    expect(phone(body)).toEqual({
      person_id: 'lin-xiaoman',
      path: 'pages/login/login',
      query: { scene: encodeURIComponent(scene) },
      scene: '1047',
    });
  });

  test('without a page opens the home page, and outlives a restart', async () => {
    const address = `${url}/weixin.qq.com/wxacode?appid=${miniprogram.appid}&scene=abc`;
    expect((await act('lin-xiaoman', 'scan', { url: address })).body).toMatchObject({ path: 'pages/index/index' });
    const unknown = `${url}/weixin.qq.com/wxacode?appid=${website.appid}&scene=abc`;
    expect((await act('lin-xiaoman', 'scan', { url: unknown })).status).toBe(400);
  });

  test('a URL link and a scheme open path and query with their own launch scenes; a late one does not', async () => {
    const goal = { path: 'pages/login/login', query: 't=a%20b&n=1' };
    const until = Math.floor(world.now().getTime() / 1000) + 120;
    const { url_link } = await post('wxa/generate_urllink', { ...goal, expire_time: until }, miniprogram);
    const { openlink } = await post('wxa/generatescheme', { jump_wxa: goal, expire_time: until }, miniprogram);
    const opened = (await act('lin-xiaoman', 'scan', { url: `${url_link}?cq=from%3Dmail` })).body;
    expect(phone(opened)).toMatchObject({ scene: '1194', query: { t: 'a%20b', n: '1', cq: 'from=mail' } });
    expect(phone((await act('chen-jiahe', 'scan', { url: openlink })).body)).toMatchObject({
      person_id: 'chen-jiahe',
      scene: '1065',
      query: { t: 'a%20b', n: '1' },
    });
    world.pass(120_000);
    for (const late of [url_link, openlink]) expect((await act('lin-xiaoman', 'scan', { url: late })).status).toBe(409);
  });

  test('of an authorise page gives the way back, like confirm', async () => {
    const query = new URLSearchParams({
      appid: website.appid,
      redirect_uri: 'http://localhost:3000/back',
      response_type: 'code',
      scope: 'snsapi_login',
      state: 'xyz',
    });
    const { body } = await act('lin-xiaoman', 'scan', { url: `${url}/open.weixin.qq.com/connect/qrconnect?${query}` });
    expect(body).toEqual({ kind: 'authorise', redirect: expect.stringContaining('/back?code=0') });
  });

  test.each([
    ['nothing', {}, 'either url or ticket'],
    ['two things', { url: 'http://a', ticket: 'b' }, 'either url or ticket'],
    ['any other page', { url: 'https://example.com/' }, 'WeChat would not open this'],
  ])('refuses %s', async (_, body, sentence) => {
    const answer = await act('lin-xiaoman', 'scan', body);
    expect([answer.status, JSON.stringify(answer.body)]).toEqual([400, expect.stringContaining(sentence)]);
  });
});

describe('user information', () => {
  test.each([
    ['mini-program', miniprogram, '6'],
    ['website app', website, '301'],
    ['official account', official, '205'],
  ])('taken back from a %s is pushed with its number, the person in OpenID', async (_, app, RevokeInfo) => {
    const { openid, unionid } = (await identity('lin-xiaoman', app)) ?? {};
    receiver.take();
    await act('lin-xiaoman', 'revoke', { appid: app.appid });
    await act('lin-xiaoman', 'revoke', { appid: app.appid, revoke_info: '8' });
    const [usual, phone] = messages();
    expect(usual).toEqual({
      ToUserName: expect.stringMatching(/^gh_/),
      FromUserName: expect.stringMatching(/^o[\w-]{27}$/),
      CreateTime: expect.any(Number),
      MsgType: 'event',
      Event: 'user_authorization_revoke',
      OpenID: openid,
      UnionID: unionid,
      AppID: app.appid,
      RevokeInfo,
    });
    expect(usual?.FromUserName).not.toBe(openid);
    expect(phone?.RevokeInfo).toBe('8');
  });

  test('changed by WeChat is pushed; the new nickname is what userinfo tells', async () => {
    const person = await newPerson('旧名');
    await act(person, 'modify', { appid: website.appid, nickname: '新名' });
    expect(messages()).toMatchObject([{ Event: 'user_info_modified', AppID: website.appid }]);
    const people = (await call('GET', '/people')).body.people as Json[];
    expect(people.find(({ person_id }) => person_id === person)?.nickname).toBe('新名');
  });

  test('carries no UnionID from an app that is not bound', async () => {
    await call('PUT', `/apps/${miniprogram.appid}`, { open_platform: null });
    await act('lin-xiaoman', 'modify', { appid: miniprogram.appid });
    expect(messages()[0]).not.toHaveProperty('UnionID');
    await call('PUT', `/apps/${miniprogram.appid}`, { open_platform: 'sandbox-platform' });
  });

  test('a closed account is told to every app that knew the person, and to no other; it signs in nowhere after', async () => {
    const person = await newPerson('将注销');
    await login(person);
    await act(person, 'follow', { appid: official.appid });
    const waiting = await code(person, 'login-code');
    receiver.take();
    expect(((await act(person, 'close-account')).body.pushes as Json[]).length).toBe(2);
    const told = messages();
    expect(told.map(({ Event }) => Event)).toEqual(Array(2).fill('user_authorization_cancellation'));
    expect(told.map(({ AppID }) => AppID)).toEqual([miniprogram.appid, official.appid]);
    expect(told.map(({ OpenID }) => OpenID)).toEqual([
      (await identity(person, miniprogram))?.openid,
      (await identity(person, official))?.openid,
    ]);
    const exchange = await wechat('sns/jscode2session', {
      ...miniprogram,
      js_code: waiting,
      grant_type: 'authorization_code',
    });
    expect(exchange.body.errcode).toBe(40029);
    for (const [name, appid] of [
      ['login-code', miniprogram.appid],
      ['phone-code', miniprogram.appid],
      ['follow', official.appid],
      ['revoke', website.appid],
    ])
      expect([name, (await act(person, String(name), { appid })).status]).toEqual([name, 409]);
    expect((await act(person, 'close-account')).status).toBe(409);
    expect(await userInfo(person)).toMatchObject({ subscribe: 0 });
  });

  test.each([
    ['follow', website.appid, 'not an official account'],
    ['revoke', 'wx0', 'no app of the sandbox'],
    ['say', official.appid, 'text'],
  ])('%s refuses what it cannot do', async (name, appid, sentence) => {
    const answer = await act('lin-xiaoman', name, { appid });
    expect([answer.status, JSON.stringify(answer.body)]).toEqual([400, expect.stringContaining(sentence)]);
  });

  test('only a follower can write to an account', async () => {
    const person = await newPerson('路人');
    expect((await act(person, 'say', { appid: official.appid, text: '在吗' })).status).toBe(409);
  });
});
