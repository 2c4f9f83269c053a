/** The captcha as people meet it: by a script, without one, on the first page and at the next code. */
import { describe, expect, it } from 'vitest';
import { newPerson, solveCaptcha } from '../connectors/services.ts';
import { openBrowser, watchedPage } from '../helpers/browser.ts';
import { authorizeUrl, openSite } from './site.ts';
import { type Answer, formTo, unescapeHtml } from './visitor.ts';
import { walker } from './walk.ts';

const site = await openSite();
const { browser, start, ask, lastCode } = walker(site);
const chromium = await openBrowser();

const minutePasses = () => site.db.raw(`delete from rate_limits where key like 'code_recipient_spacing%'`);
const challengeOf = ({ html }: Answer) => JSON.parse(unescapeHtml(/data-captcha="([^"]*)"/.exec(html)?.[1] ?? 'null'));

/** A number that three strangers have asked for a code today. */
async function harassed(): Promise<string> {
  const { phone } = newPerson();
  for (let n = 0; n < 3; n++) {
    await ask(browser(), phone);
    await minutePasses();
  }
  return phone;
}

describe('B7: when a captcha is demanded', () => {
  it('no code leaves, and whoever has no script is told so and keeps the other methods', async () => {
    const phone = await harassed();
    const sent = site.sms.length;
    const visitor = browser();
    const asked = await ask(visitor, phone);
    expect(asked.status).toBe(400);
    expect(asked.html).toMatch(/<noscript>.*它要用到 JavaScript.*换一种登录方式.*<\/noscript>/s);
    expect(formTo(asked, '/sms').fields).toMatchObject({ phone, captcha: '' });
    expect(formTo(asked, '/email').fields).not.toHaveProperty('captcha');
    expect(site.sms).toHaveLength(sent);
    const { email } = newPerson();
    const other = await visitor.follow(await visitor.submit(formTo(asked, '/email'), { email }));
    expect(new URL(other.url).pathname).toMatch(/\/email\/verify$/);
  });

  it('its solution sends the code, and does not serve twice', async () => {
    const [first, second] = [await harassed(), await harassed()];
    const visitor = browser();
    const asked = await ask(visitor, first);
    const captcha = solveCaptcha(challengeOf(asked));
    const page = await visitor.follow(await visitor.submit(formTo(asked, '/sms'), { captcha }));
    expect(new URL(page.url).pathname).toMatch(/\/sms\/verify$/);
    const done = await visitor.submit(formTo(page, '/verify'), { code: lastCode(first) });
    expect(done.status).toBe(303);

    const other = browser();
    const again = await other.submit(formTo(await ask(other, second), '/sms'), { captcha });
    expect(again.status).toBe(400);
    // A refused solution does not make the page press its button again by itself, for ever.
    expect(again.html).toContain('data-captcha=');
    expect(again.html).not.toContain('data-goes-on');
  });

  it('is demanded for the next code as well', async () => {
    const { phone } = newPerson();
    const visitor = browser();
    let page = await ask(visitor, phone);
    for (let n = 0; n < 2; n++) {
      await minutePasses();
      page = await visitor.follow(await visitor.submit(formTo(page, '/resend')));
      expect(page.html).toContain('新的验证码已发送');
    }
    await minutePasses();
    const asked = await visitor.submit(formTo(page, '/resend'));
    expect(asked.status).toBe(400);
    const captcha = solveCaptcha(challengeOf(asked));
    const resent = await visitor.follow(await visitor.submit(formTo(asked, '/resend'), { captcha }));
    expect(resent.html).toContain('新的验证码已发送');
  });

  it('an ordinary sign-in meets none: neither page loads its script', async () => {
    const visitor = browser();
    const page = await start(visitor);
    const code = await ask(visitor, newPerson().phone);
    for (const { html } of [page, code]) expect(html).not.toMatch(/captcha/);
  });
});

describe('B7: in a real browser', () => {
  it('the page solves it by itself and goes on, on plain http, and nothing foreign is loaded', async () => {
    const phone = await harassed();
    const { page, complaints } = await watchedPage(chromium);
    await page.goto(authorizeUrl(site));
    await page.getByLabel('手机号', { exact: true }).fill(phone);
    await page.locator('#privacy-sms').check();
    await page.getByRole('button', { name: '获取验证码' }).click();
    await page.waitForURL(/\/sms\/verify/);
    await page.getByRole('textbox', { name: '验证码' }).fill(lastCode(phone));
    await page.getByRole('button', { name: '登录' }).click();
    await page.waitForURL(`${site.website.callback}**`);
    expect(complaints).toEqual([]);
  });
});
