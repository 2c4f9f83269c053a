/** Two accounts of one person found to be one, and parted again, in the demo: by staff, and by a unionid that comes late. */
import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { openBrowser, watchedPage } from '../helpers/browser.ts';
import { startWorld } from './world.ts';

const world = await startWorld();
const browser = await openBrowser();

async function signInByPhone(page: Page, phone: string): Promise<string> {
  await page.goto(`${world.demo}/sign-in?return=/identities`);
  const ask = page.locator('form:has([name=phone])');
  await ask.locator('[name=phone]').fill(phone.slice(3));
  await ask.locator('[name=privacy]').check();
  await ask.locator('button').first().click();
  const answer = page.locator('form:has([name=code])').first();
  await answer.locator('[name=code]').fill(await world.codeFor(phone));
  await answer.locator('button').first().click();
  await page.waitForURL(`${world.demo}/identities`);
  return (await page.locator('[data-corner-sub]').getAttribute('data-corner-sub')) ?? '';
}

/** By WeChat alone, without the phone number. */
async function signInInMiniProgram(page: Page, personId: string): Promise<string> {
  await page.goto(`${world.demo}/miniprogram`);
  await page.locator(`#people input[value="${personId}"]`).check();
  const phone = page.locator('#phone');
  await phone.getByRole('button', { name: '我的' }).click();
  await phone.getByRole('button', { name: '登录', exact: true }).click();
  await phone.getByRole('checkbox', { name: /隐私政策/ }).click();
  await phone.getByRole('button', { name: /仅用微信|微信登录/ }).click();
  const sub = page.locator('[data-sub="miniprogram"]');
  await expect.poll(() => sub.textContent(), { timeout: 10_000 }).toMatch(/^[0-9a-f-]{36}$/);
  return (await sub.textContent()) ?? '';
}

const subjects = (page: Page) =>
  page.locator('[data-subject]').evaluateAll((cards) => cards.map((card) => card.getAttribute('data-subject')));

test('staff merge two accounts, the website that knew the absorbed one signs out, and the undo gives each its own back', async () => {
  const phone = '+8613612340031';
  const personId = await world.addPerson('周远', '+8613612340032');
  const { page, complaints } = await watchedPage(browser, { viewport: { width: 1280, height: 900 } });
  const website = await signInByPhone(page, phone);
  const mini = await signInInMiniProgram(page, personId);
  expect(mini).not.toBe(website);

  await page.goto(`${world.demo}/identities`);
  expect(await subjects(page)).toEqual([website, mini]);
  await page.getByRole('button', { name: '合并为同一个人' }).click();
  await page.getByText('人工合并').waitFor();
  expect(await subjects(page)).toEqual([website]);
  expect(await world.api(`/subjects/${mini}`)).toMatchObject({ sub: website, requested_sub: mini });

  await page.getByRole('button', { name: '撤销合并' }).click();
  await page.getByText('已撤销合并').waitFor();
  expect(await world.api(`/subjects/${mini}`)).toMatchObject({ sub: mini, status: 'active' });
  // The survivor's sessions may be the other person's: the shop is told, and signs out.
  await expect
    .poll(
      async () => {
        await page.goto(`${world.demo}/identities`);
        return page.locator('[data-corner-sub]').count();
      },
      { timeout: 15_000, interval: 1_000 },
    )
    .toBe(0);
  expect(complaints).toEqual([]);
});
