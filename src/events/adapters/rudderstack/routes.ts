/**
 * What RudderStack's browser tracker asks for beyond the tracking API, which both its trackers speak: the configuration of the source,
 * a path for beacons, and one for reports on itself.
 */
import Router from '@koa/router';
import type { RequestState } from '../../../http/server.ts';
import { answerPreflight } from '../../cors.ts';
import type { Door } from '../../door.ts';
import { succeed, takeBatch } from '../../tracking.ts';

export function rudderstackRoutes(door: Door): Router<RequestState> {
  const router = new Router<RequestState>();
  const [config, beacon, metrics] = ['/sourceConfig', '/beacon/v1/batch', '/rsaMetrics'];
  router.use(door.allowOrigin);
  router.options([config, beacon, metrics], answerPreflight);
  router.get(config, async (ctx) => {
    // Asked without a key to learn whether an ad blocker stands between.
    if (ctx.query.view === 'ad') return succeed(ctx);
    await door.speakerOfKey(ctx.query.writeKey);
    ctx.set('Cache-Control', 'public, max-age=300');
    ctx.body = sourceConfig;
  });
  // A beacon has no headers: the key is in the address.
  router.post(beacon, async (ctx) =>
    succeed(ctx, await takeBatch(door, ctx, await door.speakerOfKey(ctx.query.writeKey))),
  );
  router.post(metrics, (ctx) => succeed(ctx));
  return router;
}

/** The least it takes for a source. Without destinations it loads no integration, without `statsCollection` it does not report on itself. */
const sourceConfig = {
  source: { id: 'heyi', name: 'heyi', workspaceId: 'heyi', enabled: true, config: {}, destinations: [] },
};
