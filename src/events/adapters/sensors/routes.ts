/**
 * The trackers of Sensors Analytics (神策), unmodified: `server_url: https://<here>/sa?project=<anything>&token=<write key>`. They
 * cannot be told to send a header, so the key is in the address.
 *
 *   /sa, /sa.gif    an image (GET) or a form (POST); the browser tracker turns the first into the second by itself
 *   /debug          the same, and says what is wrong; with `Dry-Run: true` nothing is stored
 *   /mp_login       their exchange of a login code for an openid, which we do not offer
 *
 * Their mini-program tracker takes any answer for success, and their image never tries again: what is answered with 429 or 503 is
 * lost with these two. So nothing is refused that could be kept, and a record that cannot be is kept aside for the key's owner.
 */
import Router from '@koa/router';
import { fail } from '../../../errors.ts';
import type { Context, RequestState } from '../../../http/server.ts';
import { answerPreflight } from '../../cors.ts';
import type { Door } from '../../door.ts';
import type { RejectedEvent } from '../../intake.ts';
import { recordsIn, textIn } from './decode.ts';
import { eventsOf } from './events.ts';

/** One transparent pixel. */
const gif = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64');

export function sensorsRoutes(door: Door): Router<RequestState> {
  const router = new Router<RequestState>();
  router.use(door.allowOrigin);
  router.options(['/sa', '/sa.gif', '/debug'], answerPreflight);
  router.get(['/sa', '/sa.gif'], async (ctx) => {
    // A page of any origin shows it, and its request does not say of which: refusing is the door's part.
    ctx.set('Cross-Origin-Resource-Policy', 'cross-origin');
    await receive(door, ctx);
    answer(ctx, gif);
    ctx.type = 'image/gif';
  });
  router.post(['/sa', '/sa.gif'], async (ctx) => {
    await receive(door, ctx);
    answer(ctx, '');
  });
  router.register('/debug', ['get', 'post'], async (ctx) => {
    const [rejected] = await receive(door, ctx, ctx.get('dry-run').toLowerCase() === 'true');
    if (rejected)
      throw fail('invalid_fields', { message: rejected.message, fields: { [rejected.code]: rejected.message } });
    answer(ctx, {});
  });
  router.get('/mp_login', () => {
    throw fail('not_found', { message: 'No openid is given out here. Sign in with the code of wx.login at /token.' });
  });
  return router;
}

async function receive(door: Door, ctx: Context, dryRun = false): Promise<RejectedEvent[]> {
  const query = new URLSearchParams(ctx.querystring);
  const speaker = await door.speakerOfKey(query.get('token') || query.get('project'));
  const fields = ctx.method === 'POST' ? new URLSearchParams((await door.readBody(ctx)).toString('utf8')) : query;
  const text = textIn(fields);
  return door.take(ctx, Buffer.byteLength(text), () => {
    const items = recordsIn(text).flatMap((record) => eventsOf(record, speaker));
    return { speaker, batch: { items, type: undefined, sentAt: undefined, dryRun } };
  });
}

function answer(ctx: Context, body: Buffer | string | object): void {
  ctx.set('Cache-Control', 'no-store');
  ctx.status = 200;
  ctx.body = body;
}
