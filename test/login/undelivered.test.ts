/** A text message that the carrier could not deliver: whoever waits for it is told, and shown the other ways. */
import { describe, expect, it } from 'vitest';
import { newPerson } from '../connectors/services.ts';
import { openBrowser, watchedPage } from '../helpers/browser.ts';
import { authorizeUrl, openSite } from './site.ts';
import { formTo } from './visitor.ts';
import { walker } from './walk.ts';

const site = await openSite();
const { browser, ask, lastCode } = walker(site);
const chromium = await openBrowser();
const sentence = '短信没有送达';
const fail = () => site.db('sms_deliveries').update({ state: 'failed', fault: 'MBBLACK' });
/** The sentence is on the page, and not hidden. */
const isShown = (html: string) => new RegExp(`role="alert">${sentence}`).test(html);

describe('a message that was not delivered', () => {
  it('without a script: the next page says so, leads to the other ways, and the code would still be good', async () => {
    const visitor = browser();
    const { phone } = newPerson();
    const page = await ask(visitor, phone);
    expect(isShown(page.html)).toBe(false);
    await fail();
    const again = await visitor.get(page.url);
    expect(isShown(again.html)).toBe(true);
    expect(again.html).toMatch(/<a href="\/login\/[\w-]+">换一个号码或登录方式<\/a>/);
    const done = await visitor.submit(formTo(again, '/verify'), { code: lastCode(phone) });
    expect(done.status).toBe(303);
  });
  it('of somebody else tells this browser nothing', async () => {
    const visitor = browser();
    const page = await ask(visitor, newPerson().phone);
    const asked = await visitor.get(page.url.replace('/verify', '/delivery'));
    expect(JSON.parse(asked.html)).toEqual({ failed: false });
    await fail();
    const stranger = await browser().get(page.url.replace('/verify', '/delivery'));
    expect(stranger.html).not.toContain('"failed":true');
  });
  it('with a script the page that waits says it by itself', async () => {
    const { page, complaints } = await watchedPage(chromium);
    await page.goto(authorizeUrl(site));
    await page.getByLabel('手机号', { exact: true }).fill(newPerson().phone);
    await page.locator('#privacy-sms').check();
    await page.getByRole('button', { name: '获取验证码' }).click();
    await page.getByRole('textbox', { name: '验证码' }).waitFor();
    expect(await page.getByText(sentence).isVisible()).toBe(false);
    await fail();
    await page.getByText(sentence).waitFor({ state: 'visible' });
    expect(complaints).toEqual([]);
  });
});
