/**
 * The trackers of GrowingIO, unmodified: `serverUrl` is our address and the project id a write key, which so comes in the path.
 *
 * For their browser tracker only 204 is success; their image takes any answer for one, and so does a beacon. The mini-program tracker
 * tries three times and then forgets.
 */
import Router from '@koa/router';
import type { Context, RequestState } from '../../../http/server.ts';
import { answerPreflight } from '../../cors.ts';
import type { Door } from '../../door.ts';
import { mostEvents } from '../../intake.ts';
import { eventsOfBody, eventsOfQuery } from './decode.ts';
import { eventOf } from './events.ts';

export function growingioRoutes(door: Door): Router<RequestState> {
  const router = new Router<RequestState>({ prefix: '/v3/projects/:key' });
  router.use(door.allowOrigin);
  router.options('/collect', answerPreflight);
  router.post('/collect', async (ctx) => {
    const speaker = await door.speakerOfKey(ctx.params.key);
    const bytes = await door.readBody(ctx);
    await door.take(ctx, () => ({
      speaker,
      batch: batchOf(ctx, eventsOfBody(bytes, ctx.query.compress, ctx.get('x-compress-codec'))),
    }));
    succeed(ctx);
  });
  router.get('/collect', async (ctx) => {
    const speaker = await door.speakerOfKey(ctx.params.key);
    await door.take(ctx, () => ({ speaker, batch: batchOf(ctx, eventsOfQuery(ctx.querystring)) }));
    succeed(ctx);
  });
  return router;
}

/** `stm` is the sender's clock when it sent. */
function batchOf(ctx: Context, events: unknown[]) {
  // One more than the door takes is enough for it to say so.
  return {
    items: events.slice(0, mostEvents + 1).map(eventOf),
    type: undefined,
    sentAt: Number(ctx.query.stm),
    context: undefined,
  };
}

/** What cannot be stored is kept aside for the key's owner: sending it again would change nothing. */
function succeed(ctx: Context): void {
  ctx.set('Cache-Control', 'no-store');
  ctx.status = 204;
}
