/** WeChat's doors to the website, in a real browser and through the sandbox's WeChat: by the QR code on a computer, and inside WeChat. */
import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { openBrowser, watchedPage } from '../helpers/browser.ts';
import { startWorld } from './world.ts';

const world = await startWorld();
const browser = await openBrowser();
const inWechat =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 MicroMessenger/8.0.50(0x1800323d) NetType/WIFI Language/zh_CN';

const toLogin = async (page: Page) => {
  await page.goto(world.demo);
  await page.getByRole('link', { name: '登录', exact: true }).click();
  await page.getByRole('heading', { name: '登录' }).waitFor();
};

/** On WeChat's page: this person scans, or is who opened it, and agrees. */
const agreeInWechat = (page: Page, nickname: string) => page.getByRole('button', { name: nickname }).click();

async function agreeToPolicy(page: Page): Promise<void> {
  await page.getByRole('heading', { name: '还差一步' }).waitFor();
  await page.getByRole('checkbox').check();
  await page.getByRole('button', { name: '同意并登录' }).click();
}

async function subOn(page: Page): Promise<string> {
  await page.waitForURL(`${world.demo}/**`);
  const sub = await page.locator('[data-corner-sub]').getAttribute('data-corner-sub');
  if (!sub) throw new Error('not signed in');
  return sub;
}

describe('one person, whichever door of WeChat', () => {
  test('by the QR code on a computer, then inside WeChat: one sub, and nobody is asked twice for the policy', async () => {
    await world.addPerson('方知夏');
    const { page, complaints } = await watchedPage(browser);
    await toLogin(page);
    await page.getByRole('button', { name: '微信扫码登录' }).click();
    await agreeInWechat(page, '方知夏');
    await agreeToPolicy(page);
    const sub = await subOn(page);
    expect(page.url()).not.toMatch(/[?&]code=/);
    const { data } = (await world.api(`/subjects/${sub}/identities`)) as { data: { kind: string }[] };
    expect(data.map(({ kind }) => kind).sort()).toEqual(['wechat_openid', 'wechat_unionid']);

    const phone = await watchedPage(browser, { userAgent: inWechat, viewport: { width: 375, height: 740 } });
    await toLogin(phone.page);
    await phone.page.getByRole('button', { name: '微信一键登录' }).click();
    // Silently: the account does not know this openid yet, so WeChat is asked once more, openly, for the unionid.
    await phone.page.waitForURL(/scope=snsapi_base/);
    await agreeInWechat(phone.page, '方知夏');
    await phone.page.waitForURL(/scope=snsapi_userinfo/);
    await agreeInWechat(phone.page, '方知夏');
    expect(await subOn(phone.page)).toBe(sub);
    expect([...complaints, ...phone.complaints]).toEqual([]);
  });

  test('without JavaScript, and whoever refuses finds the other ways', async () => {
    await world.addPerson('顾雨桐');
    const { page, complaints } = await watchedPage(browser, { javaScriptEnabled: false });
    await toLogin(page);
    await page.getByRole('button', { name: '微信扫码登录' }).click();
    await page.locator('button[name=deny]').click();
    await page.getByText('没有同意授权').waitFor();
    await page.getByRole('button', { name: '微信扫码登录' }).click();
    await agreeInWechat(page, '顾雨桐');
    await agreeToPolicy(page);
    expect(await subOn(page)).toMatch(/^[0-9a-f-]{36}$/);
    expect(complaints).toEqual([]);
  });

  test('a preview of WeChat is told how to go on, and makes nobody', async () => {
    await world.addPerson('乔安然');
    const { page } = await watchedPage(browser, { userAgent: inWechat });
    await toLogin(page);
    await page.getByRole('button', { name: '微信一键登录' }).click();
    await page.locator('input[name=snapshot]').check();
    await agreeInWechat(page, '乔安然');
    await page.getByText('使用完整服务').waitFor();
  });
});

describe('the code within our own page', () => {
  test('is drawn by the script of WeChat, under a policy that names its hosts alone', async () => {
    await world.addPerson('苏念');
    const settings = {
      appid: 'wxsandbox0000000002',
      secret: 'sandboxsecretwebsite000000000002',
      open_platform: 'sandbox-platform',
      embedded: true,
      base_url: `${world.sandbox}/api.weixin.qq.com`,
      page_url: `${world.sandbox}/open.weixin.qq.com`,
      script_url: `${world.sandbox}/res.wx.qq.com/connect/zh_CN/htmledition/js/wxLogin.js`,
    };
    await world.apiPost('/connectors', { connector: 'wechat-web', settings });
    const { page, complaints } = await watchedPage(browser);
    await toLogin(page);
    await page.getByRole('button', { name: '微信扫码登录' }).click();
    const frame = page.frameLocator('#embedded iframe');
    await frame.getByRole('button', { name: '苏念' }).click();
    await agreeToPolicy(page);
    expect(await subOn(page)).toMatch(/^[0-9a-f-]{36}$/);
    expect(complaints).toEqual([]);
  });
});
