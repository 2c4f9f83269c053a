import { describe, expect, it } from 'vitest';
import { hasAgreed } from '../../src/consent/consent.ts';
import { newPerson } from '../connectors/services.ts';
import { openSite } from './site.ts';
import { formTo } from './visitor.ts';
import { walker, wrong } from './walk.ts';

const site = await openSite();
const { browser, start, ask, signIn, lastCode, subjectOf } = walker(site);
const callback = (out: { location: string | undefined }) => new URL(out.location ?? 'about:blank');

describe('signing in', () => {
  it('leads from the client over the code back to the client', async () => {
    const { out, done, phone } = await signIn(browser());
    expect(done.status).toBe(303);
    expect(callback(out).origin + callback(out).pathname).toBe(site.website.callback);
    expect(callback(out).searchParams.get('code')).toBeTruthy();
    expect(callback(out).searchParams.get('state')).toBeTruthy();
    expect(await subjectOf(phone)).toBeTruthy();
  });

  it('works by e-mail', async () => {
    const visitor = browser();
    const { email } = newPerson();
    const page = await start(visitor);
    const code = await visitor.follow(await visitor.submit(formTo(page, '/email'), { email, privacy: '1' }));
    expect(code.html).toContain('p***@example.com');
    const sent = site.mails.findLast(({ to }) => to === email)?.code ?? '';
    const out = await visitor.follow(await visitor.submit(formTo(code, '/verify'), { code: sent }));
    expect(callback(out).searchParams.get('code')).toBeTruthy();
  });

  it('a second visit of the client needs no page: the browser is signed in', async () => {
    const visitor = browser();
    await signIn(visitor);
    const out = await start(visitor);
    expect(callback(out).searchParams.get('code')).toBeTruthy();
  });

  it('offers each method as a form of its own, and no method that the client does not allow', async () => {
    const page = await start(browser());
    expect(page.forms.map(({ action }) => action.split('/').at(-1))).toEqual(['sms', 'email', 'cancel']);
    const only = await start(browser(), { client_id: 'phone-only', redirect_uri: `${site.website.origin}/phone` });
    expect(only.forms.map(({ action }) => action.split('/').at(-1))).toEqual(['sms', 'cancel']);
  });

  it('refuses a method that the client does not allow, also when it is posted by hand', async () => {
    const visitor = browser();
    const page = await start(visitor, { client_id: 'phone-only', redirect_uri: `${site.website.origin}/phone` });
    const form = formTo(page, '/sms');
    const action = form.action.replace(/sms$/, 'email');
    const refused = await visitor.submit({ ...form, action }, { email: newPerson().email, privacy: '1' });
    expect(refused.status).toBe(400);
    expect(refused.html).toContain('该应用不支持这种登录方式');
  });

  it('goes back to the client with access_denied when it is cancelled', async () => {
    const visitor = browser();
    const page = await start(visitor);
    const out = await visitor.follow(await visitor.submit(formTo(page, '/cancel')));
    expect(callback(out).searchParams.get('error')).toBe('access_denied');
  });

  it('fills in the login_hint of the client', async () => {
    const page = await start(browser(), { login_hint: 'somebody@example.com' });
    expect(page.html).toContain('value="somebody@example.com"');
    expect(page.html).toMatch(/id="method-email"[^>]* checked/);
  });
});

describe('the privacy policy (privacy.md, article 14)', () => {
  it('is asked for by an unticked box with its version', async () => {
    const page = await start(browser());
    expect(page.html).toMatch(/<input type="checkbox" id="privacy-sms" name="privacy" value="1">/);
  });

  it('must be agreed to: unticked, no code is sent, and what was typed is kept', async () => {
    const visitor = browser();
    const { phone } = newPerson();
    const page = await start(visitor);
    const refused = await visitor.submit(formTo(page, '/sms'), { phone });
    expect(refused.status).toBe(400);
    expect(refused.html).toContain(`value="${phone}"`);
    expect(refused.html).toMatch(/id="privacy-sms-error" role="alert"/);
    expect(lastCode(phone)).toBe('');
  });

  it('is recorded with version, channel, address and the hash of the text', async () => {
    const { phone } = await signIn(browser());
    const sub = (await subjectOf(phone)) ?? '';
    const rows = await site.db('consents').where({ subject_id: sub });
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({ purpose: 'privacy', version: '1', is_granted: true, channel: 'website' });
    expect(rows[0].evidence).toMatchObject({
      ip: expect.stringMatching(/^10\.9\./),
      text_hash: expect.stringMatching(/^[\da-f]{64}$/),
    });
    expect(await hasAgreed(site.db, sub, 'privacy')).toBe(true);
  });

  it('is not asked for again in a browser in which it was agreed to', async () => {
    const visitor = browser();
    const { phone } = await signIn(visitor);
    const again = await start(visitor, { prompt: 'login' });
    expect(again.html).not.toContain('name="privacy"');
    await site.db('rate_limits').delete();
    const page = await visitor.follow(await visitor.submit(formTo(again, '/sms'), { phone }));
    const out = await visitor.follow(await visitor.submit(formTo(page, '/verify'), { code: lastCode(phone) }));
    expect(callback(out).searchParams.get('code')).toBeTruthy();
  });

  it('is asked of another person in that browser after the code, before there is a subject', async () => {
    const visitor = browser();
    await signIn(visitor);
    const { phone } = newPerson();
    const page = await start(visitor, { prompt: 'login' });
    const code = await visitor.follow(await visitor.submit(formTo(page, '/sms'), { phone }));
    const agree = await visitor.follow(await visitor.submit(formTo(code, '/verify'), { code: lastCode(phone) }));
    expect(new URL(agree.url).pathname).toMatch(/\/agree$/);
    expect(await subjectOf(phone)).toBeUndefined();
    const refused = await visitor.submit(formTo(agree, '/agree'));
    expect(refused.status).toBe(400);
    expect(await subjectOf(phone)).toBeUndefined();
    const out = await visitor.follow(await visitor.submit(formTo(agree, '/agree'), { privacy: '1' }));
    expect(callback(out).searchParams.get('code')).toBeTruthy();
    expect(await hasAgreed(site.db, (await subjectOf(phone)) ?? '', 'privacy')).toBe(true);
  });

  it('reads in both languages, with every purpose and its basis', async () => {
    const chinese = await browser().get(`${site.origin}/privacy`);
    expect(chinese.html).toContain('处理目的与法律依据');
    const english = await browser({ language: 'en' }).get(`${site.origin}/privacy`);
    expect(english.html.match(/class="purpose"/g)).toHaveLength(5);
    expect(english.html).toContain('Your separate consent');
  });
});

describe('a wrong code', () => {
  it('says how many tries are left, and after the last what to do (B1)', async () => {
    const visitor = browser();
    const { phone } = newPerson();
    let page = await ask(visitor, phone);
    const code = wrong(lastCode(phone));
    for (const left of [4, 3, 2, 1]) {
      page = await visitor.submit(formTo(page, '/verify'), { code });
      expect(page.status).toBe(400);
      expect(page.html).toContain(`还可以再试 ${left} 次`);
      expect(page.html).toMatch(/role="alert"/);
    }
    page = await visitor.submit(formTo(page, '/verify'), { code });
    expect(page.html).toContain('输错次数过多');
    const late = await visitor.submit(formTo(page, '/verify'), { code: lastCode(phone) });
    expect(late.status).toBe(400);
  });

  it('expired says so and offers a new one (B5)', async () => {
    const visitor = browser();
    const { phone } = newPerson();
    const page = await ask(visitor, phone);
    await site.db('one_time_codes').update({ expires_at: site.db.raw(`now() - interval '1 second'`) });
    site.now.shift = 301_000;
    const late = await visitor.submit(formTo(page, '/verify'), { code: lastCode(phone) });
    site.now.shift = 0;
    expect(late.status).toBe(400);
    expect(late.html).toContain('验证码已过期');
    expect(formTo(late, '/resend')).toBeTruthy();
  });
});

describe('another code', () => {
  it('asked for too soon is answered with the waiting time, and the code that was sent still works', async () => {
    const visitor = browser();
    const { phone } = newPerson();
    const page = await ask(visitor, phone);
    const early = await visitor.submit(formTo(page, '/resend'));
    expect(early.status).toBe(429);
    expect(Number(early.headers.get('retry-after'))).toBeGreaterThan(50);
    expect(early.html).toMatch(/请在 \d+ 秒后再试/);
    const out = await visitor.follow(await visitor.submit(formTo(early, '/verify'), { code: lastCode(phone) }));
    expect(callback(out).searchParams.get('code')).toBeTruthy();
  });

  it('replaces the one before (B3)', async () => {
    const visitor = browser();
    const { phone } = newPerson();
    const page = await ask(visitor, phone);
    const first = lastCode(phone);
    await site.db('rate_limits').delete();
    const resent = await visitor.follow(await visitor.submit(formTo(page, '/resend')));
    expect(resent.html).toContain('新的验证码已发送');
    const second = lastCode(phone);
    if (first !== second) {
      const refused = await visitor.submit(formTo(resent, '/verify'), { code: first });
      expect(refused.status).toBe(400);
    }
    const out = await visitor.follow(await visitor.submit(formTo(resent, '/verify'), { code: second }));
    expect(callback(out).searchParams.get('code')).toBeTruthy();
  });

  it('asked for from the first page for the same number leads to the code that is still good', async () => {
    const visitor = browser();
    const { phone } = newPerson();
    const page = await ask(visitor, phone);
    const back = await visitor.get(page.url.replace(/\/sms.*/, ''));
    expect(back.html).toContain(`value="${phone}"`);
    const again = await visitor.follow(await visitor.submit(formTo(back, '/sms'), { phone }));
    expect(again.html).toContain('验证码刚刚发送过');
    const out = await visitor.follow(await visitor.submit(formTo(again, '/verify'), { code: lastCode(phone) }));
    expect(callback(out).searchParams.get('code')).toBeTruthy();
  });

  it('for another number replaces the waiting one', async () => {
    const visitor = browser();
    const page = await ask(visitor, newPerson().phone);
    const { phone } = newPerson();
    const back = await visitor.get(page.url.replace(/\/sms.*/, ''));
    const other = await visitor.follow(await visitor.submit(formTo(back, '/sms'), { phone }));
    expect(other.html).toContain(phone.slice(-4));
    const out = await visitor.follow(await visitor.submit(formTo(other, '/verify'), { code: lastCode(phone) }));
    expect(callback(out).searchParams.get('code')).toBeTruthy();
    expect(await subjectOf(phone)).toBeTruthy();
  });
});

describe('clicks that come twice', () => {
  it('D1: twenty at the same instant make one subject, and every answer leads on or says it is done', async () => {
    const visitor = browser();
    const { phone } = newPerson();
    const page = await ask(visitor, phone);
    const form = formTo(page, '/verify');
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => visitor.submit(form, { code: lastCode(phone) })),
    );
    for (const answer of answers) {
      expect(answer.status).toBe(303);
      expect(new URL(answer.location ?? '').pathname).toMatch(/^\/authorize\//);
    }
    const { count } = (await site
      .db('identities')
      .where({ subject_id: await subjectOf(phone) })
      .count()
      .first()) as { count: number };
    expect(count).toBe(1);
  });

  it('the second, when the first has already come back, says that sign-in is done', async () => {
    const visitor = browser();
    const { page, phone } = await signIn(visitor);
    const second = await visitor.submit(formTo(page, '/verify'), { code: lastCode(phone) });
    expect(second.status).toBe(200);
    expect(second.html).toContain('您已完成登录');
    expect(second.html).toContain(`href="${site.website.origin}"`);
  });
});

describe('an expired sign-in', () => {
  it('shows a page with the way back to the client', async () => {
    const visitor = browser();
    const page = await start(visitor);
    const interaction = await site.provider.Interaction.find(new URL(page.url).pathname.split('/')[2] ?? '');
    await interaction?.destroy();
    const expired = await visitor.submit(formTo(page, '/sms'), { phone: newPerson().phone, privacy: '1' });
    expect(expired.status).toBe(400);
    expect(expired.html).toContain('这次登录已过期');
    expect(expired.html).toContain(`href="${site.website.origin}"`);
    expect(expired.html).toContain('返回 示例官网');
  });

  it('of nobody we know says where to go', async () => {
    const unknown = await browser().get(`${site.origin}/login/abcdefghijklmnopqrstu`);
    expect(unknown.status).toBe(400);
    expect(unknown.html).toContain('回到首页');
  });
});

describe('a suspended person', () => {
  it('is told so, with no token', async () => {
    const { phone } = await signIn(browser());
    await site
      .db('subjects')
      .where({ id: await subjectOf(phone) })
      .update({ status: 'suspended' });
    await site.db('rate_limits').delete();
    const visitor = browser();
    const page = await ask(visitor, phone);
    const refused = await visitor.submit(formTo(page, '/verify'), { code: lastCode(phone) });
    expect(refused.status).toBe(403);
    expect(refused.html).toContain('此账号已被停用');
  });
});

describe('language', () => {
  it('is the reader’s own, Chinese when nothing is known', async () => {
    expect((await start(browser({ language: 'en-GB,en;q=0.9' }))).html).toContain('<html lang="en">');
    expect((await start(browser({ language: 'fr' }))).html).toContain('<html lang="zh-CN">');
  });

  it('is the one the client asks for by ui_locales', async () => {
    expect((await start(browser({ language: 'zh-CN' }), { ui_locales: 'en' })).html).toContain('Sign in');
  });

  it('switched on the page keeps the sign-in and stays switched, over what the client asked for', async () => {
    const visitor = browser();
    const { phone } = newPerson();
    const page = await start(visitor, { ui_locales: 'zh-CN' });
    const link = /href="([^"]*\?lang=en)"/.exec(page.html)?.[1] ?? '';
    const english = await visitor.get(new URL(link, page.url).href);
    expect(english.html).toContain('Send code');
    const code = await visitor.follow(await visitor.submit(formTo(english, '/sms'), { phone, privacy: '1' }));
    expect(code.html).toContain('Enter the code');
    const out = await visitor.follow(await visitor.submit(formTo(code, '/verify'), { code: lastCode(phone) }));
    expect(callback(out).searchParams.get('code')).toBeTruthy();
  });

  it('can be switched on a page that is the answer to a post', async () => {
    const visitor = browser();
    const page = await start(visitor);
    const refused = await visitor.submit(formTo(page, '/sms'), { phone: newPerson().phone });
    const link = /href="([^"]*\?lang=en)"/.exec(refused.html)?.[1] ?? '';
    const english = await visitor.get(new URL(link, refused.url).href);
    expect(english.html).toContain('Sign in');
  });
});

it('the record says who signed in where by which method, and no number', async () => {
  const { phone } = await signIn(browser());
  const sub = await subjectOf(phone);
  const entry = await site.db('audit_entries').where({ subject_id: sub, action: 'subject.signed_in' }).first();
  expect(entry).toMatchObject({
    client_id: 'website',
    actor_id: sub,
    details: { method: 'sms', channel: 'website', is_new: true },
  });
  expect(JSON.stringify(entry)).not.toContain(phone.slice(-8));
  expect(site.logged()).not.toContain(phone.slice(-8));
  expect(site.logged()).not.toContain(lastCode(phone));
});
