import { describe, expect, it } from 'vitest';
import { resolveSubject } from '../../src/subjects/resolve.ts';
import { noJobs } from '../helpers/jobs.ts';
import { formTo } from '../login/visitor.ts';
import { openid, proof } from '../subjects/people.ts';
import { openAccounts, told } from './site.ts';

const site = await openAccounts();
const { db, browser, open, signIn, askFor, change, codeFor, subjectOf, at, newPerson } = site;

describe('the account page', () => {
  it('asks who it is, then shows how they sign in, with masked values, and what to add', async () => {
    const { email } = newPerson();
    const visitor = browser();
    const first = await visitor.get(at('/account'));
    expect(first.status).toBe(303);
    expect(first.location).toContain('/authorize?');
    const page = await signIn(visitor, email);
    expect(new URL(page.url).pathname).toBe('/account');
    expect(page.html).toContain('<h1 class="title">账号与安全</h1>');
    expect(page.html).toMatch(/p\S*\*+\S*@example\.com/);
    expect(page.html).not.toContain(email);
    expect(page.html).toContain('添加手机号');
    expect(page.html).not.toContain('添加邮箱');
  });

  it('E10: no page of it may be kept by a cache', async () => {
    const visitor = browser();
    await signIn(visitor, newPerson().email);
    for (const path of ['/account', '/account/add/sms', '/account/join', '/account/remove/wechat']) {
      const answer = await visitor.get(at(path));
      expect(answer.headers.get('cache-control'), path).toBe('no-store');
    }
    expect((await browser().get(at('/account'))).headers.get('cache-control')).toBe('no-store');
  });

  it('ends with the sign-out: the cookie that is left opens nothing (D4)', async () => {
    const visitor = browser();
    const page = await signIn(visitor, newPerson().email);
    const cookie = visitor.cookies().find(({ name }) => name === 'heyi_account');
    const confirm = await visitor.follow(await visitor.submit(formTo(page, '/account/sign-out')));
    await visitor.submit(formTo(confirm, '/logout/confirm'), { logout: 'yes' });
    if (cookie) visitor.setCookie(cookie);
    expect((await visitor.get(at('/account'))).location).toContain('/authorize?');
  });

  it('E9: after a fresh sign-in it leads to its own pages only', async () => {
    const visitor = browser();
    const { email } = newPerson();
    await signIn(visitor, email);
    for (const to of ['//evil.example', '/\\evil.example', 'https:evil.example', '/account/../logout', '/account//x']) {
      await site.age(visitor, 301);
      const page = await open(visitor, '/account/add/sms');
      const form = formTo(page, '/account/prove');
      const back = await site.prove(visitor, await visitor.follow(await visitor.submit(form, { to })), email);
      expect(back.url, to).toBe(at('/account'));
    }
  });
});

describe('adding', () => {
  it('a phone by a code: the account opens by it, and the e-mail is told', async () => {
    const { email, phone } = newPerson();
    const visitor = browser();
    await signIn(visitor, email);
    const page = await change(visitor, phone);
    expect(page.html).toContain('已添加');
    expect(await subjectOf(phone)).toBe(await subjectOf(email));
    await expect.poll(() => site.textsFor(email), told).toContain('添加了登录方式');
    const notice = (await site.inbox(email)).find(({ text }) => text.includes('添加了登录方式'))?.text ?? '';
    expect(notice).toContain(at('/account'));
    expect(notice).toMatch(/手机号 \S*\*{4}/);
    expect(notice).not.toContain(phone.slice(3));
    expect(notice).not.toContain(await codeFor(phone));
  });

  it('asks for a fresh sign-in when the last is older than five minutes, and then goes on', async () => {
    const { email, phone } = newPerson();
    const visitor = browser();
    await signIn(visitor, email);
    await site.age(visitor, 301);
    const page = await open(visitor, '/account/add/sms');
    expect(page.html).toContain('请先确认是您本人');
    const again = await visitor.follow(await visitor.submit(formTo(page, '/account/prove')));
    expect(again.url).toContain('/login/');
    const back = await site.prove(visitor, again, email);
    expect(new URL(back.url).pathname).toBe('/account/add/sms');
    expect((await change(visitor, phone)).html).toContain('已添加');
  });

  it('without it no post does anything: code, removal, sessions (D8)', async () => {
    const { email, phone } = newPerson();
    const visitor = browser();
    const home = await signIn(visitor, email);
    const start = await open(visitor, '/account/add/sms');
    const { csrf = '' } = formTo(home, '/account/sign-out').fields;
    await site.age(visitor, 301);
    const id = (
      await db('identities')
        .where({ subject_id: await subjectOf(email) })
        .first('id')
    ).id;
    const posts: [string, Record<string, string>][] = [
      [formTo(start, '/add/sms').action, { phone }],
      [at(`/account/remove/${id}`), {}],
      [at('/account/others/end'), {}],
    ];
    for (const [url, fields] of posts) {
      const answer = await visitor.post(url, { csrf, ...fields });
      expect([url, answer.status]).toEqual([url, 403]);
    }
    expect(await site.inbox(phone)).toEqual([]);
  });

  it('a second phone is a change, said before any code is sent', async () => {
    const { email, phone } = newPerson();
    const visitor = browser();
    await signIn(visitor, email);
    await change(visitor, phone);
    const page = await open(visitor, '/account/add/sms');
    expect(new URL(page.url).pathname).toBe('/account/change/sms');
  });

  it('D5: an address is nobody’s way in before its code was typed', async () => {
    const { email, phone } = newPerson();
    const visitor = browser();
    await signIn(visitor, phone);
    const page = await askFor(visitor, email);
    const wrong = await visitor.submit(formTo(page, '/verify'), { code: '000000' });
    expect(wrong.status).toBe(400);
    expect(wrong.html).toContain('还可以再试');
    expect(await subjectOf(email)).toBeUndefined();
  });

  it('B4: a code for signing in adds nothing, and a code for adding signs nobody in', async () => {
    const { email, phone } = newPerson();
    const visitor = browser();
    await signIn(visitor, email);
    const page = await askFor(visitor, phone);
    const linkCode = await codeFor(phone);
    const other = browser();
    const login = await open(other);
    const asked = await db('one_time_codes').where({ purpose: 'link' });
    expect(asked.length).toBeGreaterThan(0);
    const { action, fields } = formTo(login, '/sms');
    await db('rate_limits').delete();
    const waiting = await other.follow(await other.post(action, { ...fields, phone, privacy: '1' }));
    if (linkCode !== (await codeFor(phone))) {
      const refused = await other.submit(formTo(waiting, '/verify'), { code: linkCode });
      expect(refused.status).toBe(400);
    }
    const added = await visitor.submit(formTo(page, '/verify'), { code: linkCode });
    expect(added.location).toContain('note=added');
  });

  it('D8: a link started in one session cannot be finished in another', async () => {
    const { email, phone } = newPerson();
    const attacker = browser();
    await signIn(attacker, newPerson().email);
    await askFor(attacker, phone);
    const step = attacker.cookies().find(({ name }) => name === 'heyi_account_step');
    const victim = browser();
    const home = await signIn(victim, email);
    if (!step) throw new Error('no step');
    victim.setCookie(step);
    const { csrf = '' } = formTo(home, '/account/sign-out').fields;
    const answer = await victim.post(at('/account/add/sms/verify'), { csrf, code: await codeFor(phone) });
    expect(answer.location).toContain('note=start_over');
    expect(await subjectOf(phone)).toBeUndefined();
  });

  it('D8: a post without the form of this very browser is refused', async () => {
    const visitor = browser();
    await signIn(visitor, newPerson().email);
    const forged = [
      await visitor.post(at('/account/add/sms'), { phone: '+8613900001111', csrf: 'x' }),
      await visitor.post(at('/account/others/end'), {}, { origin: 'https://evil.example' }),
      await visitor.post(at('/account/join'), {}),
    ];
    expect(forged.map(({ status }) => status)).toEqual([403, 403, 403]);
  });

  it('D6: a change that waits is void after anything else changed', async () => {
    const { email, phone } = newPerson();
    const visitor = browser();
    await signIn(visitor, email);
    const page = await askFor(visitor, phone);
    // The person links their WeChat elsewhere meanwhile.
    const context = { channel: 'website' };
    await resolveSubject(
      { db, seal: site.seal, jobs: noJobs },
      { proofs: [proof(openid()), proof(site.identityOf(email))], create: true, context },
    );
    const answer = await visitor.submit(formTo(page, '/verify'), { code: await codeFor(phone) });
    expect(answer.location).toContain('note=start_over');
    expect(await subjectOf(phone)).toBeUndefined();
  });
});

describe('B19: changing the phone', () => {
  it('asks for the old one first when the sign-in was by another', async () => {
    const { email, phone } = newPerson();
    const visitor = browser();
    await signIn(visitor, email);
    await change(visitor, phone);
    const page = await open(visitor, '/account/change/sms');
    expect(page.html).toContain('请先用现在的手机号');
    const { csrf = '' } = formTo(page, '/account/prove').fields;
    const forced = await visitor.post(at('/account/change/sms'), { csrf, phone: newPerson().phone });
    expect(forced.status).toBe(403);
  });

  it('with the old one proven the new one takes its place; the e-mail is told, and the old one opens nothing', async () => {
    const { email, phone } = newPerson();
    const { phone: next } = newPerson();
    const visitor = browser();
    await signIn(visitor, email);
    await change(visitor, phone);
    const ask = await open(visitor, '/account/change/sms');
    const login = await visitor.follow(await visitor.submit(formTo(ask, '/account/prove')));
    const back = await site.prove(visitor, login, phone);
    expect(new URL(back.url).pathname).toBe('/account/change/sms');
    expect((await change(visitor, next, 'change')).html).toContain('已更换');
    expect(await subjectOf(next)).toBe(await subjectOf(email));
    expect(await subjectOf(phone)).toBeUndefined();
    await expect.poll(() => site.textsFor(email), told).toContain('移除了登录方式');
  });

  it('an old e-mail address is told that it was replaced', async () => {
    const { email } = newPerson();
    const { email: next } = newPerson();
    const visitor = browser();
    await signIn(visitor, email);
    expect((await change(visitor, next, 'change')).html).toContain('已更换');
    await expect.poll(() => site.textsFor(email), told).toContain('移除了登录方式');
    expect(await subjectOf(email)).toBeUndefined();
  });
});
