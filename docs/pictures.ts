/**
 * Takes the README's pictures of the real thing: start Heyi with an empty DATA_DIR, then `node docs/pictures.ts`.
 * Chinese fonts must be installed (Debian: fonts-noto-cjk).
 */
import { fileURLToPath } from 'node:url';
import { chromium, type Page } from 'playwright-core';

const [demo = 'http://localhost:3100', sandbox = 'http://localhost:3200', executablePath = '/usr/bin/chromium'] =
  process.argv.slice(2);
const file = (name: string) => fileURLToPath(new URL(`./images/${name}.png`, import.meta.url));

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-background-networking'] });
const page = await browser.newPage({ viewport: { width: 1440, height: 900 }, locale: 'zh-CN', colorScheme: 'light' });
await onTheWebsite(page);
await inTheMiniProgram(page);
await browser.close();

async function onTheWebsite(page: Page): Promise<void> {
  await page.goto(demo);
  await page.getByRole('button', { name: '同意个性化' }).click();
  const tracked = page.waitForResponse(/\/v1\/t$/);
  await page.getByRole('link', { name: /紫砂壶/ }).click();
  await tracked;
  await page.getByRole('link', { name: '登录', exact: true }).click();
  await page.locator('[name=phone]').fill('138 0013 8000');
  await page.locator('form:has([name=phone]) [name=privacy]').check();
  await page.screenshot({ path: file('sign-in') });
  await page.locator('form:has([name=phone]) button').first().click();
  await page.locator('[name=code]').waitFor();
  await page.locator('[name=code]').fill(await codeFor('+8613800138000'));
  await page.locator('form:has([name=code]) button').first().click();
  await page.waitForURL(`${demo}/**`);
  await page.goto(`${demo}/products/longjing`);
  await page.getByRole('button', { name: '立即购买' }).click();
  await page.waitForURL('**/account');
}

async function inTheMiniProgram(page: Page): Promise<void> {
  await page.goto(`${demo}/miniprogram`);
  await page.locator('#people input[value="lin-xiaoman"]').check();
  const phone = page.locator('#phone');
  await phone.getByRole('link', { name: /古树生普/ }).click();
  await phone.getByRole('button', { name: '登录后购买' }).click();
  await phone.getByRole('checkbox', { name: /隐私政策/ }).click();
  await phone.getByRole('button', { name: '手机号一键登录' }).click();
  await phone.getByRole('button', { name: '允许', exact: true }).waitFor();
  await page.waitForTimeout(600);
  await page.locator('#phone').screenshot({ path: file('miniprogram') });
  await phone.getByRole('button', { name: '允许', exact: true }).click();
  await phone.getByRole('dialog').waitFor({ state: 'hidden' });
  await phone.getByRole('button', { name: '立即购买' }).click();
  await page.getByText('✓ 同一个人').waitFor();
  await page.locator('.timeline-row.miniprogram', { hasText: '付款' }).first().waitFor();
  // The text message and the toast have gone by then.
  await page.waitForTimeout(9_000);
  await page.screenshot({ path: file('one-person') });
}

async function codeFor(to: string): Promise<string> {
  const answer = await fetch(`${sandbox}/inbox?to=${encodeURIComponent(to)}`);
  const { messages } = (await answer.json()) as { messages: { code: string }[] };
  return messages[0]?.code ?? '';
}
