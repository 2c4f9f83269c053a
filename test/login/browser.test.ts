import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { newPerson } from '../connectors/services.ts';
import { openBrowser, watchedPage } from '../helpers/browser.ts';
import { authorizeUrl, openSite } from './site.ts';

const site = await openSite({ sandbox: true });
const browser = await openBrowser();
const lastCode = () => site.sms.at(-1)?.code ?? '';

async function toCodePage(page: Page, phone: string): Promise<void> {
  await page.goto(authorizeUrl(site));
  await page.getByLabel('手机号', { exact: true }).fill(phone);
  await page.locator('#privacy-sms').check();
  await page.getByRole('button', { name: '获取验证码' }).click();
  await page.getByRole('textbox', { name: '验证码' }).waitFor();
}

describe('in a real browser', () => {
  it('the keyboard alone signs in, and nothing is refused by the policy', async () => {
    const { page, complaints } = await watchedPage(browser);
    const { phone } = newPerson();
    await page.goto(authorizeUrl(site));
    // The cursor is in the first field already.
    await page.keyboard.type(phone);
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.name')).toBe('privacy');
    await page.keyboard.press('Space');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.textContent')).toBe('获取验证码');
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/sms\/verify/);
    expect(await page.evaluate('document.activeElement.name')).toBe('code');
    await page.keyboard.type(lastCode());
    await page.keyboard.press('Enter');
    await page.waitForURL(`${site.website.callback}**`);
    expect(complaints).toEqual([]);
  });

  it('works without JavaScript, by phone and by e-mail, the waiting time shown', async () => {
    const { page, complaints } = await watchedPage(browser, { javaScriptEnabled: false });
    await toCodePage(page, newPerson().phone);
    await expect(page.locator('[data-wait]').textContent()).resolves.toMatch(/秒后可重新发送/);
    await page.getByRole('textbox', { name: '验证码' }).fill(lastCode());
    await page.getByRole('button', { name: '登录' }).click();
    await page.waitForURL(`${site.website.callback}**`);

    const other = await watchedPage(browser, { javaScriptEnabled: false });
    const { email } = newPerson();
    await other.page.goto(authorizeUrl(site));
    await other.page.getByText('邮箱验证码').click();
    await other.page.getByLabel('邮箱地址').fill(email);
    await other.page.locator('#privacy-email').check();
    await other.page.getByRole('button', { name: '获取验证码' }).click();
    await other.page
      .getByRole('textbox', { name: '验证码' })
      .fill(site.mails.findLast(({ to }) => to === email)?.code ?? '');
    await other.page.getByRole('button', { name: '登录' }).click();
    await other.page.waitForURL(`${site.website.callback}**`);
    expect([...complaints, ...other.complaints]).toEqual([]);
  });

  it('response_mode=form_post reaches the client under the policy', async () => {
    const { page, complaints } = await watchedPage(browser);
    await page.goto(authorizeUrl(site, { response_mode: 'form_post' }));
    await page.getByLabel('手机号', { exact: true }).fill(newPerson().phone);
    await page.locator('#privacy-sms').check();
    await page.getByRole('button', { name: '获取验证码' }).click();
    await page.getByRole('textbox', { name: '验证码' }).waitFor();
    await page.getByRole('textbox', { name: '验证码' }).fill(lastCode());
    await page.getByRole('button', { name: '登录' }).click();
    await page.waitForURL(site.website.callback);
    expect(complaints).toEqual([]);
  });

  it('with JavaScript counts down, and a double click signs in once', async () => {
    const { page, complaints } = await watchedPage(browser);
    await toCodePage(page, newPerson().phone);
    const resend = page.getByRole('button', { name: '重新发送验证码' });
    expect(await resend.isDisabled()).toBe(true);
    const first = await page.locator('[data-wait]').textContent();
    await expect.poll(() => page.locator('[data-wait]').textContent(), { timeout: 5000 }).not.toBe(first);
    await page.getByRole('textbox', { name: '验证码' }).fill(lastCode());
    await page.getByRole('button', { name: '登录' }).dblclick();
    await page.waitForURL(`${site.website.callback}**`);
    expect(complaints).toEqual([]);
  });

  it.each([
    ['320 px, Chinese', 'zh-CN', 320],
    ['320 px, English', 'en', 320],
    ['a desktop', 'zh-CN', 1280],
  ])('%s: no page scrolls sideways, and everything to press is 44 px high', async (_what, locale, width) => {
    const { page, complaints } = await watchedPage(browser, {
      locale,
      viewport: { width, height: 640 },
      colorScheme: 'dark',
    });
    const { phone } = newPerson();
    const look = async () => {
      expect(await page.evaluate('document.documentElement.scrollWidth'), page.url()).toBeLessThanOrEqual(width);
      const small =
        await page.evaluate(`[...document.querySelectorAll('button, .field input, .foot a, .method-tab, .button, .links a')]
        .filter((element) => element.offsetParent && element.getBoundingClientRect().height < 44).map((element) => element.outerHTML)`);
      expect(small, page.url()).toEqual([]);
      const tiny = await page.evaluate(`[...document.querySelectorAll('.field input')]
        .filter((element) => parseFloat(getComputedStyle(element).fontSize) < 16).length`);
      expect(tiny).toBe(0);
    };
    await page.goto(authorizeUrl(site));
    await look();
    await page.locator('input[name=phone]').fill('1');
    await page.locator('form:has(input[name=phone]) .button').click();
    await page.locator('[role=alert]').waitFor();
    await look();
    await page.locator('input[name=phone]').fill(phone);
    await page.locator('#privacy-sms').check();
    await page.locator('form:has(input[name=phone]) .button').click();
    await page.locator('input[name=code]').waitFor();
    await look();
    for (const path of ['/', '/privacy', '/nowhere', '/logout/success', '/login/abcdefghijklmnopqrstu']) {
      await page.goto(site.origin + path);
      await look();
    }
    expect(complaints).toEqual([]);
  });

  it('every field has a label, every error is tied to its field and is announced', async () => {
    const { page } = await watchedPage(browser);
    await page.goto(authorizeUrl(site));
    await page.getByRole('button', { name: '获取验证码' }).click();
    // The browser itself asks for the number first.
    await page.getByLabel('手机号', { exact: true }).fill('123');
    await page.locator('#privacy-sms').check();
    await page.getByRole('button', { name: '获取验证码' }).click();
    const alert = page.getByRole('alert');
    await alert.waitFor();
    const field = page.getByLabel('手机号', { exact: true });
    expect(await field.inputValue()).toBe('123');
    expect(await field.getAttribute('aria-describedby')).toContain((await alert.getAttribute('id')) ?? 'none');
    const nameless = await page.evaluate(
      `[...document.querySelectorAll('input:not([type=hidden])')].filter((input) => !input.labels.length).length`,
    );
    expect(nameless).toBe(0);
  });

  it('C16, E1: markup in names and parameters opens no dialog and runs nothing', async () => {
    const { page, complaints } = await watchedPage(browser);
    const payload = '"><img src=x onerror=alert(1)><script>alert(2)</script>';
    await page.goto(
      authorizeUrl(site, {
        client_id: 'phone-only',
        redirect_uri: `${site.website.origin}/phone`,
        login_hint: payload,
      }),
    );
    expect(await page.locator('.lead').first().textContent()).toContain('Phone <b>only</b>');
    expect(await page.locator('input[name=phone]').inputValue()).toBe(payload);
    await page.goto(authorizeUrl(site, { response_mode: payload, state: payload }));
    await page.goto(`${site.origin}/logout?client_id=${encodeURIComponent(payload)}`);
    await page.goto(`${site.origin}/?lang=${encodeURIComponent(payload)}`);
    expect(complaints).toEqual([]);
  });

  it('A33: no page of ours can be framed', async () => {
    const { page } = await watchedPage(browser);
    await page.goto(site.website.origin);
    await page.evaluate(
      `document.body.append(Object.assign(document.createElement('iframe'), { src: '${site.origin}/privacy' }))`,
    );
    await expect.poll(() => page.frames().map((frame) => frame.url())).toContain('chrome-error://chromewebdata/');
  });

  it('signing out needs a click and no script', async () => {
    const { page, complaints } = await watchedPage(browser, { javaScriptEnabled: false });
    await toCodePage(page, newPerson().phone);
    await page.getByRole('textbox', { name: '验证码' }).fill(lastCode());
    await page.getByRole('button', { name: '登录' }).click();
    await page.waitForURL(`${site.website.callback}**`);
    const target = `${site.website.origin}/bye`;
    await page.goto(`${site.origin}/logout?client_id=website&post_logout_redirect_uri=${encodeURIComponent(target)}`);
    await page.getByRole('button', { name: '退出登录' }).click();
    await page.waitForURL(target);
    expect(complaints).toEqual([]);
  });
});
