/** The story of the demo in a real browser: one person on the website and in the mini-program, and their record as one. */
import type { Locator, Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { openBrowser, watchedPage } from '../helpers/browser.ts';
import { startWorld } from './world.ts';

const world = await startWorld();
const browser = await openBrowser();

type Event = { event: string; channel: string; trust: string; timestamp: string; properties: Record<string, unknown> };

const eventsOf = async (sub: string) => (await world.api(`/subjects/${sub}/events?limit=200`)).data as Event[];
const phoneOf = (page: Page) => page.locator('#phone');

/** Signs in on the website by a code in a text message. */
async function signInOnWebsite(page: Page, phone: string): Promise<string> {
  await page.getByRole('link', { name: '登录', exact: true }).click();
  const ask = page.locator('form:has([name=phone])');
  await ask.locator('[name=phone]').fill(phone.slice(3));
  await ask.locator('[name=privacy]').check();
  await ask.locator('button').first().click();
  const answer = page.locator('form:has([name=code])').first();
  await answer.waitFor();
  await answer.locator('[name=code]').fill(await world.codeFor(phone));
  await answer.locator('button').first().click();
  await page.waitForURL(`${world.demo}/**`);
  const sub = await page.locator('[data-corner-sub]').getAttribute('data-corner-sub');
  if (!sub) throw new Error('not signed in');
  return sub;
}

/** Until Heyi has the view. */
async function lookAtTeapot(page: Page): Promise<void> {
  const stored = page.waitForResponse(
    (answer) =>
      answer.url() === `${world.heyi}/v1/batch` && String(answer.request().postData()).includes('product_viewed'),
  );
  await page.getByRole('link', { name: /紫砂壶/ }).click();
  expect((await stored).status()).toBe(200);
}

async function openMiniProgram(page: Page, personId: string): Promise<Locator> {
  await page.goto(`${world.demo}/miniprogram`);
  await page.locator(`#people input[value="${personId}"]`).check();
  const phone = phoneOf(page);
  await phone.getByRole('link', { name: /古树生普/ }).waitFor();
  return phone;
}

const toLogin = async (phone: Locator) => {
  await phone.getByRole('button', { name: '我的' }).click();
  await phone.getByRole('button', { name: '登录', exact: true }).click();
};
const agree = (phone: Locator) => phone.getByRole('checkbox', { name: /隐私政策/ }).click();

async function signInByPhoneButton(phone: Locator): Promise<void> {
  await phone.getByRole('button', { name: '手机号一键登录' }).click();
  await phone.getByRole('button', { name: '允许', exact: true }).click();
  await phone.getByRole('dialog').waitFor({ state: 'hidden' });
}

const miniSub = (page: Page) => page.locator('[data-sub="miniprogram"]');
const verdictColour = (page: Page) =>
  page.evaluate<string>('getComputedStyle(document.querySelector("[data-verdict]")).backgroundColor');

describe('one person on both sides', () => {
  test('what they did on the website and in the mini-program, also before signing in, is on one timeline under one sub', async () => {
    const phoneNumber = '+8613612340001';
    const personId = await world.addPerson('苏小满', phoneNumber);
    const { page, complaints } = await watchedPage(browser, { viewport: { width: 1440, height: 900 } });
    await page.goto(world.demo);
    await page.getByRole('button', { name: '同意个性化' }).click();
    await lookAtTeapot(page);

    const sub = await signInOnWebsite(page, phoneNumber);
    expect(sub).toMatch(/^[0-9a-f-]{36}$/);
    await page.goto(`${world.demo}/products/longjing`);
    await page.getByRole('button', { name: '立即购买' }).click();
    await page.waitForURL('**/account');
    expect(await page.locator('#sub').textContent()).toBe(sub);

    const phone = await openMiniProgram(page, personId);
    const undecided = await verdictColour(page);
    await phone.getByRole('link', { name: /古树生普/ }).click();
    await phone.getByRole('button', { name: '登录后购买' }).click();
    await agree(phone);
    await phone.getByRole('checkbox', { name: /个性化/ }).click();
    await signInByPhoneButton(phone);
    await phone.getByRole('button', { name: '立即购买' }).click();
    await phone.getByText('下单成功').waitFor();

    await page.getByText('✓ 同一个人').waitFor();
    expect(await verdictColour(page)).not.toBe(undecided);
    expect(await miniSub(page).textContent()).toBe(sub);
    expect(await page.locator('[data-sub="website"]').textContent()).toBe(sub);
    await expect.poll(async () => (await eventsOf(sub)).filter((e) => e.event === 'order_paid').length).toBe(2);
    const events = await eventsOf(sub);
    const short = events.map(({ channel, event, trust }) => `${channel} ${event} ${trust}`);
    expect(short).toEqual(
      expect.arrayContaining([
        'website product_viewed bound',
        'website order_paid server',
        'miniprogram app_opened bound',
        'miniprogram product_viewed bound',
        'miniprogram order_paid token',
      ]),
    );
    // The teapot was looked at before anybody had signed in anywhere.
    const teapot = events.filter(({ properties }) => properties.product_id === 'zisha-teapot').at(-1);
    const { created_at } = (await world.api(`/subjects/${sub}`)) as { created_at: string };
    expect(teapot && teapot.timestamp < created_at).toBe(true);
    await page.locator('.timeline-row.website', { hasText: '紫砂壶' }).first().waitFor();
    await page.locator('.timeline-row.miniprogram', { hasText: '付款' }).first().waitFor();
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  test('identities of both sides are kept under the one subject', async () => {
    const phoneNumber = '+8613612340002';
    const personId = await world.addPerson('江一', phoneNumber);
    const { page } = await watchedPage(browser);
    await page.goto(world.demo);
    const sub = await signInOnWebsite(page, phoneNumber);
    const phone = await openMiniProgram(page, personId);
    await toLogin(phone);
    await agree(phone);
    await signInByPhoneButton(phone);
    await page.getByText('✓ 同一个人').waitFor();
    const { data } = (await world.api(`/subjects/${sub}/identities`)) as { data: { kind: string }[] };
    expect(data.map(({ kind }) => kind).sort()).toEqual(['phone', 'wechat_openid', 'wechat_unionid']);
    await page.context().close();
  });

  test('without the profiling consent, what was done before sign-in stays nobody’s', async () => {
    const phoneNumber = '+8613612340003';
    const { page } = await watchedPage(browser);
    await page.goto(world.demo);
    await page.getByRole('button', { name: '仅必要' }).click();
    await lookAtTeapot(page);
    const sub = await signInOnWebsite(page, phoneNumber);
    await page.goto(`${world.demo}/products/longjing`);
    await expect
      .poll(async () => (await eventsOf(sub)).map(({ properties }) => properties.product_id))
      .toContain('longjing');
    const { created_at } = (await world.api(`/subjects/${sub}`)) as { created_at: string };
    expect((await eventsOf(sub)).filter(({ timestamp }) => timestamp < created_at)).toEqual([]);
    await page.context().close();
  });
});

describe('inside the mini-program', () => {
  test('who denies the phone number stays signed out and can go on browsing', async () => {
    const personId = await world.addPerson('谢安', '+8613612340004');
    const { page, complaints } = await watchedPage(browser);
    const phone = await openMiniProgram(page, personId);
    await toLogin(phone);
    await phone.getByRole('button', { name: '手机号一键登录' }).click();
    await phone.getByText('请先勾选同意').waitFor();
    await agree(phone);
    await phone.getByRole('button', { name: '手机号一键登录' }).click();
    await phone.getByRole('button', { name: '不允许' }).click();
    await phone.getByText('已取消授权，未登录').waitFor();
    await phone.getByRole('button', { name: '先逛逛，不登录' }).click();
    await phone.getByText('登录后与官网同步').waitFor();
    expect(await miniSub(page).textContent()).toBe('未登录');
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  test('a code in a text message signs in too, and links the WeChat account in the same step', async () => {
    const phoneNumber = '+8613612340005';
    const personId = await world.addPerson('何田', phoneNumber);
    const { page } = await watchedPage(browser);
    const phone = await openMiniProgram(page, personId);
    await toLogin(phone);
    await phone.getByRole('button', { name: '用短信验证码登录' }).click();
    await phone.getByLabel('手机号', { exact: true }).fill(phoneNumber.slice(3));
    await phone.getByRole('button', { name: '获取验证码' }).click();
    await phone.getByText(/秒后重发/).waitFor();
    await phone.getByLabel('验证码', { exact: true }).fill('000000');
    await agree(phone);
    await phone.getByRole('button', { name: '登录', exact: true }).click();
    await phone.getByText('验证码不对').waitFor();
    await phone.getByLabel('验证码', { exact: true }).fill(await world.codeFor(phoneNumber));
    await phone.getByRole('button', { name: '登录', exact: true }).click();
    await phone.getByText('136****0005').waitFor();
    await expect.poll(() => miniSub(page).textContent()).toMatch(/^[0-9a-f-]{36}$/);
    const { data } = (await world.api(`/subjects/${await miniSub(page).textContent()}/identities`)) as {
      data: { kind: string }[];
    };
    expect(data.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['phone', 'wechat_openid']));
    await page.context().close();
  });

  test('another person, on another phone, is another subject', async () => {
    const phoneNumber = '+8613612340006';
    const mine = await world.addPerson('叶青', phoneNumber);
    const other = await world.addPerson('路远', '+8613612340007');
    const { page } = await watchedPage(browser);
    await page.goto(world.demo);
    const sub = await signInOnWebsite(page, phoneNumber);
    let phone = await openMiniProgram(page, other);
    await toLogin(phone);
    await agree(phone);
    await signInByPhoneButton(phone);
    await page.getByText('✕ 两个人').waitFor();
    expect(await miniSub(page).textContent()).not.toBe(sub);
    phone = await openMiniProgram(page, mine);
    await phone.getByRole('button', { name: '我的' }).click();
    await phone.getByText('登录后与官网同步').waitFor();
    await toLogin(phone);
    await agree(phone);
    await signInByPhoneButton(phone);
    await page.getByText('✓ 同一个人').waitFor();
    await page.context().close();
  });

  test('it survives the background, and signs out for good', async () => {
    const personId = await world.addPerson('米粒', '+8613612340008');
    const { page } = await watchedPage(browser);
    const phone = await openMiniProgram(page, personId);
    await toLogin(phone);
    await agree(phone);
    await signInByPhoneButton(phone);
    await phone.getByText('136****0008').waitFor();
    await page.locator('#to-background').click();
    await phone.getByRole('button', { name: '打开小程序 山屿' }).click();
    await phone.getByText('136****0008').waitFor();
    await page.locator('#close-app').click();
    await page.locator('#to-foreground').click();
    await phone.getByRole('button', { name: '我的' }).click();
    await phone.getByText('136****0008').waitFor();
    await phone.getByRole('button', { name: '退出登录' }).click();
    await phone.getByText('登录后与官网同步').waitFor();
    await expect.poll(() => miniSub(page).textContent()).toBe('未登录');
    await page.context().close();
  });
});

test('the website signs out here and at Heyi: the next sign-in asks again', async () => {
  const { page, complaints } = await watchedPage(browser);
  await page.goto(world.demo);
  await signInOnWebsite(page, '+8613612340009');
  await page.goto(`${world.demo}/account`);
  await page.getByRole('button', { name: '退出登录' }).click();
  await page.waitForURL((url) => url.pathname !== '/account');
  if (page.url().startsWith(world.heyi)) await page.locator('form button').first().click();
  await page.getByRole('heading', { name: '已退出登录' }).waitFor();
  await page.getByRole('link', { name: '重新登录' }).click();
  await page.locator('[name=phone]').waitFor();
  expect(complaints).toEqual([]);
  await page.context().close();
});
