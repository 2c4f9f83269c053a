import { describe, expect, it } from 'vitest';
import { newPerson } from '../connectors/services.ts';
import { openSite } from './site.ts';
import { formTo, type Visitor } from './visitor.ts';
import { walker, wrong } from './walk.ts';

const site = await openSite();
const { browser, start, ask, signIn, lastCode, subjectOf } = walker(site);
const sessionCookie = 'heyi_session';

/** Every field and the path of a page, with the cookies of another browser. */
async function stolen(page: { url: string }, thief: Visitor) {
  await start(thief);
  return thief.get(page.url);
}

describe('A30: posts that do not come from the page', () => {
  it('are refused without the hidden field, with another browser’s, and from another site', async () => {
    const visitor = browser();
    const page = await start(visitor);
    const form = formTo(page, '/sms');
    const { phone } = newPerson();
    const other = formTo(await start(browser()), '/sms').fields.csrf ?? '';
    const fields = { phone, privacy: '1' };
    expect((await visitor.post(form.action, fields)).status).toBe(403);
    expect((await visitor.post(form.action, { ...fields, csrf: other })).status).toBe(403);
    const cross = { ...form.fields, ...fields };
    expect((await visitor.post(form.action, cross, { origin: 'https://evil.example' })).status).toBe(403);
    expect((await visitor.post(form.action, cross, { 'sec-fetch-site': 'cross-site' })).status).toBe(403);
    expect(lastCode(phone)).toBe('');
    expect((await visitor.post(form.action, cross, { origin: 'null' })).status).toBe(303);
  });

  it('hold for every form of the sign-in', async () => {
    const visitor = browser();
    const { phone } = newPerson();
    const page = await ask(visitor, phone);
    const base = page.url.replace(/\/sms.*/, '');
    for (const path of ['/cancel', '/consent', '/agree', '/sms', '/sms/resend', '/sms/verify']) {
      const answer = await visitor.post(base + path, { code: lastCode(phone), privacy: '1', phone });
      expect(answer.status, path).toBe(403);
    }
    expect(await subjectOf(phone)).toBeUndefined();
  });

  it('a field sent twice is refused (A43)', async () => {
    const visitor = browser();
    const form = formTo(await start(visitor), '/sms');
    const body = `${new URLSearchParams(form.fields)}&phone=13900000001&phone=13900000002&privacy=1`;
    const cookie = visitor
      .cookies()
      .map(({ name, value }) => `${name}=${value}`)
      .join('; ');
    const headers = { cookie, 'content-type': 'application/x-www-form-urlencoded', accept: 'text/html' };
    expect((await fetch(form.action, { method: 'POST', body, headers })).status).toBe(400);
  });
});

describe('B4: a code belongs to the browser that asked for it', () => {
  it('another browser that knows the address sees neither the page nor can it use the code', async () => {
    const visitor = browser();
    const { phone } = newPerson();
    const page = await ask(visitor, phone);
    const thief = browser();
    const seen = await stolen(page, thief);
    expect(seen.status).toBe(400);
    expect(seen.html).not.toContain(phone.slice(-4));
    const csrf = formTo(await start(thief), '/sms').fields.csrf ?? '';
    const tried = await thief.post(formTo(page, '/verify').action, { code: lastCode(phone), csrf });
    expect(tried.status).toBe(400);
    expect(await subjectOf(phone)).toBeUndefined();
  });

  it('nor with the engine’s own cookie of that interaction: the code needs the browser’s nonce too', async () => {
    const visitor = browser();
    const { phone } = newPerson();
    const page = await ask(visitor, phone);
    const thief = browser();
    for (const cookie of visitor.cookies()) if (cookie.name.startsWith('heyi_interaction')) thief.setCookie(cookie);
    const seen = await thief.follow(await thief.get(page.url));
    expect(seen.html).not.toContain(phone.slice(-4));
    const form = { ...formTo(seen, '/sms'), action: formTo(page, '/verify').action };
    const tried = await thief.follow(await thief.submit(form, { code: lastCode(phone) }));
    expect(tried.html).toContain('name="phone"');
    expect(await subjectOf(phone)).toBeUndefined();
  });

  it('nor with everything but the nonce: the code itself is bound to it', async () => {
    const visitor = browser();
    const { phone } = newPerson();
    const page = await ask(visitor, phone);
    const uid = new URL(page.url).pathname.split('/')[2] ?? '';
    const otp_id = (await site.db('one_time_codes').orderBy('created_at', 'desc').first())?.id;
    const forged = {
      nonce: 'guess',
      pending: { method: 'sms', otp_id, expires_at: Date.now() + 60_000, wrong_tries: 0 },
    };
    const value = site.seal.seal(JSON.stringify(forged), `login step ${uid}`);
    const form = formTo(page, '/verify');
    const own = visitor.cookies().find(({ name }) => name === 'heyi_login');
    visitor.setCookie({ name: 'heyi_login', value, path: `/login/${uid}` });
    const tried = await visitor.submit(form, { code: lastCode(phone) });
    expect(tried.status).toBe(400);
    expect(await subjectOf(phone)).toBeUndefined();
    visitor.setCookie({ name: 'heyi_login', value: own?.value ?? '', path: `/login/${uid}` });
    expect((await visitor.submit(form, { code: lastCode(phone) })).status).toBe(303);
  });

  it('nor in another sign-in of the same browser', async () => {
    const visitor = browser();
    const { phone } = newPerson();
    const first = await ask(visitor, phone);
    const second = await start(visitor);
    const cookie = visitor.cookies().find(({ name, path }) => name === 'heyi_login' && first.url.includes(path));
    const path = new URL(second.url).pathname;
    visitor.setCookie({ name: 'heyi_login', value: cookie?.value ?? '', path });
    const moved = await visitor.get(`${second.url}/sms/verify`);
    expect(moved.status).toBe(303);
  });
});

describe('A32: session fixation', () => {
  it('a session set before signing in is not the one after, and opens nothing', async () => {
    const attacker = browser();
    await attacker.get(`${site.origin}/logout`);
    await start(attacker);
    const planted = attacker.cookies().filter(({ name }) => name.startsWith(sessionCookie));
    const victim = browser();
    for (const cookie of planted) victim.setCookie(cookie);
    await signIn(victim);
    expect(victim.cookie(sessionCookie)).toBeTruthy();
    expect(victim.cookie(sessionCookie)).not.toBe(attacker.cookie(sessionCookie));
    expect((await start(attacker)).html).toContain('name="phone"');
  });

  it('signing in again in the same browser changes the session id, and the old one is dead', async () => {
    const visitor = browser();
    const { phone } = await signIn(visitor);
    const before = visitor.cookies().filter(({ name }) => name.startsWith(sessionCookie));
    await site.db('rate_limits').delete();
    await signInAgain(visitor, phone);
    expect(visitor.cookie(sessionCookie)).not.toBe(before.find(({ name }) => name === sessionCookie)?.value);
    const old = browser();
    for (const cookie of before) old.setCookie(cookie);
    expect((await start(old)).html).toContain('name="phone"');
  });
});

async function signInAgain(visitor: Visitor, phone: string) {
  const page = await start(visitor, { prompt: 'login' });
  const code = await visitor.follow(await visitor.submit(formTo(page, '/sms'), { phone }));
  return visitor.follow(await visitor.submit(formTo(code, '/verify'), { code: lastCode(phone) }));
}

describe('A29: signing in anew', () => {
  it('prompt=login and max_age=0 show the form to somebody who is signed in', async () => {
    const visitor = browser();
    await signIn(visitor);
    expect((await start(visitor, { prompt: 'login' })).html).toContain('name="phone"');
    expect((await start(visitor, { max_age: '0' })).html).toContain('name="phone"');
    expect((await start(visitor, { max_age: '0' })).html).toContain('请再登录一次');
    // A stranger is not told to do anything again.
    expect((await start(browser(), { max_age: '0' })).html).not.toContain('请再登录一次');
  });

  it('as somebody else ends the session before: the browser is then the other person’s alone', async () => {
    const visitor = browser();
    await signIn(visitor);
    const before = visitor.cookies().filter(({ name }) => name.startsWith(sessionCookie));
    const { phone } = newPerson();
    const page = await start(visitor, { prompt: 'login' });
    const code = await visitor.follow(await visitor.submit(formTo(page, '/sms'), { phone }));
    const agree = await visitor.follow(await visitor.submit(formTo(code, '/verify'), { code: lastCode(phone) }));
    const out = await visitor.follow(await visitor.submit(formTo(agree, '/agree'), { privacy: '1' }));
    expect(out.location).toContain(`${site.website.callback}?code=`);
    const old = browser();
    for (const cookie of before) old.setCookie(cookie);
    expect((await start(old)).html).toContain('name="phone"');
    const sessions = await site.db('oidc_artifacts').where({ model: 'Session', subject_id: await subjectOf(phone) });
    expect(sessions).toHaveLength(1);
  });
});

describe('A34: what follows a post', () => {
  it('is only ever fetched anew: 303, never 307 or 308', async () => {
    const visitor = browser();
    const { phone } = newPerson();
    const page = await start(visitor);
    const sent = await visitor.submit(formTo(page, '/sms'), { phone, privacy: '1' });
    const code = await visitor.follow(sent);
    const done = await visitor.submit(formTo(code, '/verify'), { code: lastCode(phone) });
    const back = await visitor.get(done.location ?? '');
    expect([sent.status, done.status, back.status]).toEqual([303, 303, 303]);
    expect(back.location).toContain(site.website.callback);
  });
});

describe('B9: known and unknown numbers', () => {
  it('get the same answer, page for page', async () => {
    const { phone: known } = await signIn(browser());
    await site.db('rate_limits').delete();
    const answers = [];
    for (const phone of [known, newPerson().phone]) {
      const visitor = browser();
      const page = await ask(visitor, phone);
      const refused = await visitor.submit(formTo(page, '/verify'), { code: wrong(lastCode(phone)) });
      const plain = (html: string) =>
        html
          .replace(/1\d\d\*{4}\d{4}/g, 'NUMBER')
          .replace(/\/login\/[\w-]+/g, '/login/UID')
          .replace(/name="csrf" value="[^"]+"/g, '')
          .replace(/data-wait="\d+"|\d+ 秒后/g, '');
      answers.push([page.status, plain(page.html), refused.status, plain(refused.html)]);
    }
    expect(answers[0]).toEqual(answers[1]);
  });
});

describe('B12: a GET', () => {
  it('of any page of the sign-in, by a scanner or twice, uses nothing up', async () => {
    const visitor = browser();
    const { phone } = newPerson();
    const page = await ask(visitor, phone);
    const base = page.url.replace(/\/sms.*/, '');
    const sent = site.sms.length;
    for (const path of ['', '/sms/verify', `/sms/verify?code=${lastCode(phone)}`, '/agree', '/sms/verify'])
      await visitor.get(base + path);
    expect(site.sms.length).toBe(sent);
    expect((await visitor.get(`${base}/sms`)).status).toBe(405);
    const out = await visitor.follow(await visitor.submit(formTo(page, '/verify'), { code: lastCode(phone) }));
    expect(out.location).toContain('code=');
  });
});

describe('B6: limits', () => {
  it('per address answer 429 with the time to wait, in the reader’s language', async () => {
    const visitor = browser({ language: 'en' });
    const { phone } = newPerson();
    const page = await ask(visitor, phone);
    const form = formTo(page, '/verify');
    // Guesses of one address over many codes: here the counter is moved instead.
    await visitor.submit(form, { code: wrong(lastCode(phone)) });
    await site.db('rate_limits').where('key', 'like', 'login_verify_address%').update({ points: 120 });
    const refused = await visitor.submit(form, { code: lastCode(phone) });
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(60);
    expect(refused.html).toContain('That was too often');
    expect(refused.html).toMatch(/Try again in \d+ (min|s)\./);
    expect(refused.html).toContain('Return to the sign-in page');
    expect(await subjectOf(phone)).toBeUndefined();
  });

  it('of sending to one number are the same whether the number is known or not', async () => {
    const visitor = browser();
    const { phone } = newPerson();
    await ask(visitor, phone);
    const other = browser();
    const page = await start(other);
    const refused = await other.submit(formTo(page, '/sms'), { phone, privacy: '1' });
    expect(refused.status).toBe(429);
    expect(refused.html).toContain('验证码刚刚发送过');
    expect(refused.html).toContain(`value="${phone}"`);
  });
});

describe('what cannot be sent', () => {
  it.each([
    ['a landline', '/sms', { phone: '01012345678' }, '请输入可以接收短信的手机号码'],
    ['a number abroad', '/sms', { phone: '+14155552671' }, '暂不支持向该国家或地区的号码发送短信'],
    ['nothing', '/sms', {}, '请输入可以接收短信的手机号码'],
    ['no address', '/email', { email: 'nobody' }, '请输入有效的邮箱地址'],
    ['a header in the address (B13)', '/email', { email: 'a@x.cn\r\nBcc: b@x.cn' }, '请输入有效的邮箱地址'],
  ])('%s is said beside the field', async (_what, path, fields, sentence) => {
    const visitor = browser();
    const refused = await visitor.submit(formTo(await start(visitor), path), { ...fields, privacy: '1' });
    expect(refused.status).toBe(400);
    expect(refused.html).toContain(sentence);
    expect(refused.html).toMatch(/aria-invalid="true"/);
  });
});
