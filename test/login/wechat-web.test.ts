import { describe, expect, it } from 'vitest';
import { hasAgreed } from '../../src/consent/consent.ts';
import { findByIdentity } from '../../src/subjects/subjects.ts';
import { newWechatPerson, openDoors, openPlatform } from './doors.ts';
import { openSite } from './site.ts';
import { formTo } from './visitor.ts';

const site = await openSite();
const { web, configure, browser, start, leave, arrive, agreeToPolicy, signIn, codeOf } = await openDoors(site);
const subjectOf = (openid: string, appid = web.appid) =>
  findByIdentity(site, { kind: 'wechat_openid', issuer: appid, external_id: openid });

describe('signing in by the QR code on a computer', () => {
  it('leads to WeChat with a state of its own, and back over the policy to the client', async () => {
    const visitor = browser();
    const person = newWechatPerson();
    const left = await leave(visitor);
    expect(left.status).toBe(303);
    const page = await arrive(visitor, web.agree(left.location ?? '', person));
    expect(new URL(page.url).pathname).toMatch(/\/agree$/);
    const out = await agreeToPolicy(visitor, page);
    expect(codeOf(out)).toBeTruthy();
    const sub = await subjectOf(person.openid);
    expect(sub).toBeTruthy();
    const unionid = { kind: 'wechat_unionid', issuer: openPlatform, external_id: person.unionid } as const;
    expect(await findByIdentity(site, unionid)).toBe(sub);
    expect(await hasAgreed(site.db, sub ?? '', 'privacy')).toBe(true);
  });

  it('the code of WeChat is gone from the address after the first answer', async () => {
    const visitor = browser();
    const left = await leave(visitor);
    const answer = await visitor.get(web.agree(left.location ?? '', newWechatPerson()));
    expect(answer.status).toBe(303);
    expect(answer.location).not.toContain('code=');
    expect(new URL(answer.location ?? '').pathname).toMatch(/^\/login\//);
  });

  it('nobody is made before the policy is agreed to', async () => {
    const visitor = browser();
    const person = newWechatPerson();
    const left = await leave(visitor);
    const page = await arrive(visitor, web.agree(left.location ?? '', person));
    const refused = await visitor.submit(formTo(page, '/agree'));
    expect(refused.status).toBe(400);
    expect(await subjectOf(person.openid)).toBeUndefined();
  });

  it('somebody known comes in without being asked again, in whichever browser', async () => {
    const person = newWechatPerson();
    await signIn(browser(), person);
    const visitor = browser();
    const left = await leave(visitor);
    const out = await arrive(visitor, web.agree(left.location ?? '', person));
    expect(codeOf(out)).toBeTruthy();
  });

  it('C8: two apps, two openids: the same openid in another app is somebody else', async () => {
    const { openid } = newWechatPerson();
    await signIn(browser(), { openid });
    expect(await subjectOf(openid)).toBeTruthy();
    expect(await subjectOf(openid, 'wxtest00000000099')).toBeUndefined();
  });

  it('C16: a hostile nickname is cleaned, and a picture of another host is not kept (C17)', async () => {
    const person = newWechatPerson({
      nickname: `\u202e<img src=x onerror=alert(1)>\u0000${'长'.repeat(10_000)}`,
      headimgurl: 'https://169.254.169.254/latest/132',
    });
    await signIn(browser(), person);
    const subject = await site
      .db('subjects')
      .where({ id: await subjectOf(person.openid) })
      .first();
    expect([...(subject?.nickname ?? '')].length).toBeLessThanOrEqual(64);
    expect(subject?.nickname).toMatch(/^<img src=x/);
    expect(subject?.picture ?? null).toBeNull();
  });

  it('is offered by its name, by its id, and not at all where the client does not list it', async () => {
    const page = await start(browser());
    expect(page.forms.map(({ action }) => action.split('/').at(-1))).toEqual(['sms', 'email', 'wechat-web', 'cancel']);
    const only = await start(browser(), { client_id: 'phone-only', redirect_uri: `${site.website.origin}/phone` });
    expect(only.html).not.toContain('wechat-web');
    const visitor = browser();
    const here = await start(visitor, { client_id: 'phone-only', redirect_uri: `${site.website.origin}/phone` });
    const { csrf = '' } = formTo(here, '/sms').fields;
    const forced = await visitor.post(`${here.url}/wechat-web`, { csrf });
    expect(forced.status).toBe(400);
    expect(forced.location).toBeUndefined();
  });

  it('two apps are told apart by their labels, and each is reached by its id', async () => {
    const { fakeWechatPages } = await import('../connectors/wechat-pages.ts');
    const second = await fakeWechatPages('wxtest00000000009');
    await configure('wechat-web', second, { label: '第二家店' });
    const visitor = browser();
    const page = await start(visitor);
    expect(page.html).toContain('第二家店');
    const left = await visitor.submit(formTo(page, `/wechat-web:${second.appid}`));
    const person = newWechatPerson();
    const out = await agreeToPolicy(visitor, await arrive(visitor, second.agree(left.location ?? '', person)));
    expect(codeOf(out)).toBeTruthy();
    expect(await subjectOf(person.openid, second.appid)).toBeTruthy();
    await site
      .db('connectors')
      .where({ id: `wechat-web:${second.appid}` })
      .delete();
  });
});

describe('the way back is for the browser that left, once', () => {
  it('A31: the callback of an attacker, opened by somebody else, signs nobody in', async () => {
    const attacker = browser();
    const person = newWechatPerson();
    const left = await leave(attacker);
    const trap = web.agree(left.location ?? '', person);
    const victim = browser();
    // The victim is in the middle of a sign-in of their own.
    await start(victim);
    const opened = await arrive(victim, trap);
    expect(opened.status).toBe(400);
    expect(opened.location).toBeUndefined();
    const after = await start(victim);
    expect(after.status).toBe(200);
    expect(await subjectOf(person.openid)).toBeUndefined();
  });

  it("A31: an attacker's interaction cookie planted in the victim's browser does not help without its step cookie", async () => {
    const attacker = browser();
    const left = await leave(attacker);
    const trap = web.agree(left.location ?? '', newWechatPerson());
    const victim = browser();
    for (const cookie of attacker.cookies()) if (cookie.name !== 'heyi_login') victim.setCookie(cookie);
    const opened = await arrive(victim, trap);
    expect(opened.url).not.toContain('/agree');
    expect(opened.location).toBeUndefined();
  });

  it.each([
    ['missing', (back: URL) => back.searchParams.delete('state')],
    ['altered', (back: URL) => back.searchParams.set('state', 'f'.repeat(32))],
    ['empty', (back: URL) => back.searchParams.set('state', '')],
    ['given twice', (back: URL) => back.searchParams.append('state', back.searchParams.get('state') ?? '')],
    ['of another address', (back: URL) => Object.assign(back, { pathname: '/wechat/wxtest00000000003/callback' })],
    ['of an app nobody knows', (back: URL) => Object.assign(back, { pathname: '/wechat/wx0000000000000000/callback' })],
  ])('C12: a state that is %s gets a page that says so, and asks WeChat nothing', async (_what, change) => {
    const visitor = browser();
    const left = await leave(visitor);
    const back = new URL(web.agree(left.location ?? '', newWechatPerson()));
    change(back);
    const asked = web.seen.length;
    const answer = await arrive(visitor, back.href);
    expect(answer.status).toBe(400);
    expect(answer.html).toContain('<h1');
    expect(web.seen.length).toBe(asked);
  });

  it('C12: a state that is too old is refused', async () => {
    const visitor = browser();
    const left = await leave(visitor);
    const back = web.agree(left.location ?? '', newWechatPerson());
    await site.db('tickets').update({ expires_at: site.db.raw("now() - interval '1 second'") });
    expect((await arrive(visitor, back)).status).toBe(400);
  });

  it('C12: a callback that is loaded again leads on cleanly, before and after the policy, and spends nothing twice', async () => {
    const visitor = browser();
    const left = await leave(visitor);
    const back = web.agree(left.location ?? '', newWechatPerson());
    const page = await arrive(visitor, back);
    const asked = web.seen.length;
    const again = await arrive(visitor, back);
    expect(new URL(again.url).pathname).toBe(new URL(page.url).pathname);
    await agreeToPolicy(visitor, again);
    const late = await arrive(visitor, back);
    expect(late.status).toBe(200);
    expect(late.html).toContain('您已完成登录');
    expect(web.seen.length).toBe(asked);
  });

  it('C1, C2: of twenty returns at once WeChat sees one, and nobody meets an error', async () => {
    const visitor = browser();
    const person = newWechatPerson();
    await signIn(browser(), person);
    const left = await leave(visitor);
    const answer = await visitor.get(web.agree(left.location ?? '', person));
    const asked = web.seen.length;
    const all = await Promise.all(Array.from({ length: 20 }, () => visitor.get(answer.location ?? '')));
    expect(all.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 303));
    // The code once, the nickname once.
    expect(web.seen.length).toBe(asked + 2);
  });

  it('C12: who refuses is led back to the start, told so, and finds every way again', async () => {
    const visitor = browser();
    const left = await leave(visitor);
    const page = await arrive(visitor, web.refuse(left.location ?? ''));
    expect(page.status).toBe(200);
    expect(page.html).toContain('没有同意授权');
    expect(page.forms.map(({ action }) => action.split('/').at(-1))).toEqual(['sms', 'email', 'wechat-web', 'cancel']);
    const other = await leave(visitor);
    const denied = new URL(web.refuse(other.location ?? ''));
    denied.searchParams.set('error', 'access_denied');
    expect((await arrive(visitor, denied.href)).html).toContain('没有同意授权');
  });

  it('C4: an openid and a unionid in the address are not read', async () => {
    const visitor = browser();
    const person = newWechatPerson();
    const left = await leave(visitor);
    const back = new URL(web.agree(left.location ?? '', person));
    back.searchParams.set('openid', 'oForged');
    back.searchParams.set('unionid', 'uForged');
    await agreeToPolicy(visitor, await arrive(visitor, back.href));
    expect(await subjectOf('oForged')).toBeUndefined();
    expect(await subjectOf(person.openid)).toBeTruthy();
  });

  it('C4: without a code, an openid in the address is nobody', async () => {
    const visitor = browser();
    const left = await leave(visitor);
    const back = new URL(web.refuse(left.location ?? ''));
    back.searchParams.set('openid', 'oForged2');
    await arrive(visitor, back.href);
    expect(await subjectOf('oForged2')).toBeUndefined();
  });
});

describe('what WeChat refuses', () => {
  const refusals: [string, number, object | string][] = [
    ['C1: a used code', 400, { errcode: 40163, errmsg: 'code been used, rid: 1-2-3' }],
    ['C1: an invalid or foreign code (C3)', 400, { errcode: 40029, errmsg: 'invalid code, rid: 1-2-3' }],
    ['C14: busy', 503, { errcode: -1, errmsg: 'system error' }],
    ['C14: a limit a minute', 503, { errcode: 45011, errmsg: 'api minute-quota reach limit' }],
    ['C14: a wrong secret', 503, { errcode: 40125, errmsg: 'invalid appsecret' }],
    ['C14: a page of HTML', 503, '<html>502 Bad Gateway</html>'],
    ['C14: half an answer', 503, '{"access_token":"abc","open'],
    ['C14: an answer without an openid', 503, { access_token: 'abc', scope: 'snsapi_login' }],
  ];
  it.each(refusals)(
    '%s: a sentence, and the other ways of signing in on the same page',
    async (_what, status, body) => {
      const visitor = browser();
      const left = await leave(visitor);
      const back = web.agree(left.location ?? '', newWechatPerson());
      web.behave(() => ({ body }));
      const page = await arrive(visitor, back);
      web.behave(web.normal);
      expect(page.status).toBe(status);
      expect(page.html).toContain('role="alert"');
      expect(page.forms.map(({ action }) => action.split('/').at(-1))).toEqual([
        'sms',
        'email',
        'wechat-web',
        'cancel',
      ]);
      expect(page.html).not.toContain(web.secret);
      // The way is not closed: the next try works.
      expect(codeOf(await signIn(visitor, newWechatPerson()))).toBeTruthy();
    },
  );

  it('C14: ten seconds of silence hold nobody for longer than five', async () => {
    const visitor = browser();
    const left = await leave(visitor);
    const back = web.agree(left.location ?? '', newWechatPerson());
    web.behave(() => 'hang');
    const began = performance.now();
    const page = await arrive(visitor, back);
    web.behave(web.normal);
    expect(page.status).toBe(503);
    expect(performance.now() - began).toBeLessThan(6_500);
  });

  it('C14: a nickname that does not come costs nobody their sign-in', async () => {
    const visitor = browser();
    const left = await leave(visitor);
    const back = web.agree(left.location ?? '', newWechatPerson());
    web.behave((seen) => (seen.url.pathname === '/sns/userinfo' ? { status: 500, body: 'no' } : web.normal(seen)));
    const out = await agreeToPolicy(visitor, await arrive(visitor, back));
    web.behave(web.normal);
    expect(codeOf(out)).toBeTruthy();
  });

  it('G1: no code, token or secret of it is in the log', () => {
    for (const secret of [web.secret, 'user-token-of', `0code-${web.appid}`])
      expect(site.logged()).not.toContain(secret);
  });
});

describe('the code within our page', () => {
  it('loads nothing foreign unless the operator wants it, and then on that page alone', async () => {
    const foreign = /script-src 'self'(;| )(?!.*wxLogin)/;
    const plain = await start(browser());
    expect(plain.headers.get('content-security-policy')).toMatch(foreign);
    expect(plain.html).not.toContain('wxLogin');
    await configure('wechat-web', web, { embedded: true, script_url: `${web.base}/wxLogin.js` });
    const visitor = browser();
    const begin = await start(visitor);
    expect(begin.headers.get('content-security-policy')).not.toContain('frame-src');
    const page = await visitor.submit(formTo(begin, '/wechat-web'));
    const policy = page.headers.get('content-security-policy') ?? '';
    expect(page.status).toBe(200);
    expect(policy).toContain(`script-src 'self' ${web.base};`);
    expect(policy).toContain(`frame-src ${web.base}`);
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toContain('unsafe');
    // Without the script the link leads the same way, with the same state.
    const link = /<a class="button-link" href="([^"]+qrconnect[^"]+)"/.exec(page.html)?.[1]?.replaceAll('&amp;', '&');
    const out = await agreeToPolicy(visitor, await arrive(visitor, web.agree(link ?? '', newWechatPerson())));
    await configure('wechat-web', web);
    expect(codeOf(out)).toBeTruthy();
  });
});
