import { describe, expect, test } from 'vitest';
import { apps, hour, minute, startWorld } from './world.ts';

const { url, call, wechat, pass } = await startWorld();
const { website, official_account: official } = apps;
const callback = 'http://localhost:3000/wechat/callback?from=heyi';

const pages = {
  qrconnect: { path: 'connect/qrconnect', appid: website.appid, scope: 'snsapi_login' },
  authorize: { path: 'connect/oauth2/authorize', appid: official.appid, scope: 'snsapi_userinfo' },
};
function page(
  kind: keyof typeof pages,
  changes: Record<string, string> = {},
  host = `${url}/open.weixin.qq.com`,
): string {
  const { path, ...given } = pages[kind];
  const query = new URLSearchParams({
    redirect_uri: callback,
    response_type: 'code',
    state: 'xyz',
    ...given,
    ...changes,
  });
  return `${host}/${path}?${query}#wechat_redirect`;
}
const confirm = (address: string, more: Record<string, unknown> = {}) =>
  call('POST', '/people/lin-xiaoman/confirm', { url: address, ...more });
const redirect = async (address: string) => new URL(String((await confirm(address)).body.redirect));
const codeOf = async (address: string) => (await redirect(address)).searchParams.get('code') ?? '';
const exchange = (
  code: string,
  app: { appid: string; secret: string } = website,
  changes: Record<string, string> = {},
) => wechat('sns/oauth2/access_token', { ...app, code, grant_type: 'authorization_code', ...changes });

describe('an authorise page, confirmed', () => {
  test('sends the browser back with a code, the state unchanged and the query kept', async () => {
    const back = await redirect(page('qrconnect', { state: 'a b&c' }));
    expect(back.origin + back.pathname).toBe('http://localhost:3000/wechat/callback');
    expect(back.searchParams.get('from')).toBe('heyi');
    expect(back.searchParams.get('state')).toBe('a b&c');
    expect(back.searchParams.get('code')).toMatch(/^0[\w-]{20,}$/);
  });

  test('is understood under the real address too', async () => {
    expect(await codeOf(page('qrconnect', {}, 'https://open.weixin.qq.com'))).not.toBe('');
  });

  test('sends back without a code when the person refuses', async () => {
    const { body } = await confirm(page('qrconnect'), { deny: true });
    expect(body.redirect).toBe('http://localhost:3000/wechat/callback?from=heyi&state=xyz');
  });

  test.each([
    ['an unknown app', page('qrconnect', { appid: 'wx0' }), 'unknown_app'],
    ['an app of another kind', page('qrconnect', { appid: official.appid }), 'wrong_kind_of_app'],
    ['another response type', page('qrconnect', { response_type: 'token' }), 'wrong_response_type'],
    ['a scope of another page', page('qrconnect', { scope: 'snsapi_base' }), 'wrong_scope'],
    ['a redirect to another host', page('qrconnect', { redirect_uri: 'https://evil.example/' }), 'wrong_domain'],
    ['a redirect that is a script', page('qrconnect', { redirect_uri: 'javascript:alert(1)' }), 'redirect_missing'],
    ['a state over 128 bytes', page('authorize', { state: 'x'.repeat(129) }), 'state_too_long'],
    ['any other page', 'https://example.com/', 'not_an_authorise_page'],
  ])('is not shown for %s', async (_, address, problem) => {
    const answer = await confirm(address);
    expect(answer.status).toBe(400);
    expect(String((answer.body.error as { message: string }).message)).toContain(problem);
  });

  test('goes to the callback domain that the app has now', async () => {
    const elsewhere = page('qrconnect', { redirect_uri: 'https://id.example.com/back' });
    await call('PUT', `/apps/${website.appid}`, { callback_domain: 'id.example.com' });
    expect((await redirect(elsewhere)).hostname).toBe('id.example.com');
    expect((await confirm(page('qrconnect'))).status).toBe(400);
    await call('PUT', `/apps/${website.appid}`, { callback_domain: 'localhost' });
  });
});

describe('the authorise page as a person sees it', () => {
  test('lists the people, and a choice redirects with a code', async () => {
    const address = page('qrconnect').replace('#wechat_redirect', '');
    const html = await (await fetch(address, { headers: { accept: 'text/html' } })).text();
    expect(html).toContain('演示官网 申请使用你的微信登录');
    expect(html).toContain('林小满');
    const body = new URLSearchParams({ person_id: 'chen-jiahe' });
    const chosen = await fetch(address, { method: 'POST', body, redirect: 'manual' });
    expect(chosen.status).toBe(303);
    const back = new URL(chosen.headers.get('location') ?? '');
    expect((await exchange(back.searchParams.get('code') ?? '')).body.openid).toBeDefined();
    const denied = await fetch(address, {
      method: 'POST',
      body: new URLSearchParams({ deny: '1' }),
      redirect: 'manual',
    });
    expect(denied.headers.get('location')).toBe('http://localhost:3000/wechat/callback?from=heyi&state=xyz');
  });

  test('shows WeChat’s own sentence for a wrong address, with HTTP 200', async () => {
    const answer = await fetch(page('qrconnect', { redirect_uri: 'https://evil.example/' }).replace(/#.*/, ''));
    expect(answer.status).toBe(200);
    const html = await answer.text();
    expect(html).toContain('该链接无法访问');
    expect(html).toContain('授权回调域');
  });
});

describe('GET sns/oauth2/access_token', () => {
  test('gives tokens, openid and unionid, as text/plain without an errcode', async () => {
    const answer = await exchange(await codeOf(page('qrconnect')));
    expect(answer.type).toBe('text/plain');
    expect(answer.body).toEqual({
      access_token: expect.any(String),
      expires_in: 7200,
      refresh_token: expect.any(String),
      openid: expect.stringMatching(/^o[\w-]{27}$/),
      scope: 'snsapi_login',
      unionid: expect.stringMatching(/^o[\w-]{27}$/),
    });
  });

  test('joins website and official account by the unionid, not by the openid', async () => {
    const web = (await exchange(await codeOf(page('qrconnect')))).body;
    const inWechat = (await exchange(await codeOf(page('authorize')), official)).body;
    expect(inWechat.unionid).toBe(web.unionid);
    expect(inWechat.openid).not.toBe(web.openid);
    expect(
      (await exchange(await codeOf(page('authorize', { scope: 'snsapi_base' })), official)).body.unionid,
    ).toBeUndefined();
  });

  test('takes a website code for 10 minutes and an official account’s for 5, each once', async () => {
    const [web, inWechat] = [await codeOf(page('qrconnect')), await codeOf(page('authorize'))];
    pass(5 * minute + 1000);
    expect((await exchange(inWechat, official)).body.errcode).toBe(40029);
    expect((await exchange(web)).body.openid).toBeDefined();
    expect((await exchange(web)).body.errcode).toBe(40163);
    const late = await codeOf(page('qrconnect'));
    pass(10 * minute + 1000);
    expect((await exchange(late)).body.errcode).toBe(40029);
  });

  test.each([
    ['another app’s code', official, {}, 40029],
    ['a wrong secret', { ...website, secret: 'no' }, {}, 40125],
    ['another grant_type', website, { grant_type: 'x' }, 40002],
    ['no code', website, { code: '' }, 41008],
  ])('refuses %s', async (_, app, changes, errcode) => {
    expect((await exchange(await codeOf(page('qrconnect')), app, changes)).body.errcode).toBe(errcode);
  });
});

describe('an official account’s authorisation', () => {
  const at = async (scope: string, more: Record<string, unknown>) => {
    const { body } = await confirm(page('authorize', { scope }), more);
    const back = new URL(String(body.redirect));
    return (await exchange(back.searchParams.get('code') ?? '', official)).body;
  };

  test('from a snapshot of the page is marked, and gives ids that are nobody’s, other ones each time', async () => {
    const true_ids = await at('snsapi_userinfo', {});
    const first = await at('snsapi_userinfo', { snapshot: true });
    const second = await at('snsapi_userinfo', { snapshot: true });
    expect(first).toMatchObject({ is_snapshotuser: 1, openid: expect.stringMatching(/^o[\w-]{27}$/) });
    expect(true_ids).not.toHaveProperty('is_snapshotuser');
    expect(new Set([true_ids, first, second].map(({ openid }) => openid)).size).toBe(3);
    expect(new Set([true_ids, first, second].map(({ unionid }) => unionid)).size).toBe(3);
    const access_token = String(first.access_token);
    const profile = (await wechat('sns/userinfo', { access_token, openid: String(first.openid) })).body;
    expect(profile).toMatchObject({ nickname: '微信用户', openid: first.openid, unionid: first.unionid });
  });

  test('is never a snapshot for a website app', async () => {
    const { body } = await confirm(page('qrconnect'), { snapshot: true });
    const back = new URL(String(body.redirect));
    expect((await exchange(back.searchParams.get('code') ?? '')).body).not.toHaveProperty('is_snapshotuser');
  });

  test('silently gives the unionid only where the app says so', async () => {
    await call('PUT', `/apps/${official.appid}`, { unionid_with_base: true });
    const { unionid } = await at('snsapi_userinfo', {});
    expect((await at('snsapi_base', {})).unionid).toBe(unionid);
    await call('PUT', `/apps/${official.appid}`, { unionid_with_base: false });
    expect(await at('snsapi_base', {})).not.toHaveProperty('unionid');
  });

  test('taken back voids its tokens, and no other app’s', async () => {
    const { access_token, openid, refresh_token } = (await at('snsapi_userinfo', {})) as Record<string, string>;
    const elsewhere = (await exchange(await codeOf(page('qrconnect')))).body as Record<string, string>;
    await call('POST', '/people/lin-xiaoman/revoke', { appid: official.appid });
    expect((await wechat('sns/auth', { access_token, openid })).body.errcode).toBe(40014);
    const refresh = { appid: official.appid, grant_type: 'refresh_token', refresh_token };
    expect((await wechat('sns/oauth2/refresh_token', refresh)).body.errcode).toBe(40030);
    const other = { access_token: elsewhere.access_token, openid: elsewhere.openid };
    expect((await wechat('sns/auth', other)).body.errcode).toBe(0);
  });
});

describe('sns/userinfo, sns/auth and refresh', () => {
  const granted = async (address = page('qrconnect'), app: { appid: string; secret: string } = website) =>
    (await exchange(await codeOf(address), app)).body as Record<string, string>;

  test('tells nickname and unionid, and leaves blank what WeChat leaves blank', async () => {
    const { access_token, openid, unionid } = await granted();
    expect((await wechat('sns/userinfo', { access_token, openid })).body).toEqual({
      openid,
      unionid,
      nickname: '林小满',
      sex: 0,
      language: '',
      city: '',
      province: '',
      country: '',
      headimgurl: '',
      privilege: [],
    });
  });

  test('refuses the silent scope, a foreign openid, and what is missing, unknown or expired', async () => {
    const silent = await granted(page('authorize', { scope: 'snsapi_base' }), official);
    const { access_token, openid } = await granted();
    const ask = async (path: string, given: Record<string, string | undefined>) =>
      (await wechat(path, given)).body.errcode;
    expect(await ask('sns/userinfo', { access_token: silent.access_token, openid: silent.openid })).toBe(48001);
    expect(await ask('sns/auth', { access_token, openid })).toBe(0);
    expect(await ask('sns/auth', { access_token, openid: silent.openid })).toBe(40003);
    expect(await ask('sns/auth', { openid })).toBe(41001);
    expect(await ask('sns/auth', { access_token })).toBe(41009);
    expect(await ask('sns/auth', { access_token: 'unknown', openid })).toBe(40014);
    pass(2 * hour);
    expect(await ask('sns/auth', { access_token, openid })).toBe(42001);
  });

  test('refresh prolongs a living token, replaces an expired one, and ends after 30 days', async () => {
    const first = await granted();
    const refresh = async (given: Record<string, string | undefined> = {}) =>
      (
        await wechat('sns/oauth2/refresh_token', {
          appid: website.appid,
          grant_type: 'refresh_token',
          refresh_token: first.refresh_token,
          ...given,
        })
      ).body;
    pass(hour);
    expect(await refresh()).toMatchObject({ access_token: first.access_token, expires_in: 7200, openid: first.openid });
    pass(hour + 30 * minute);
    expect((await wechat('sns/auth', { access_token: first.access_token, openid: first.openid })).body.errcode).toBe(0);
    pass(hour);
    const second = await refresh();
    expect(second.access_token).not.toBe(first.access_token);
    expect((await refresh({ appid: official.appid })).errcode).toBe(40030);
    expect((await refresh({ refresh_token: undefined })).errcode).toBe(41003);
    pass(30 * 24 * hour);
    expect((await refresh()).errcode).toBe(42002);
  });
});
