/** One sign-in for both sides, in real browsers: a computer, and a phone in another browser that shares nothing with it. */
import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { openBrowser, watchedPage } from '../helpers/browser.ts';
import { startWorld } from './world.ts';

const world = await startWorld();
const browser = await openBrowser();
const desktop = { viewport: { width: 1280, height: 900 } };
const pictures = process.env.HEYI_PICTURES;

const look = async (page: Page, name: string) => {
  if (pictures) await page.screenshot({ path: `${pictures}/${name}.png`, fullPage: true });
};

async function holdPhone(person: string, query = '') {
  const watched = await watchedPage(browser, desktop);
  await watched.page.goto(`${world.demo}/miniprogram${query}`);
  await watched.page.locator(`#people input[value="${person}"]`).check();
  const phone = watched.page.locator('#phone');
  await phone.getByRole('link', { name: /古树生普/ }).waitFor();
  return { ...watched, phone };
}

async function signInByWechat({ phone }: Awaited<ReturnType<typeof holdPhone>>): Promise<void> {
  await phone.getByRole('checkbox', { name: /隐私政策/ }).click();
  await phone.getByRole('button', { name: /仅用微信登录/ }).click();
}

async function signInOnWebsite(page: Page, number: string): Promise<string> {
  await page.goto(`${world.demo}/sign-in?return=/account`);
  const ask = page.locator('form:has([name=phone])');
  await ask.locator('[name=phone]').fill(number.slice(3));
  await ask.locator('[name=privacy]').check();
  await ask.locator('button').first().click();
  await page.locator('[name=code]').fill(await world.codeFor(number));
  await page.locator('form:has([name=code]) button').first().click();
  await page.waitForURL(`${world.demo}/account`);
  return String(await page.locator('#sub').textContent());
}

const miniSub = (page: Page) => page.locator('[data-sub="miniprogram"]').textContent();

describe('on a computer, by scanning with the mini-program', () => {
  test('the page follows the phone by itself: scanned, confirmed, signed in as the person with the phone', async () => {
    const held = await holdPhone(await world.addPerson('扫码的人'));
    const { page: pc, complaints } = await watchedPage(browser, desktop);
    await pc.goto(`${world.demo}/sign-in?return=/account`);
    await look(pc, 'start');
    await pc.getByRole('button', { name: '微信扫码，在小程序里确认' }).click();
    await pc.getByRole('img', { name: /小程序码/ }).waitFor();
    await look(pc, 'scan-pending');

    await held.page.getByRole('button', { name: /最新的小程序码/ }).click();
    await held.phone.getByRole('button', { name: '登录', exact: true }).click();
    await signInByWechat(held);
    await held.phone.getByText('要在这台电脑上登录吗').waitFor();
    await held.phone.getByText(new URL(world.demo).host).waitFor();
    await pc.getByText('已扫码').waitFor();
    await look(pc, 'scan-scanned');
    await look(held.page, 'phone-scan');
    await held.phone.getByRole('button', { name: '确认登录' }).click();
    await held.phone.getByText('请回到电脑上继续').waitFor();
    await pc.waitForURL(`${world.demo}/account`);
    const sub = await pc.locator('#sub').textContent();
    await expect.poll(() => miniSub(held.page)).toBe(sub);
    expect([...complaints, ...held.complaints]).toEqual([]);
  });

  test('without JavaScript the page is loaded again, and has a button when the phone has said yes', async () => {
    const held = await holdPhone(await world.addPerson('另一个人'));
    const { page: pc, complaints } = await watchedPage(browser, { ...desktop, javaScriptEnabled: false });
    await pc.goto(`${world.demo}/sign-in?return=/account`);
    await pc.getByRole('button', { name: '微信扫码，在小程序里确认' }).click();
    await pc.getByRole('img', { name: /小程序码/ }).waitFor();
    await held.page.getByRole('button', { name: /最新的小程序码/ }).click();
    await held.phone.getByRole('button', { name: '登录', exact: true }).click();
    await signInByWechat(held);
    await held.phone.getByRole('button', { name: '确认登录' }).click();
    await pc.getByRole('button', { name: '继续登录' }).click();
    await pc.waitForURL(`${world.demo}/account`);
    expect([...complaints, ...held.complaints]).toEqual([]);
  });

  test('refused on the phone, the page offers another code; who cannot have streams asks instead', async () => {
    const held = await holdPhone(await world.addPerson('说不的人'));
    const { page: pc, complaints } = await watchedPage(browser, desktop);
    await pc.addInitScript('delete window.EventSource');
    await pc.goto(`${world.demo}/sign-in?return=/account`);
    await pc.getByRole('button', { name: '微信扫码，在小程序里确认' }).click();
    await pc.getByRole('img', { name: /小程序码/ }).waitFor();
    await held.page.getByRole('button', { name: /最新的小程序码/ }).click();
    await held.phone.getByRole('button', { name: '登录', exact: true }).click();
    await signInByWechat(held);
    await held.phone.getByRole('button', { name: /不是我/ }).click();
    await pc.getByText('手机上拒绝了这次登录').waitFor();
    await look(pc, 'scan-denied');
    await pc.locator('.scan').getByRole('button', { name: '换一个小程序码' }).first().click();
    await pc.getByRole('img', { name: /小程序码/ }).waitFor();
    expect(complaints).toEqual([]);
  });
});

test('the website opens in the mini-program’s web view, signed in, and its links lead on', async () => {
  const held = await holdPhone(await world.addPerson('去官网的人'));
  await held.phone.getByRole('button', { name: '我的' }).click();
  await held.phone.getByRole('button', { name: '登录', exact: true }).click();
  await signInByWechat(held);
  await held.phone.getByRole('button', { name: '打开官网' }).click();
  const view = held.phone.frameLocator('iframe');
  await view.locator('#sub').waitFor();
  await expect.poll(() => miniSub(held.page)).toBe(await view.locator('#sub').textContent());
  await look(held.page, 'phone-website');
  await view.getByRole('link', { name: '选物' }).first().click();
  await view
    .getByRole('link', { name: /紫砂壶/ })
    .first()
    .waitFor();
  // The web view's browser is not the page's: nobody is signed in in that one.
  await held.page.goto(world.demo);
  expect(await held.page.locator('[data-corner-sub]').count()).toBe(0);
  expect(held.complaints).toEqual([]);
});

describe('from the website into the mini-program', () => {
  test('the digits make both sides one person; a friend with the link alone stays who they are', async () => {
    const { page: pc, complaints } = await watchedPage(browser, desktop);
    const sub = await signInOnWebsite(pc, '+8613612340077');
    await look(pc, 'website-account');
    await pc.getByRole('button', { name: '在小程序中打开' }).click();
    const code = String(await pc.locator('#pairing-code').textContent());
    expect(code).toMatch(/^\d{4}$/);
    await look(pc, 'website-pairing');
    const link = String(await pc.getByRole('link', { name: '打开小程序' }).getAttribute('href'));

    const friend = await openLink(await world.addPerson('朋友'), link);
    await friend.phone.getByLabel('四位数字').fill(code === '0000' ? '1111' : '0000');
    await friend.phone.getByRole('checkbox', { name: /隐私政策/ }).click();
    await friend.phone.getByRole('button', { name: '确认关联' }).click();
    await friend.phone.getByText('数字不对').waitFor();
    await expect.poll(() => miniSub(friend.page)).toMatch(/^[0-9a-f-]{36}$/);
    expect(await miniSub(friend.page)).not.toBe(sub);

    const own = await openLink(await world.addPerson('本人'), link);
    await own.phone.getByText('山屿 Demo').waitFor();
    await look(own.page, 'phone-link');
    await own.phone.getByLabel('四位数字').fill(code);
    await own.phone.getByRole('checkbox', { name: /隐私政策/ }).click();
    await own.phone.getByRole('button', { name: '确认关联' }).click();
    await own.phone.getByText('已关联').waitFor();
    await expect.poll(() => miniSub(own.page)).toBe(sub);
    expect([...complaints, ...own.complaints, ...friend.complaints]).toEqual([]);
  });

  /** As the sandbox does with whoever opens the link: their phone, with the mini-program at that page. */
  async function openLink(person: string, url: string) {
    const { page_url } = await world.sandboxPost(`/people/${person}/scan`, { url });
    const watched = await watchedPage(browser, desktop);
    await watched.page.goto(String(page_url));
    return { ...watched, phone: watched.page.locator('#phone') };
  }
});
