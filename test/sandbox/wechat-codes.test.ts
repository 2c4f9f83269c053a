/** Codes and links that bring somebody into a mini-program, and an official account's code with a parameter. */
import { describe, expect, test } from 'vitest';
import { readQrPicture } from '../helpers/qr-picture.ts';
import { apps, hour, type Json, minute, startWorld } from './world.ts';

const { url, call, wechat, appToken, pass, atOnce, now } = await startWorld();
const { miniprogram, official_account: official, website } = apps;

const post = async (path: string, body: unknown, app: { appid: string; secret: string } = miniprogram) =>
  (await call('POST', `/api.weixin.qq.com/${path}?access_token=${await appToken(app)}`, body)).body;
const second = () => Math.floor(now().getTime() / 1000);

async function wxacode(body: Json) {
  const answer = await fetch(
    `${url}/api.weixin.qq.com/wxa/getwxacodeunlimit?access_token=${await appToken(miniprogram)}`,
    { method: 'POST', body: JSON.stringify(body) },
  );
  return { type: answer.headers.get('content-type'), bytes: Buffer.from(await answer.arrayBuffer()) };
}

describe('POST wxa/getwxacodeunlimit', () => {
  test('answers a picture of the width asked for, which a phone reads as app, page and scene', async () => {
    const scene = 'AbCdEfGhIjKlMnOpQrSt_-';
    const { type, bytes } = await wxacode({ scene, page: 'pages/login/login', width: 280, env_version: 'trial' });
    expect(type).toBe('image/png');
    const { text, width } = readQrPicture(bytes);
    expect(width).toBe(280);
    const read = new URL(text);
    expect(read.origin).toBe(url);
    expect(Object.fromEntries(read.searchParams)).toEqual({
      appid: miniprogram.appid,
      page: 'pages/login/login',
      scene,
      env_version: 'trial',
    });
    expect(readQrPicture((await wxacode({ scene })).bytes).width).toBe(430);
  });

  test('takes exactly the characters of the vendor’s list, up to 32 of them', async () => {
    const readScene = async (scene: string) =>
      new URL(readQrPicture((await wxacode({ scene })).bytes).text).searchParams.get('scene');
    for (const scene of ["!#$&'()*+,/:;=?@-._~aZ9", 'x'.repeat(32)]) expect(await readScene(scene)).toBe(scene);
    for (const scene of ['x'.repeat(33), 'a%20b', 'a b', '登录', '', undefined])
      expect(await post('wxa/getwxacodeunlimit', { scene })).toMatchObject({ errcode: 40129 });
  });

  test.each([
    ['a page that the released version lacks', { page: 'pages/new/new' }, 41030],
    ['a page with a slash before it', { page: '/pages/login/login' }, 41030],
    ['a page with a query', { page: 'pages/login/login?a=1', check_path: false }, 40097],
    ['an unknown version', { env_version: 'beta' }, 40097],
    ['a width that is too small', { width: 279 }, 40097],
    ['a width that is too great', { width: 1281 }, 40097],
    ['a width that is no number', { width: '430' }, 47001],
  ])('refuses %s', async (_, changes, errcode) => {
    const answer = await post('wxa/getwxacodeunlimit', { scene: 'a', ...changes });
    expect(answer).toEqual({ errcode, errmsg: expect.stringMatching(/, rid: /) });
  });

  test('draws the code of an unreleased page when check_path is off', async () => {
    const { bytes } = await wxacode({ scene: 'a', page: 'pages/new/new', check_path: false });
    expect(readQrPicture(bytes).text).toContain('pages%2Fnew%2Fnew');
  });

  test('refuses an app of another kind, a missing token, GET, and what a fault says', async () => {
    expect(await post('wxa/getwxacodeunlimit', { scene: 'a' }, website)).toMatchObject({ errcode: 48001 });
    expect((await call('POST', '/api.weixin.qq.com/wxa/getwxacodeunlimit', { scene: 'a' })).body.errcode).toBe(41001);
    expect((await wechat('wxa/getwxacodeunlimit')).body.errcode).toBe(43002);
    await call('PUT', '/faults', { target: 'wxa/getwxacodeunlimit', errcode: 45009, times: 1 });
    expect(await post('wxa/getwxacodeunlimit', { scene: 'a' })).toMatchObject({ errcode: 45009 });
  });
});

describe('POST wxa/generate_urllink and wxa/generatescheme', () => {
  const link = (changes: Json = {}) =>
    post('wxa/generate_urllink', {
      path: '/pages/login/login',
      query: 't=abc',
      expire_type: 1,
      expire_interval: 1,
      ...changes,
    });

  test('give an address of this sandbox, and a scheme', async () => {
    expect(await link()).toEqual({
      errcode: 0,
      errmsg: 'ok',
      url_link: expect.stringMatching(new RegExp(`^${url}/wxaurl\\.cn/\\w{12}$`)),
    });
    const jump_wxa = { path: 'pages/login/login', query: 't=abc' };
    const scheme = { jump_wxa, expire_type: 0, expire_time: second() + 3600 };
    expect(await post('wxa/generatescheme', scheme)).toEqual({
      errcode: 0,
      errmsg: 'ok',
      openlink: expect.stringMatching(/^weixin:\/\/dl\/business\/\?t=\w{32}$/),
    });
  });

  test.each<[string, () => Json, number]>([
    ['no end', () => ({ expire_type: 0 }), 85401],
    ['an end in less than a minute', () => ({ expire_type: 0, expire_time: second() + 30 }), 85401],
    ['an end after 30 days', () => ({ expire_type: 0, expire_time: second() + 31 * 24 * 3600 }), 85401],
    ['31 days', () => ({ expire_interval: 31 }), 85401],
    ['an unknown version', () => ({ env_version: 'beta' }), 85402],
    ['an unknown page', () => ({ path: 'pages/new/new' }), 40165],
    ['a query within the path', () => ({ path: 'pages/login/login?a=1' }), 40165],
    ['a query over 1024 characters', () => ({ query: 'x'.repeat(1025) }), 40212],
    ['a query with unescaped Chinese', () => ({ query: 'name=林' }), 40212],
  ])('refuse %s', async (_, changes, errcode) => {
    expect(await link(changes())).toMatchObject({ errcode });
    const { path = 'pages/login/login', query = '', env_version = 'release', ...expiry } = changes();
    const scheme = { jump_wxa: { path, query, env_version }, expire_type: 1, expire_interval: 1, ...expiry };
    expect(await post('wxa/generatescheme', scheme)).toMatchObject({ errcode });
  });

  test('refuse the 101st of one second, and what a fault says', async () => {
    pass(5000);
    const answers = await atOnce(() => Promise.all(Array.from({ length: 110 }, () => link())));
    expect(answers.filter(({ errcode }) => errcode === 44990)).toHaveLength(10);
    pass(5000);
    await call('PUT', '/faults', { target: 'generate_urllink', errcode: 85407, times: 1 });
    expect(await link()).toMatchObject({ errcode: 85407 });
  });
});

describe('an official account’s code with a parameter', () => {
  const create = (body: Json, app = official) => post('cgi-bin/qrcode/create', body, app);
  const text = (scene_str: string) => ({ action_name: 'QR_STR_SCENE', action_info: { scene: { scene_str } } });

  test('comes as ticket, life and address; its picture holds the address', async () => {
    const answer = await create({ ...text('login.abc'), expire_seconds: 300 });
    expect(answer).toEqual({
      ticket: expect.stringMatching(/^gQ\w{70,}==$/),
      expire_seconds: 300,
      url: expect.stringMatching(new RegExp(`^${url}/weixin\\.qq\\.com/q/02\\w+$`)),
    });
    const show = `${url}/mp.weixin.qq.com/cgi-bin/showqrcode?ticket=${encodeURIComponent(String(answer.ticket))}`;
    const picture = await fetch(show);
    expect(picture.headers.get('content-type')).toBe('image/png');
    expect(readQrPicture(Buffer.from(await picture.arrayBuffer())).text).toBe(answer.url);
    pass(5 * minute);
    expect((await fetch(show)).status).toBe(404);
    expect((await fetch(`${url}/mp.weixin.qq.com/cgi-bin/showqrcode?ticket=no`)).status).toBe(404);
  });

  test('lives a minute unless told otherwise; a permanent one has no end', async () => {
    expect(await create(text('a'))).toMatchObject({ expire_seconds: 60 });
    const lasting = await create({ ...text('a'), action_name: 'QR_LIMIT_STR_SCENE' });
    expect(lasting).not.toHaveProperty('expire_seconds');
    pass(31 * 24 * hour);
    const show = `/mp.weixin.qq.com/cgi-bin/showqrcode?ticket=${encodeURIComponent(String(lasting.ticket))}`;
    expect((await fetch(`${url}${show}`)).status).toBe(200);
  });

  const number = (action_name: string, scene_id: unknown) => ({ action_name, action_info: { scene: { scene_id } } });
  test.each<[string, Json, number | undefined]>([
    ['the greatest number that expires', number('QR_SCENE', 4294967295), undefined],
    ['the greatest permanent number', number('QR_LIMIT_SCENE', 100_000), undefined],
    ['a permanent number over 100000', number('QR_LIMIT_SCENE', 100_001), 40053],
    ['a zero', number('QR_SCENE', 0), 40053],
    ['a text where a number belongs', number('QR_SCENE', 'a'), 47001],
    ['a text of 65 characters', text('字'.repeat(65)), 40053],
    ['an empty text', text(''), 40053],
    ['no scene', { action_name: 'QR_STR_SCENE' }, 40053],
    ['an unknown action', { action_name: 'QR_CODE' }, 40052],
    ['a life over 30 days', { ...text('a'), expire_seconds: 2_592_001 }, 40097],
  ])('%s', async (_, body, errcode) => {
    expect((await create(body)).errcode).toBe(errcode);
  });

  test('is not for a mini-program', async () => {
    expect(await create(text('a'), miniprogram)).toMatchObject({ errcode: 48001 });
  });

  test('obeys faults, by its path or by its name', async () => {
    await call('PUT', '/faults', { target: 'cgi-bin/qrcode/create', errcode: 45009, times: 1 });
    expect(await create(text('a'))).toMatchObject({ errcode: 45009 });
    await call('PUT', '/faults', { target: 'user_info', errcode: -1, times: 1 });
    expect((await wechat('cgi-bin/user/info')).body.errcode).toBe(-1);
  });
});
