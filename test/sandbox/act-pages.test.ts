/** The sandbox as people use it: buttons on a person's card, the scan box, codes and links in a browser, the push log. */
import { describe, expect, test } from 'vitest';
import { startReceiver } from './push-receiver.ts';
import { apps, type Json, startWorld } from './world.ts';

const demoUrl = 'http://localhost:3100';
const { url, call, appToken, newPerson } = await startWorld({ demoUrl });
const receiver = await startReceiver();
const { official_account: official, miniprogram, website } = apps;
await call('PUT', `/apps/${official.appid}`, { push: { url: receiver.url, token: 'AAAAA', format: 'json' } });

const html = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };
const read = async (path: string) => (await fetch(new URL(path, url), { headers: html })).text();
async function post(path: string, fields: Record<string, string>) {
  const answer = await fetch(new URL(path, url), {
    method: 'POST',
    body: new URLSearchParams(fields),
    redirect: 'manual',
    headers: { ...html, origin: url },
  });
  return { status: answer.status, location: answer.headers.get('location') ?? '', text: await answer.text() };
}
const events = () => receiver.take().map(({ body }) => (JSON.parse(body) as Json).Event ?? 'text');
const create = async (path: string, body: Json, app: { appid: string; secret: string }) =>
  (await call('POST', `/api.weixin.qq.com/${path}?access_token=${await appToken(app)}`, body)).body;
const accountCode = () =>
  create(
    'cgi-bin/qrcode/create',
    { action_name: 'QR_STR_SCENE', action_info: { scene: { scene_str: 'login-abc' } } },
    official,
  );

describe('a person’s card', () => {
  test('follows, writes, takes back, is changed and unfollows by its buttons, and shows the pushes after', async () => {
    receiver.take();
    const at = (act: string) => `/page/people/chen-jiahe/${act}?lang=en`;
    expect((await post(at('follow'), { appid: official.appid })).location).toBe('/pushes?lang=en');
    expect(await read('/')).toMatch(/chen-jiahe\/unfollow[\s\S]*取消关注/);
    await post(at('say'), { appid: official.appid, text: '在吗' });
    await post(at('revoke'), { appid: official.appid, revoke_info: '' });
    await post(at('modify'), { appid: official.appid });
    await post(at('unfollow'), { appid: official.appid });
    expect(events()).toEqual(['subscribe', 'text', 'user_authorization_revoke', 'user_info_modified', 'unsubscribe']);
  });

  test('without a push address goes back to the people', async () => {
    await call('PUT', `/apps/${website.appid}`, { push: null });
    expect((await post('/page/people/chen-jiahe/revoke', { appid: website.appid })).location).toBe('/#people');
  });

  test('of a closed account offers nothing more, and nobody scans with it', async () => {
    const person = await newPerson('已注销的人');
    await post(`/page/people/${person}/close-account`, {});
    const page = await read('/');
    expect(page).toContain('微信已注销');
    expect(page).not.toContain(`/page/people/${person}/`);
    expect(page).not.toContain(`<option value="${person}">`);
  });
});

describe('the scan box', () => {
  test('lists what was made lately, follows with it, and says what was pushed', async () => {
    receiver.take();
    const { ticket } = await accountCode();
    expect(await read('/')).toContain(`<option value="${ticket}">公众号二维码 · login-abc`);
    const done = await post('/page/scan', { person_id: 'wang-ruoxi', recent: String(ticket), address: '' });
    expect(done.text).toMatch(/王若溪 关注了“演示服务号”[\s\S]*已把事件推送/);
    expect(events()).toEqual(['subscribe']);
    const again = await post('/page/scan?lang=en', { person_id: 'wang-ruoxi', recent: '', address: ` ${ticket} ` });
    expect(again.text).toContain('王若溪 scanned the code of');
  });

  test('leads to the demo’s phone for a link, and to the callback for an authorise page', async () => {
    const { url_link } = await create('wxa/generate_urllink', { expire_type: 1, expire_interval: 1 }, miniprogram);
    const opened = await post('/page/scan', { person_id: 'lin-xiaoman', address: String(url_link) });
    expect(opened.status).toBe(303);
    expect(opened.location).toContain(`${demoUrl}/miniprogram?person_id=lin-xiaoman&path=pages%2Findex%2Findex`);
    const address = `https://open.weixin.qq.com/connect/qrconnect?${authorise()}`;
    const back = await post('/page/scan', { person_id: 'lin-xiaoman', address });
    expect(back.location).toMatch(/^http:\/\/localhost:3000\/back\?code=0/);
  });

  test('says what is wrong, with what was typed', async () => {
    const refused = await post('/page/scan', { person_id: 'lin-xiaoman', address: 'https://example.com/"' });
    expect(refused.status).toBe(400);
    expect(refused.text).toMatch(/value="https:\/\/example\.com\/&quot;"[\s\S]*沙箱不认识这个码/);
  });
});

function authorise(more: Record<string, string> = {}) {
  return new URLSearchParams({
    appid: website.appid,
    redirect_uri: 'http://localhost:3000/back',
    response_type: 'code',
    scope: 'snsapi_login',
    state: 'xyz',
    ...more,
  });
}

describe('a code or a link in a browser', () => {
  test('asks whose phone it is, in both languages, and goes on as that person', async () => {
    const body = { path: 'pages/login/login', query: 't=a%20b', expire_type: 1, expire_interval: 1 };
    const { url_link } = await create('wxa/generate_urllink', body, miniprogram);
    expect(await read(String(url_link))).toMatch(/打开小程序“演示小程序”[\s\S]*t=a%20b[\s\S]*1194[\s\S]*林小满/);
    expect(await read(`${url_link}?lang=en`)).toContain('Open the mini-program');
    const { location } = await post(String(url_link), { person_id: 'lin-xiaoman' });
    expect(JSON.parse(new URL(location).searchParams.get('query') ?? '')).toEqual({ t: 'a%20b' });
  });

  test('of an account follows it', async () => {
    const { url: address } = await accountCode();
    expect(await read(String(address))).toMatch(/关注“演示服务号”[\s\S]*login-abc/);
    expect((await post(String(address), { person_id: 'lin-xiaoman' })).text).toContain('林小满 关注了');
  });

  test('that nobody made is a page that says so', async () => {
    for (const path of ['/wxaurl.cn/none', '/weixin.qq.com/q/none', '/weixin.qq.com/wxacode?appid=wx0&scene=a'])
      expect(await read(path)).toContain('没有这个码');
  });

  test('of another company’s mini-program shows what would open, as no phone is here for it', async () => {
    const secret = 'secret-of-another';
    await call('PUT', '/apps/wxanother', { kind: 'miniprogram', secret });
    const page = await post('/weixin.qq.com/wxacode?appid=wxanother&scene=abc', { person_id: 'lin-xiaoman' });
    expect(page.text).toMatch(/小程序“wxanother”会打开这一页[\s\S]*abc/);
  });
});

describe('the push log', () => {
  test('is JSON for programs and a page for people, with each try and the reply', async () => {
    const reply = '{"MsgType":"text","Content":"您好<b>"}';
    let calls = 0;
    receiver.answer(() => (++calls === 1 ? { status: 500 } : { body: reply }));
    await post('/page/people/lin-xiaoman/say', { appid: official.appid, text: '在吗' });
    await expect.poll(() => read('/pushes')).toContain('有回复');
    const page = await read('/pushes');
    expect(page).toMatch(/对方返回 HTTP 500。[\s\S]*第 2 次: 有回复/);
    expect(page).toContain('您好&lt;b&gt;');
    expect(await read('/pushes?lang=en')).toContain('It answered HTTP 500.');
    const { pushes } = (await call('GET', `/pushes?appid=${official.appid}`)).body as { pushes: Json[] };
    expect(pushes[0]).toMatchObject({ event: 'text', state: 'delivered' });
    expect((await call('GET', '/pushes?appid=wx0')).body).toEqual({ pushes: [] });
  });
});

describe('the push setting of an app', () => {
  const save = (fields: Record<string, string>) =>
    post(`/page/apps/${miniprogram.appid}/push`, {
      url: receiver.url,
      token: 'AAAAA',
      encoding_aes_key: '',
      mode: 'plain',
      format: 'json',
      ...fields,
    });

  test('is verified and saved, or says what is wrong and keeps what was typed; it can be switched off', async () => {
    receiver.answer(({ query }) => ({ body: query.echostr ?? 'success' }));
    const refused = await save({ mode: 'secure', token: 'BBBBB' });
    expect(refused.status).toBe(400);
    expect(refused.text).toMatch(/value="BBBBB"[\s\S]*EncodingAESKey 须为 43 位/);
    receiver.answer(() => ({ body: 'nothing' }));
    expect((await save({})).text).toMatch(/而不是 echostr/);
    receiver.answer(({ query }) => ({ body: query.echostr ?? 'success' }));
    expect((await save({})).location).toBe('/#apps');
    const app = async () =>
      ((await call('GET', '/apps')).body.apps as Json[]).find(({ appid }) => appid === miniprogram.appid);
    expect((await app())?.push).toMatchObject({ url: receiver.url });
    await save({ off: '1' });
    expect((await app())?.push).toBeNull();
  });
});

describe('every page of the sandbox', () => {
  test('has no sentence left out and no inline script, in both languages', async () => {
    const { url: address } = await accountCode();
    const qr = `/open.weixin.qq.com/connect/qrconnect?${authorise()}`;
    const wechat = `/open.weixin.qq.com/connect/oauth2/authorize?${authorise({ appid: official.appid, scope: 'snsapi_userinfo' })}`;
    for (const path of ['/', '/pushes', String(address), qr, wechat])
      for (const lang of ['zh-CN', 'en']) {
        const page = await read(`${path}${path.includes('?') ? '&' : '?'}lang=${lang}`);
        expect(page).toContain(`<html lang="${lang}">`);
        expect(page).not.toMatch(/>\s*[a-z]+\.[a-z_.]+\s*<|undefined|\[object/);
        expect(page).not.toMatch(/<script(?![^>]*src=)|\son\w+=|style="/);
      }
  });
});
