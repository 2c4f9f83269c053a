/**
 * Takes the README's pictures of the real thing: start Heyi with an empty DATA_DIR, `npx heyi admin grant --email owner@example.com
 * --role owner`, then `node docs/pictures.ts`. Chinese fonts must be installed (Debian: fonts-noto-cjk). ImageMagick makes them small:
 * `mogrify -strip +dither -colors 128 docs/images/*.png`.
 */
import { fileURLToPath } from 'node:url';
import { chromium, type Page } from 'playwright-core';
import { fill } from './pictures-data.ts';

const [
  heyi = 'http://localhost:3000',
  demo = 'http://localhost:3100',
  sandbox = 'http://localhost:3200',
  executablePath = '/usr/bin/chromium',
] = process.argv.slice(2);
const file = (name: string) => fileURLToPath(new URL(`./images/${name}.png`, import.meta.url));

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-background-networking'] });
const page = await browser.newPage({ viewport: { width: 1440, height: 900 }, locale: 'zh-CN', colorScheme: 'light' });
await onTheWebsite(page);
await inTheMiniProgram(page);
await byScanning(await anotherPage());
const staff = await anotherPage();
await inTheConsole(staff);
await fill({ heyi, sandbox });
await ofBehaviour(staff);
await browser.close();

/** Of somebody else. */
async function anotherPage(): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: 'zh-CN' });
  return context.newPage();
}

async function onTheWebsite(page: Page): Promise<void> {
  await page.goto(demo);
  await page.getByRole('button', { name: '同意个性化' }).click();
  const tracked = page.waitForResponse(/\/v1\/batch$/);
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

async function byScanning(page: Page): Promise<void> {
  await page.goto(`${demo}/sign-in?return=/`);
  await page.getByRole('button', { name: /小程序里确认/ }).click();
  await page.locator('main img').waitFor();
  await page.screenshot({ path: file('scan') });
}

/** Staff merge the customer of the website with somebody who signed in by e-mail. */
async function inTheConsole(page: Page): Promise<void> {
  await page.goto(`${demo}/sign-in?return=/identities`);
  await signInByEmail(page, 'xiaoman@example.com');
  await page.waitForURL(`${demo}/identities`);
  const other = await page.locator('[data-corner-sub]').getAttribute('data-corner-sub');
  await page.context().clearCookies();
  await page.goto(`${heyi}/admin`);
  await signInByEmail(page, 'owner@example.com');
  await page.waitForURL(`${heyi}/admin`);
  await page.locator('main input:visible').first().fill('138 0013 8000');
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/admin\/people\//);
  const found = page.url().split('/').at(-1);
  await page.setViewportSize({ width: 1280, height: 1340 });
  await page.goto(`${heyi}/admin/merge?survivor=${found}&absorbed=${other}`);
  await page.locator('[name=reason]').fill('电话核实为同一人');
  await page.screenshot({ path: file('merge') });
}

/** What marketing sees of it: a segment being built, the segment, why somebody is in it, and events as they arrive. */
async function ofBehaviour(page: Page): Promise<void> {
  const key = 'web-high-intent-not-bought';
  await page.setViewportSize({ width: 1280, height: 1120 });
  await page.goto(`${heyi}/admin/segment-builder?template=${key}`);
  await page.locator('#count .figure').waitFor();
  await page.screenshot({ path: file('segment-builder') });
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.goto(`${heyi}/admin/segments/${key}`);
  await page.screenshot({ path: file('segment') });
  await page.goto(`${heyi}/admin/segments/${key}/members`);
  await page.getByRole('link', { name: '为什么' }).first().click();
  await page.locator('.why').first().waitFor();
  await page.screenshot({ path: file('explain') });
  await page.goto(`${heyi}/admin/events`);
  await page.locator('.event-line', { hasText: '下单' }).first().click();
  await page.screenshot({ path: file('events') });
}

async function signInByEmail(page: Page, address: string): Promise<void> {
  const tab = page.locator('label[for=method-email]');
  if (await tab.count()) await tab.click();
  await page.locator('[name=email]').fill(address);
  const agree = page.locator('form:has([name=email]) [name=privacy]');
  if (await agree.count()) await agree.check();
  await page.locator('form:has([name=email]) button').first().click();
  await page.locator('[name=code]').waitFor();
  await page.locator('[name=code]').fill(await codeFor(address));
  await page.locator('form:has([name=code]) button').first().click();
}

async function codeFor(to: string): Promise<string> {
  const answer = await fetch(`${sandbox}/inbox?to=${encodeURIComponent(to)}`);
  const { messages } = (await answer.json()) as { messages: { code: string }[] };
  return messages[0]?.code ?? '';
}
