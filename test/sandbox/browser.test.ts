/** What only a browser can tell: an embedded QR code, authorise pages clicked through, the phone that a scan opens. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, describe, expect, test } from 'vitest';
import { createDemo } from '../../src/sandbox/demo/demo.ts';
import { openBrowser, watchedPage } from '../helpers/browser.ts';
import { freePort } from '../helpers/ports.ts';
import { apps, log, startWorld } from './world.ts';

const demoUrl = `http://localhost:${await freePort()}`;
const { url, call, appToken } = await startWorld({ demoUrl });
const browser = await openBrowser();
const { website, official_account: official, miniprogram } = apps;

/** A company's site: one page with an embedded code, and the callback. */
const site = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
  response.setHeader('content-type', 'text/html; charset=utf-8');
  if (pathname === '/back') return response.end(`<title>back</title><p id="said">${searchParams.size}</p>`);
  if (pathname === '/start.js') {
    response.setHeader('content-type', 'text/javascript');
    const options = {
      id: 'qr',
      appid: website.appid,
      scope: 'snsapi_login',
      state: 'xyz',
      ...Object.fromEntries(searchParams),
    };
    const redirect_uri = encodeURIComponent(`http://localhost:${port()}/back`);
    return response.end(
      `new WxLogin({ ...${JSON.stringify(options)}, self_redirect: ${searchParams.get('self') === '1'}, redirect_uri: '${redirect_uri}' });`,
    );
  }
  response.end(
    `<div id="qr"></div><script src="${url}/res.wx.qq.com/connect/zh_CN/htmledition/js/wxLogin.js"></script><script src="/start.js?${searchParams}"></script>`,
  );
});
const port = () => (site.address() as AddressInfo).port;
await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
afterAll(() => new Promise((resolve) => site.close(resolve)));

describe('wxLogin.js', () => {
  test.each([
    ['takes the whole page to the callback', '', false],
    ['stays in its frame when told to', 'self=1', true],
  ])('%s', async (_, query, stays) => {
    const { page, complaints } = await watchedPage(browser);
    const start = `http://localhost:${port()}/?${query}`;
    await page.goto(start);
    const frame = page.frameLocator('#qr iframe');
    await frame.getByRole('button', { name: '林小满' }).click();
    const arrived = stays ? frame.locator('#said') : page.locator('#said');
    expect(await arrived.textContent()).toBe('2');
    expect(page.url() === start).toBe(stays);
    expect(complaints).toEqual([]);
  });

  test('lets nobody frame the page that is not embedded', async () => {
    const { headers } = await fetch(`${url}/open.weixin.qq.com/connect/qrconnect?appid=${website.appid}`);
    expect(headers.get('x-frame-options')).toBe('DENY');
    expect(headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
  });
});

describe('an authorise page', () => {
  const address = (path: string, appid: string, scope: string, lang: string) =>
    `${url}/open.weixin.qq.com/connect/${path}?${new URLSearchParams({
      appid,
      redirect_uri: `http://localhost:${port()}/back`,
      response_type: 'code',
      scope,
      state: 'xyz',
      lang,
    })}#wechat_redirect`;

  test.each([
    ['qrconnect', website.appid, 'snsapi_login', 'cn', '林小满', '2'],
    ['qrconnect', website.appid, 'snsapi_login', 'en', 'Refuse', '1'],
    ['oauth2/authorize', official.appid, 'snsapi_userinfo', 'cn', '陈嘉禾', '2'],
    ['oauth2/authorize', official.appid, 'snsapi_base', 'en', 'Refuse', '1'],
  ])('%s (%s, %s, %s): "%s" leads back', async (path, appid, scope, lang, button, parameters) => {
    const { page, complaints } = await watchedPage(browser, { viewport: { width: 320, height: 640 } });
    await page.goto(address(path, appid, scope, lang));
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(320);
    await page.getByRole('button', { name: button }).click();
    expect(await page.locator('#said').textContent()).toBe(parameters);
    expect(complaints).toEqual([]);
  });
});

test('the overview fits a phone of 320 pixels with everything unfolded', async () => {
  await call('POST', '/people/lin-xiaoman/follow', { appid: official.appid });
  const { page } = await watchedPage(browser, { viewport: { width: 320, height: 640 } });
  await page.goto(url);
  await page.evaluate('document.querySelectorAll("details").forEach((each) => { each.open = true; })');
  expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(320);
});

test('a scanned mini-program code opens the demo’s phone at its page, in that person’s hand, once', async () => {
  const demo = createDemo({
    port: Number(new URL(demoUrl).port),
    issuer: 'http://localhost:9',
    sandboxUrl: url,
    clock: { now: () => new Date() },
    log,
    clientSecret: 'unused',
  });
  await demo.start();
  afterAll(() => demo.stop());
  const picture = `/api.weixin.qq.com/wxa/getwxacodeunlimit?access_token=${await appToken(miniprogram)}`;
  await fetch(`${url}${picture}`, {
    method: 'POST',
    body: JSON.stringify({ scene: 'a=1', page: 'pages/login/login' }),
  });
  const { page } = await watchedPage(browser);
  await page.goto(url);
  await page.locator('#scan select[name=person_id]').selectOption('chen-jiahe');
  await page.locator('#scan button').click();
  await page.locator('.wx-page[data-route="pages/login/login"]').waitFor();
  expect(new URL(page.url()).search).toBe('');
  expect(await page.locator('#people input:checked').inputValue()).toBe('chen-jiahe');
  await page.reload();
  await page.locator('.wx-page[data-route="pages/index/index"]').waitFor();
});
