/**
 * What Segment's trackers ask for beyond the tracking API, whose shape is theirs: the browser tracker writes paths of one letter,
 * asks its CDN for settings, and reports on itself.
 */
import Router from '@koa/router';
import type { RequestState } from '../../../http/server.ts';
import type { Door } from '../../door.ts';
import { eventTypes } from '../../normalise.ts';
import { succeed, takeBatch, takeOne } from '../../tracking.ts';
import { browserSettings } from './browser-settings.ts';

export function segmentRoutes(door: Door): Router<RequestState> {
  const router = new Router<RequestState>({ prefix: '/v1' });
  router.use(door.allowOrigin);
  for (const type of eventTypes)
    router.post(`/${type.charAt(0)}`, async (ctx) => succeed(ctx, await takeOne(door, ctx, type)));
  router.post('/b', async (ctx) => succeed(ctx, await takeBatch(door, ctx, await door.speakerOfHeader(ctx))));
  // Its report on itself; nobody here reads it.
  router.post('/m', (ctx) => succeed(ctx));
  router.get('/projects/:key/settings', async (ctx) => {
    const key = String(ctx.params.key);
    await door.speakerOfKey(key);
    ctx.set('Cache-Control', 'public, max-age=300');
    ctx.body = browserSettings(key, door.publicUrl);
  });
  return router;
}
