/** The trackers that customers already have, unmodified. */
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { Analytics } from '@segment/analytics-node';
import { afterAll, describe, expect, it } from 'vitest';
import { createWriteKey } from '../../../src/events/write-keys.ts';
import { openBrowser, watchedPage } from '../../helpers/browser.ts';
import { testDatabase } from '../../helpers/database.ts';
import { addSubject, eventRows, eventsApp, seal, seedKeys, serverKey } from '../harness.ts';

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
    let answers = 0;
    // Once busy, once with its answer lost on the way: what a retry is for.
    const flaky = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      answers++;
      if (answers === 1) {
        response.writeHead(429, { 'retry-after': '1' }).end();
        return;
      }
      const headers = { authorization: request.headers.authorization ?? '', 'content-type': 'application/json' };
      const answer = await app.request(request.url ?? '', {
        method: 'POST',
        body: new Uint8Array(Buffer.concat(chunks)),
        headers,
      });
      if (answers === 2) request.socket.destroy();
      else response.writeHead(answer.status).end();
    });
    await new Promise<void>((resolve) => flaky.listen(0, '127.0.0.1', resolve));
    afterAll(() => void flaky.close());
    const address = flaky.address();
    const host = `http://127.0.0.1:${address && typeof address === 'object' ? address.port : 0}`;
    const analytics = new Analytics({ writeKey: serverKey, host, maxRetries: 5 });
    analytics.track({ userId: sub, event: 'once' });
    await analytics.closeAndFlush({ timeout: 20_000 });
    expect(answers).toBe(3);
    expect(await eventRows(db, { subject_id: sub })).toHaveLength(1);
  });
});

/** A website on an origin of its own, with the SDK's own bundle. */
async function website(html: string): Promise<string> {
  const bundle = fileURLToPath(
    new URL('umd/', import.meta.resolve('@segment/analytics-next').replace(/dist\/.*$/, 'dist/')),
  );
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://x');
    if (pathname === '/') {
      response.setHeader('content-type', 'text/html; charset=utf-8');
      response.end(html);
      return;
    }
    const file = await readFile(`${bundle}${pathname.slice(1).replaceAll('/', '')}`).catch(() => undefined);
    response.writeHead(file ? 200 : 404, { 'content-type': 'text/javascript' }).end(file);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  afterAll(() => void server.close());
  const address = server.address();
  return `http://localhost:${address && typeof address === 'object' ? address.port : 0}`;
}

describe('analytics-next in a browser', () => {
  it.each([
    ['one by one', {}],
    ['in batches', { 'Segment.io': { deliveryStrategy: { strategy: 'batching', config: { size: 3, timeout: 500 } } } }],
  ])('delivers %s with cdnURL alone', async (_how, integrations) => {
    const writeKey = `browser-${crypto.randomUUID()}`;
    const listening = createServer();
    await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
    const taken = listening.address();
    const port = taken && typeof taken === 'object' ? taken.port : 0;
    await new Promise((resolve) => listening.close(resolve));
    const cdnURL = `http://127.0.0.1:${port}`;
    await eventsApp(db, { publicUrl: cdnURL, port });
    const origin = await website(`<!doctype html><title>山屿</title><script src="/index.js"></script><script>
      window.delivered = (async () => {
        const [analytics] = await AnalyticsNext.AnalyticsBrowser.load(
          ${JSON.stringify({ writeKey, cdnURL })}, { integrations: ${JSON.stringify(integrations)} });
        await Promise.all([
          analytics.page('Home'), analytics.track('Product Viewed', { price: 5999 }), analytics.identify('user-17', { plan: 'gold' })]);
        return analytics.user().anonymousId();
      })();
    </script>`);
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
