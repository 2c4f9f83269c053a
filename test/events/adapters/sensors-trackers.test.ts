/** The trackers of Sensors Analytics for websites and mini-programs, unmodified. Their last versions under a free licence. */
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { createWriteKey } from '../../../src/events/write-keys.ts';
import { openBrowser, watchedPage } from '../../helpers/browser.ts';
import { testDatabase } from '../../helpers/database.ts';
import { createPhone } from '../../helpers/wx.ts';
import { eventRows, eventsApp, seal } from '../harness.ts';
import { website } from './surroundings.ts';

const { db } = await testDatabase();
const app = await eventsApp(db);

async function writeKey(fields: { origins?: string[]; channel?: string } = {}) {
  const { key, id } = await createWriteKey({ db, seal }, { kind: 'client', name: 'Tracker', ...fields });
  return { key, id, server_url: `${app.url}/sa?project=default&token=${key}` };
}

async function rowsOf(source_id: number, count: number) {
  await expect.poll(async () => (await eventRows(db, { source_id })).length, { timeout: 10_000 }).toBe(count);
  const rows = await eventRows(db, { source_id });
  return { rows, of: (event: string) => rows.find((row) => row.event === event) };
}

describe('sa-sdk-javascript in a browser', async () => {
  const browser = await openBrowser();
  const folder = new URL('.', import.meta.resolve('sa-sdk-javascript'));
  const origin = await website(
    `<!doctype html><title>山屿 &amp; 海</title><script src="/sensorsdata.js"></script>`,
    folder,
  );

  async function open(options: object) {
    const { server_url, ...rest } = await writeKey({ origins: [origin] });
    const { page, complaints } = await watchedPage(browser);
    const sent: { method: string; path: string; type: string; query: string; body: string }[] = [];
    page.on('request', (request) => {
      const { origin: host, pathname, search } = new URL(request.url());
      if (host !== app.url) return;
      const type = request.headers()['content-type'] ?? '';
      sent.push({ method: request.method(), path: pathname, type, query: search, body: request.postData() ?? '' });
    });
    const answers: number[] = [];
    page.on('response', (response) => {
      if (response.url().startsWith(app.url)) answers.push(response.status());
    });
    await page.goto(`${origin}/shoes?utm_source=wechat&utm_campaign=double11`);
    const para = JSON.stringify({ server_url, show_log: false, ...options });
    await page.evaluate(`sensors = window.sensorsDataAnalytic201505; sensors.init(${para})`);
    return { ...rest, page, complaints, sent, answers };
  }

  const calls = `
    sensors.quick('autoTrack');
    sensors.track('view_item', { product_id: 'p-1', price: 5999, note: '送礼 🎁 + & =' });
    sensors.login('user-17');
    sensors.setProfile({ plan: 'gold' });
    sensors.quick('getAnonymousID')`;

  it.each([
    ['by image', {}, 'GET', ''],
    ['by request', { send_type: 'ajax' }, 'POST', 'application/x-www-form-urlencoded'],
    ['by beacon', { send_type: 'beacon' }, 'POST', 'text/plain;charset=UTF-8'],
    ['in batches', { batch_send: { send_interval: 100 } }, 'POST', 'application/x-www-form-urlencoded'],
  ])('delivers %s', async (_how, options, method, type) => {
    const { id, page, complaints, sent, answers } = await open(options);
    const anonymous_id = await page.evaluate(calls);
    const { rows, of } = await rowsOf(id, 5);
    for (const row of rows)
      expect(row).toMatchObject({ anonymous_id, channel: 'website', trust: 'claimed', subject_id: null });
    const campaign = { source: 'wechat', name: 'double11' };
    expect(of('page_viewed')).toMatchObject({
      original_event: '$pageview',
      properties: { path: '/shoes', title: '山屿 & 海', $is_first_day: true },
      context: {
        library: { name: 'sa-sdk-javascript', version: '1.26.17' },
        page: { path: '/shoes', url: expect.stringContaining(`${origin}/shoes?utm_source`) },
        campaign,
        screen: { width: 1280, height: 720 },
      },
    });
    expect(of('product_viewed')).toMatchObject({
      original_event: 'view_item',
      claimed_user_id: null,
      properties: { product_id: 'p-1', price: 5999, note: '送礼 🎁 + & =' },
      context: { campaign, page: { title: '山屿 & 海' } },
    });
    expect(of('signed_in')).toMatchObject({ original_event: '$SignUp', claimed_user_id: 'user-17' });
    expect(of('identified')).toMatchObject({ claimed_user_id: 'user-17', properties: { plan: 'gold' } });
    expect(Object.keys(of('profile_set_once').properties)).toContain('first_visit_time');
    for (const { timestamp } of rows) expect(Math.abs(timestamp.getTime() - Date.now())).toBeLessThan(60_000);
    expect([...new Set(sent.map((request) => `${request.method} ${request.path} ${request.type}`))]).toEqual([
      `${method} /sa.gif ${type}`,
    ]);
    await expect.poll(() => answers.length).toBe(sent.length);
    expect(new Set(answers)).toEqual(new Set([200]));
    expect(complaints).toEqual([]);

    for (const { query, body } of sent)
      await fetch(`${app.url}/sa.gif${query}`, {
        method,
        headers: { origin },
        ...(method === 'POST' && { body }),
      });
    await rowsOf(id, 5);
    await page.context().close();
  });

  it('delivers by beacon what is told on leaving', async () => {
    const { id, page } = await open({ send_type: 'beacon' });
    await page.evaluate(`addEventListener('pagehide', () => sensors.track('left', { read: 0.7 }))`);
    await page.goto('about:blank');
    const { of } = await rowsOf(id, 1);
    expect(of('left')).toMatchObject({ channel: 'website', properties: { read: 0.7 } });
    await page.context().close();
  });

  it('delivers a batch that was answered with 429 at the next turn, once', async () => {
    const { id, page, answers } = await open({ batch_send: { send_interval: 100 } });
    let turned = 0;
    await page.route(`${app.url}/**`, async (route) => {
      const headers = { 'access-control-allow-origin': origin, 'retry-after': '1' };
      // Busy the first time; the second time stored, and the answer lost.
      if (++turned === 1) await route.fulfill({ status: 429, headers });
      else if (turned === 2) {
        await route.fetch();
        await route.abort();
      } else await route.continue();
    });
    await page.evaluate(`sensors.track('once', {})`);
    await expect.poll(() => answers.at(-1), { timeout: 10_000 }).toBe(200);
    expect(turned).toBeGreaterThanOrEqual(3);
    await rowsOf(id, 1);
    await page.context().close();
  });
});

const miniprogramTracker = fileURLToPath(import.meta.resolve('sa-sdk-miniprogram'));

describe('sa-sdk-miniprogram on a phone', () => {
  async function launch() {
    const { server_url, id } = await writeKey({ channel: 'store' });
    const phone = createPhone();
    const running = phone.launch(
      {
        app: (scope) => {
          // WeChat has it too, as a bare object.
          scope.global = {};
          const sensors = scope.require(miniprogramTracker);
          sensors.setPara({
            server_url,
            autoTrack: { appLaunch: true, appShow: true, appHide: true, pageShow: true, pageShare: true },
            batch_send: { send_timeout: 100, max_length: 100 },
            show_log: false,
          });
          sensors.init();
          scope.App({ sensors });
        },
        pages: { 'pages/shoes/shoes': ({ Page }) => Page({ onShareAppMessage: () => ({ title: '鞋' }) }) },
      },
      { path: 'pages/shoes/shoes', query: { utm_source: 'gzh', utm_medium: 'article' }, scene: 1047 },
    );
    return { id, phone, running, sensors: running.app().sensors };
  }

  it('delivers launch, page, share, custom events and sign-in, and what is sent again after a lost answer once', async () => {
    const { id, phone, running, sensors } = await launch();
    phone.line.lose('/sa');
    sensors.track('add_to_cart', { product_id: 'p-1', note: '送礼 🎁' });
    await rowsOf(id, 6);
    sensors.login('13800138000');
    sensors.setProfile({ plan: 'gold' });
    running.share();
    running.hide();
    const { rows, of } = await rowsOf(id, 10);
    await expect.poll(() => phone.line.sentTo('/sa').at(-1)?.status).toBe(200);
    running.kill();
    expect(phone.line.sentTo('/sa').length).toBeGreaterThan(1);
    expect((await eventRows(db, { source_id: id })).length).toBe(10);
    // A phone number as the customer's id would lie there in clear, and proves nothing.
    const expected = { anonymous_id: sensors.getAnonymousID(), channel: 'miniprogram', claimed_user_id: null };
    for (const row of rows) expect(row).toMatchObject({ ...expected, trust: 'claimed', subject_id: null });
    const campaign = { source: 'gzh', medium: 'article' };
    expect(of('app_opened')).toMatchObject({
      original_event: '$MPLaunch',
      properties: { path: 'pages/shoes/shoes', scene: '1047', $is_first_time: true },
      context: {
        library: { name: 'sa-sdk-miniprogram', version: '1.17.9' },
        scene: '1047',
        campaign,
        os: { name: 'Android', version: '12' },
        device: { brand: 'HUAWEI', model: 'ALN-AL00' },
        app: { id: 'wxsandbox0000000001' },
        network: { type: 'WIFI' },
      },
    });
    expect(of('app_shown')).toMatchObject({ original_event: '$MPShow' });
    expect(of('screen_viewed').properties).toEqual({ path: 'pages/shoes/shoes', $is_first_day: true });
    expect(of('cart_added')).toMatchObject({
      properties: { product_id: 'p-1', note: '送礼 🎁' },
      context: { scene: '1047', campaign },
    });
    expect(of('signed_in')).toMatchObject({ original_event: '$SignUp' });
    expect(of('identified').properties).toEqual({ plan: 'gold' });
    expect(of('shared')).toMatchObject({ original_event: '$MPShare', properties: { method: '转发消息卡片' } });
    expect(of('app_closed')).toMatchObject({ properties: { duration: expect.any(Number) } });
    expect(running.errors).toEqual([]);
  });
});
