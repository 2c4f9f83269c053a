import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { openBrowser, watchedPage } from '../helpers/browser.ts';
import { openid } from '../subjects/people.ts';
import { openAccounts } from './site.ts';

const site = await openAccounts();
const browser = await openBrowser();
const { db, at, codeFor, known, identityOf, newPerson } = site;

async function signIn(page: Page, email: string): Promise<void> {
  await db('rate_limits').delete();
  await page.goto(at('/account'));
  await page.getByText('邮箱验证码').click();
  await page.getByLabel('邮箱地址').fill(email);
  await page.locator('#privacy-email').check();
  await page.locator('form:has([name=email]) button[type=submit]').click();
  await page.getByRole('textbox', { name: '验证码' }).fill(await codeFor(email));
  await page.getByRole('button', { name: '登录', exact: true }).click();
  await page.waitForURL(at('/account'));
}
const isTooWide = (page: Page) =>
  page.evaluate('document.documentElement.scrollWidth > document.documentElement.clientWidth');

describe('in a real browser', () => {
  it('without JavaScript, at 320 pixels, a number of another account is joined after looking at both', async () => {
    const { email, phone } = newPerson();
    const other = await known(openid(), identityOf(phone));
    const nickname = '<img src=x onerror=alert(1)>王小明'.repeat(2);
    await db('subjects').where({ id: other }).update({ nickname });
    const { page, complaints } = await watchedPage(browser, {
      javaScriptEnabled: false,
      viewport: { width: 320, height: 700 },
    });
    await signIn(page, email);
    expect(await isTooWide(page)).toBe(false);
    await page.getByRole('link', { name: '添加手机号' }).click();
    await page.getByLabel('手机号').fill(phone);
    expect(await isTooWide(page)).toBe(false);
    await page.getByRole('button', { name: '获取验证码' }).click();
    await page.getByRole('textbox', { name: '验证码' }).fill(await codeFor(phone));
    await page.getByRole('button', { name: '完成添加' }).click();
    await page.getByRole('heading', { name: '它已属于另一个账号' }).waitFor();
    expect(await isTooWide(page)).toBe(false);
    await page.getByRole('link', { name: '两个账号都是我的' }).click();
    await page.getByText('王小明').first().waitFor();
    expect(await isTooWide(page)).toBe(false);
    await page.getByRole('button', { name: '确认合并' }).click();
    await page.getByRole('heading', { name: '两个账号已经合并' }).waitFor();
    await page.getByRole('link', { name: '重新登录' }).click();
    await page.waitForURL(/\/login\//);
    expect(complaints).toEqual([]);
  });

  it('by the keyboard alone a number is added, and nothing is refused by the policy', async () => {
    const { email, phone } = newPerson();
    const { page, complaints } = await watchedPage(browser);
    await signIn(page, email);
    await page.getByRole('link', { name: '添加手机号' }).focus();
    await page.keyboard.press('Enter');
    await page.waitForURL(at('/account/add/sms'));
    expect(await page.evaluate('document.activeElement.name')).toBe('phone');
    await page.keyboard.type(phone);
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/verify$/);
    expect(await page.evaluate('document.activeElement.name')).toBe('code');
    await page.keyboard.type(await codeFor(phone));
    await page.keyboard.press('Enter');
    await page.waitForURL(/note=added/);
    expect(await page.getByRole('status').textContent()).toContain('已添加');
    expect(complaints).toEqual([]);
  });

  it('in English everything is English', async () => {
    const { email } = newPerson();
    const { page, complaints } = await watchedPage(browser);
    await signIn(page, email);
    await page.goto(at('/account?lang=en'));
    const text = (await page.locator('main').textContent()) ?? '';
    expect(text).toContain('Account and security');
    expect(text.replace(/合一/g, '')).not.toMatch(/\p{Script=Han}/u);
    expect(complaints).toEqual([]);
  });
});
