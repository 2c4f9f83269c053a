/** RudderStack's trackers, unmodified. */
import Analytics from '@rudderstack/rudder-sdk-node';
import { describe, expect, it } from 'vitest';
import { createWriteKey } from '../../../src/events/write-keys.ts';
import { openBrowser, watchedPage } from '../../helpers/browser.ts';
import { testDatabase } from '../../helpers/database.ts';
import { addSubject, clientKey, eventRows, eventsApp, seal, seedKeys, serverKey } from '../harness.ts';
import { flakyWayTo, website } from './surroundings.ts';

const { db } = await testDatabase();
await seedKeys(db);
const app = await eventsApp(db);

describe('rudder-sdk-node', () => {
  it('delivers every call, gzipped, and what it sends again is stored once', async () => {
    const { host, answers } = await flakyWayTo(app.url);
    const sub = await addSubject(db);
    const analytics = new Analytics(serverKey, { dataPlaneUrl: host, flushAt: 20, logLevel: 'none' });
    const flushed = (send: () => unknown) =>
      new Promise<void>((resolve, reject) => {
        send();
        void analytics.flush((error: Error | undefined) => (error ? reject(error) : resolve())).catch(reject);
      });
    await flushed(() => {
      analytics.identify({ userId: sub, traits: { plan: 'gold' } });
      analytics.track({ userId: sub, event: 'Order Completed', properties: { order_id: 'r-1', total: 99.5 } });
      analytics.page({ userId: sub, name: 'Home' });
      analytics.screen({ userId: sub, name: 'Home' });
      analytics.group({ userId: sub, groupId: 'g-1', traits: { size: 3 }, context: { traits: { plan: 'gold' } } });
      analytics.alias({ userId: sub, previousId: 'old' });
      analytics.track({ userId: sub, event: 'late', timestamp: new Date('2026-01-02T03:04:05Z') });
    });
    await expect.poll(async () => (await eventRows(db, { subject_id: sub, trust: 'server' })).length).toBe(7);
    const rows = await eventRows(db, { subject_id: sub, trust: 'server' });
    expect(rows.map(({ event }) => event).sort()).toEqual([
      'aliased',
      'grouped',
      'identified',
      'late',
      'order_paid',
      'page_viewed',
      'screen_viewed',
    ]);
    const of = (name: string) => rows.find(({ event }) => event === name);
    expect(of('identified').properties).toEqual({ plan: 'gold' });
    // The traits in the context are the person's, not the group's.
    expect(of('grouped').properties).toEqual({ size: 3, group_id: 'g-1' });
    expect(Math.abs(of('late').timestamp.getTime() - Date.parse('2026-01-02T03:04:05Z'))).toBeLessThan(60_000);
    expect(answers()).toBeGreaterThanOrEqual(3);
  });
});

/** The build that brings its plugins along. */
const bundle = new URL(
  'modern/bundled/esm/',
  import.meta.resolve('@rudderstack/analytics-js').replace(/npm\/.*$/, 'npm/'),
);
const calls = `
  rudderanalytics.page('首页');
  rudderanalytics.track('Product Viewed', { product_id: 'p-1', price: 5999 });
  rudderanalytics.identify('user-17', { plan: 'gold' });
  rudderanalytics.group('g-1', { size: 3 });`;

describe('@rudderstack/analytics-js in a browser that reaches nobody but us', async () => {
  const browser = await openBrowser();

  it.each([
    ['one by one, and again when the answer was lost', { queueOptions: { minRetryDelay: 200 } }],
    ['in batches', { queueOptions: { batch: { enabled: true, maxItems: 4, flushInterval: 500 } } }],
    ['by beacon', { useBeacon: true, beaconQueueOptions: { maxItems: 4, flushQueueInterval: 500 } }],
  ])('delivers %s', async (how, options) => {
    const writeKey = `browser-${crypto.randomUUID()}`;
    const load = {
      configUrl: app.url,
      polyfillIfRequired: false,
      consentManagement: {
        enabled: true,
        provider: 'custom',
        allowedConsentIds: ['profiling'],
        deniedConsentIds: ['marketing'],
      },
      ...options,
    };
    const origin = await website(
      `<!doctype html><title>山屿</title><script type="module">
        import { RudderAnalytics } from "/index.mjs";
        const rudderanalytics = new RudderAnalytics();
        window.delivered = new Promise((resolve) => rudderanalytics.ready(() => resolve(rudderanalytics.getAnonymousId())));
        rudderanalytics.load(${JSON.stringify(writeKey)}, ${JSON.stringify(app.url)}, ${JSON.stringify(load)});${calls}
      </script>`,
      bundle,
    );
    await createWriteKey(
      { db, seal },
      { key: writeKey, kind: 'client', name: 'Site', origins: [origin], channel: 'website' },
    );
    const { page, complaints } = await watchedPage(browser);
    let lost = 0;
    await page.route('**', async (route) => {
      const url = route.request().url();
      if (!url.startsWith(app.url) && !url.startsWith(origin)) return route.abort();
      if (how.startsWith('one by one') && url.endsWith('/v1/track') && route.request().method() === 'POST' && !lost++) {
        await route.fetch();
        return route.abort();
      }
      return route.continue();
    });
    await page.goto(`${origin}/?utm_source=wechat&utm_campaign=spring`);
    const anonymousId: string = await page.evaluate('window.delivered');
    await expect
      .poll(async () => (await eventRows(db, { anonymous_id: anonymousId })).length, { timeout: 10_000 })
      .toBe(4);
    if (how.startsWith('one by one')) await expect.poll(() => lost, { timeout: 10_000 }).toBe(2);
    const rows = await eventRows(db, { anonymous_id: anonymousId });
    expect(rows.map(({ event }) => event).sort()).toEqual(['grouped', 'identified', 'page_viewed', 'product_viewed']);
    for (const row of rows) {
      expect(row).toMatchObject({ channel: 'website', trust: 'claimed', subject_id: null });
      expect(row.consents).toEqual(['service', 'profiling']);
      expect(row.context).toMatchObject({
        campaign: { source: 'wechat', name: 'spring' },
        page: { title: '山屿' },
        sessionId: expect.any(Number),
      });
      expect(Math.abs(row.timestamp.getTime() - Date.now())).toBeLessThan(30_000);
    }
    const of = (name: string) => rows.find(({ event }) => event === name);
    expect(of('product_viewed')).toMatchObject({
      original_event: 'Product Viewed',
      properties: { product_id: 'p-1', price: 5999 },
    });
    expect(of('identified')).toMatchObject({ claimed_user_id: 'user-17', properties: { plan: 'gold' } });
    expect(of('grouped').properties).toEqual({ size: 3, group_id: 'g-1' });
    expect(complaints).toEqual([]);
    await page.context().close();
  });
});

describe('its own paths', () => {
  const batch = { batch: [{ type: 'track', event: 'a', anonymousId: 'beacon' }] };

  it('F1, F2: a beacon needs a known key in its address, from a registered website', async () => {
    expect((await app.send('/beacon/v1/batch?writeKey=nobody', batch)).status).toBe(401);
    expect((await app.send('/beacon/v1/batch', { ...batch, writeKey: clientKey })).status).toBe(401);
    const foreign = { origin: 'https://evil.example' };
    expect((await app.send(`/beacon/v1/batch?writeKey=${clientKey}`, batch, foreign)).status).toBe(403);
    expect((await app.send(`/beacon/v1/batch?writeKey=${clientKey}&writeKey=x`, batch)).status).toBe(401);
    expect((await app.send(`/beacon/v1/batch?writeKey=${clientKey}`, batch)).status).toBe(200);
    expect((await app.send(`/beacon/v1/batch?writeKey=${clientKey}`, '{')).status).toBe(400);
  });

  it('tells nothing to whoever has no key', async () => {
    expect((await app.request('/sourceConfig/?writeKey=nobody', {})).status).toBe(401);
    expect((await app.request(`/sourceConfig/?writeKey=${clientKey}`, {})).body).toMatchObject({
      source: { destinations: [] },
    });
    expect((await app.request('/sourceConfig/?view=ad', { method: 'HEAD' })).status).toBe(200);
    expect((await app.send('/rsaMetrics', 'anything')).status).toBe(200);
  });
});
