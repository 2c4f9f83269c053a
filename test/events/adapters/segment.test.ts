/** Segment's trackers, unmodified. */
import { Analytics } from '@segment/analytics-node';
import { describe, expect, it } from 'vitest';
import { createWriteKey } from '../../../src/events/write-keys.ts';
import { openBrowser, watchedPage } from '../../helpers/browser.ts';
import { testDatabase } from '../../helpers/database.ts';
import { freePort } from '../../helpers/ports.ts';
import { addSubject, eventRows, eventsApp, seal, seedKeys, serverKey } from '../harness.ts';
import { flakyWayTo, website } from './surroundings.ts';

const { db } = await testDatabase();
await seedKeys(db);

describe('analytics-node', () => {
  it('delivers every call in batches to its host alone', async () => {
    const app = await eventsApp(db);
    const sub = await addSubject(db);
    const analytics = new Analytics({ writeKey: serverKey, host: app.url, flushAt: 3 });
    const errors: unknown[] = [];
    analytics.on('error', (error) => errors.push(error));
    analytics.identify({ userId: sub, traits: { plan: 'gold' } });
    analytics.track({ userId: sub, event: 'Order Completed', properties: { order_id: 'o-1', total: 99.5 } });
    analytics.page({ userId: sub, name: 'Home' });
    analytics.screen({ anonymousId: 'anon', name: 'Home' });
    analytics.group({ userId: sub, groupId: 'g-1', traits: { size: 3 } });
    analytics.alias({ userId: sub, previousId: 'old' });
    analytics.track({ userId: sub, event: 'late', timestamp: new Date('2026-01-02T03:04:05Z') });
    await analytics.closeAndFlush();
    expect(errors).toEqual([]);
    const rows = await eventRows(db, { subject_id: sub, trust: 'server' });
    expect(rows.map(({ event }) => event).sort()).toEqual([
      'aliased',
      'grouped',
      'identified',
      'late',
      'order_paid',
      'page_viewed',
    ]);
    expect(await eventRows(db, { anonymous_id: 'anon' })).toHaveLength(1);
    const late = rows.find(({ event }) => event === 'late');
    expect(Math.abs(late.timestamp.getTime() - Date.parse('2026-01-02T03:04:05Z'))).toBeLessThan(60_000);
  });

  it('waits and sends again what it was told to, and nothing is stored twice', async () => {
    const app = await eventsApp(db);
    const sub = await addSubject(db);
    const { host, answers } = await flakyWayTo(app.url);
    const analytics = new Analytics({ writeKey: serverKey, host, maxRetries: 5 });
    analytics.track({ userId: sub, event: 'once' });
    await analytics.closeAndFlush({ timeout: 20_000 });
    expect(answers()).toBe(3);
    expect(await eventRows(db, { subject_id: sub })).toHaveLength(1);
  });
});

/** The tracker's own bundle. */
const bundle = new URL('umd/', import.meta.resolve('@segment/analytics-next').replace(/dist\/.*$/, 'dist/'));

describe('analytics-next in a browser', () => {
  it.each([
    ['one by one', {}],
    ['in batches', { 'Segment.io': { deliveryStrategy: { strategy: 'batching', config: { size: 3, timeout: 500 } } } }],
  ])('delivers %s with cdnURL alone', async (_how, integrations) => {
    const writeKey = `browser-${crypto.randomUUID()}`;
    const port = await freePort();
    const cdnURL = `http://127.0.0.1:${port}`;
    await eventsApp(db, { publicUrl: cdnURL, port });
    const origin = await website(
      `<!doctype html><title>山屿</title><script src="/index.js"></script><script>
      window.delivered = (async () => {
        const [analytics] = await AnalyticsNext.AnalyticsBrowser.load(
          ${JSON.stringify({ writeKey, cdnURL })}, { integrations: ${JSON.stringify(integrations)} });
        await Promise.all([
          analytics.page('Home'), analytics.track('Product Viewed', { price: 5999 }), analytics.identify('user-17', { plan: 'gold' })]);
        return analytics.user().anonymousId();
      })();
    </script>`,
      bundle,
    );
    await createWriteKey(
      { db, seal },
      { key: writeKey, kind: 'client', name: 'Site', origins: [origin], channel: 'website' },
    );
    const { page, complaints } = await watchedPage(await openBrowser());
    await page.goto(`${origin}/?utm_source=wechat`);
    const anonymousId: string = await page.evaluate('window.delivered');
    await expect
      .poll(async () => (await eventRows(db, { anonymous_id: anonymousId })).length, { timeout: 10_000 })
      .toBe(3);
    const rows = await eventRows(db, { anonymous_id: anonymousId });
    expect(rows.map(({ event }) => event).sort()).toEqual(['identified', 'page_viewed', 'product_viewed']);
    for (const row of rows) expect(row).toMatchObject({ channel: 'website', trust: 'claimed', subject_id: null });
    const viewed = rows.find(({ event }) => event === 'product_viewed');
    expect(viewed).toMatchObject({ original_event: 'Product Viewed', properties: { price: 5999 } });
    expect(viewed.message_id).toMatch(/^ajs-next-/);
    expect(viewed.context).toMatchObject({ campaign: { source: 'wechat' }, page: { title: '山屿' } });
    expect(complaints).toEqual([]);
  });
});
