import { describe, expect, it } from 'vitest';
import { createClient } from '../../src/oidc/clients.ts';
import { findByIdentity } from '../../src/subjects/subjects.ts';
import { newWechatPerson, openDoors, openPlatform } from './doors.ts';
import { openSite } from './site.ts';
import { type Answer, formTo } from './visitor.ts';

const site = await openSite();
const { official, configure, browser, start, leave, arrive, agreeToPolicy, codeOf } = await openDoors(site);
await createClient(site, {
  client_id: 'in-wechat',
  name: '微信商城',
  token_endpoint_auth_method: 'none',
  redirect_uris: [`${site.website.origin}/h5`],
  methods: ['wechat-official', 'sms'],
});
const h5 = { client_id: 'in-wechat', redirect_uri: `${site.website.origin}/h5` };
const findOpenid = (external_id: string) =>
  findByIdentity(site, { kind: 'wechat_openid', issuer: official.appid, external_id });
const findUnionid = (external_id: string) =>
  findByIdentity(site, { kind: 'wechat_unionid', issuer: openPlatform, external_id });
const scopeOf = ({ location }: Answer) => new URL(location ?? 'about:blank').searchParams.get('scope');
const methods = (page: Answer) => page.forms.map(({ action }) => action.split('/').at(-1));

/** Goes through WeChat as often as it is asked to, and says with which scopes. */
async function throughWechat(visitor: ReturnType<typeof browser>, left: Answer, person: { openid: string }) {
  const scopes: (string | null)[] = [];
  let at = left;
  while (at.location?.startsWith(official.base) && scopes.length < 5) {
    scopes.push(scopeOf(at));
    at = await arrive(visitor, official.agree(at.location, person));
  }
  return { scopes, at };
}

describe('inside WeChat', () => {
  it('is the first button of the page, and the QR code is not offered', async () => {
    const page = await start(browser('wechat'));
    expect(methods(page)).toEqual(['wechat-official', 'sms', 'email', 'cancel']);
  });

  it.each(['computer', 'wecom'] as const)('is not offered in the browser of a %s', async (agent) => {
    expect(methods(await start(browser(agent)))).toEqual(['sms', 'email', 'wechat-web', 'cancel']);
  });

  it('goes by itself where the client lists it first, once: who comes back chooses', async () => {
    const visitor = browser('wechat');
    const left = await start(visitor, h5);
    expect(left.location?.startsWith(`${official.base}/connect/oauth2/authorize?`)).toBe(true);
    const page = await arrive(visitor, official.refuse(left.location ?? ''));
    expect(page.status).toBe(200);
    expect(methods(page)).toEqual(['wechat-official', 'sms', 'cancel']);
    expect(page.html).toContain('没有同意授权');
    expect((await visitor.get(page.url.split('?')[0] ?? '')).status).toBe(200);
  });

  it('elsewhere such a client shows its other ways', async () => {
    expect(methods(await start(browser('computer'), h5))).toEqual(['sms', 'cancel']);
  });
});

describe('the silent scope', () => {
  it('somebody new is asked once more, openly, so that the unionid is had from the start', async () => {
    const visitor = browser('wechat');
    const person = newWechatPerson();
    const { scopes, at } = await throughWechat(visitor, await leave(visitor, 'wechat-official'), person);
    expect(scopes).toEqual(['snsapi_base', 'snsapi_userinfo']);
    expect(new URL(at.url).pathname).toMatch(/\/agree$/);
    expect(codeOf(await agreeToPolicy(visitor, at))).toBeTruthy();
    expect(await findUnionid(person.unionid)).toBe(await findOpenid(person.openid));
  });

  it('somebody known comes in silently', async () => {
    const person = newWechatPerson();
    const first = browser('wechat');
    const { at } = await throughWechat(first, await leave(first, 'wechat-official'), person);
    await agreeToPolicy(first, at);
    const visitor = browser('wechat');
    const again = await throughWechat(visitor, await start(visitor, h5), person);
    expect(again.scopes).toEqual(['snsapi_base']);
    expect(codeOf(again.at)).toBeTruthy();
  });

  it('an account without an open platform asks nobody twice, and keeps the openid', async () => {
    await configure('wechat-official', official, { open_platform: null });
    const visitor = browser('wechat');
    const person = newWechatPerson();
    const { scopes, at } = await throughWechat(visitor, await leave(visitor, 'wechat-official'), person);
    await agreeToPolicy(visitor, at);
    await configure('wechat-official', official);
    expect(scopes).toEqual(['snsapi_base']);
    expect(await findOpenid(person.openid)).toBeTruthy();
    expect(await findUnionid(person.unionid)).toBeUndefined();
  });

  it('an unbound account whose open answer holds no unionid either is asked twice, not for ever', async () => {
    const visitor = browser('wechat');
    const person = { openid: 'oUnbound1' };
    const { scopes, at } = await throughWechat(visitor, await leave(visitor, 'wechat-official'), person);
    expect(scopes).toEqual(['snsapi_base', 'snsapi_userinfo']);
    await agreeToPolicy(visitor, at);
    expect(await findOpenid(person.openid)).toBeTruthy();
  });

  it('with the setting userinfo everybody sees the consent page', async () => {
    await configure('wechat-official', official, { scope: 'userinfo' });
    const visitor = browser('wechat');
    const left = await leave(visitor, 'wechat-official');
    await configure('wechat-official', official);
    expect(scopeOf(left)).toBe('snsapi_userinfo');
  });
});

describe('a preview of WeChat', () => {
  it('makes no account of its invented person, and says how to go on', async () => {
    const visitor = browser('wechat');
    const left = await leave(visitor, 'wechat-official');
    const person = newWechatPerson();
    const page = await arrive(visitor, official.agree(left.location ?? '', person, { is_snapshotuser: 1 }));
    expect(page.status).toBe(403);
    expect(page.html).toContain('使用完整服务');
    expect(await findOpenid(person.openid)).toBeUndefined();
    // What that button does: the same address, in full. It leads to the start, and from there everything works.
    const reloaded = await visitor.follow(await visitor.get(page.url));
    expect(reloaded.status).toBe(200);
    const again = await visitor.submit(formTo(reloaded, '/wechat-official'));
    const { at } = await throughWechat(visitor, again, person);
    expect(codeOf(await agreeToPolicy(visitor, at))).toBeTruthy();
  });
});

describe('what WeChat refuses', () => {
  it('C14: WeChat away: the other ways are on the page that says so, and the browser does not go round in circles', async () => {
    const visitor = browser('wechat');
    const left = await start(visitor, h5);
    const back = official.agree(left.location ?? '', newWechatPerson());
    official.behave(() => ({ status: 500, type: 'text/html', body: '<html>oops</html>' }));
    const page = await arrive(visitor, back);
    official.behave(official.normal);
    expect(page.status).toBe(503);
    expect(methods(page)).toEqual(['wechat-official', 'sms', 'cancel']);
    const reloaded = await visitor.follow(await visitor.get(page.url));
    expect(reloaded.status).toBe(200);
  });

  it('C3: a code of the website app is no code of the account', async () => {
    const visitor = browser('wechat');
    const left = await leave(visitor, 'wechat-official');
    const back = new URL(official.agree(left.location ?? '', newWechatPerson()));
    back.searchParams.set('code', '0code-of-another-app');
    expect((await arrive(visitor, back.href)).status).toBe(400);
  });
});
