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
import type { Speaker } from '../../speaker.ts';
import { eventsIn, textOfBody, textOfQuery } from './decode.ts';
import { eventOf } from './events.ts';

export function growingioRoutes(door: Door): Router<RequestState> {
  const router = new Router<RequestState>({ prefix: '/v3/projects/:key' });
  router.use(door.allowOrigin);
  router.options('/collect', answerPreflight);
  router.post('/collect', async (ctx) => {
    const speaker = await door.speakerOfKey(ctx.params.key);
    const bytes = await door.readBody(ctx);
    await take(door, ctx, speaker, textOfBody(bytes, ctx.query.compress, ctx.get('x-compress-codec')));
  });
  router.get('/collect', async (ctx) => {
    const speaker = await door.speakerOfKey(ctx.params.key);
    await take(door, ctx, speaker, textOfQuery(ctx.querystring));
  });
  return router;
}

/** What cannot be stored is kept aside for the key's owner: sending it again would change nothing. */
async function take(door: Door, ctx: Context, speaker: Speaker, text: string): Promise<void> {
  await door.take(ctx, Buffer.byteLength(text), () => {
    // One more than the door takes is enough for it to say so.
    const items = eventsIn(text)
      .slice(0, mostEvents + 1)
      .map(eventOf);
    // `stm` is the sender's clock when it sent.
    return { speaker, batch: { items, type: undefined, sentAt: Number(ctx.query.stm) } };
  });
  ctx.set('Cache-Control', 'no-store');
  ctx.status = 204;
}
