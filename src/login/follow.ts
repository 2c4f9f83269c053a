/**
 * A page that waits for what happens on another device: a code scanned and confirmed with a phone, an account followed. One address
 * answers both ways of asking, told apart by Accept: server-sent events, or JSON for a browser or proxy that does not let them
 * through. Without JavaScript the page itself is loaded again (`refresh` of views/layout.eta). views/static/follow.js is the other end.
 *
 * What it waits for lives in the database and is looked at once a second for each open page, so any process answers, and none has to
 * be told by another. The visit and its cookie are checked by whoever calls follow(): a stream opens for the browser that asked, only.
 */
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fail } from '../errors.ts';
import { limitedAddress } from '../http/client-address.ts';
import type { Context } from '../http/server.ts';
import type { Logger } from '../log.ts';

/** The blocks of a page say in which of these they are shown (`data-shown-in`). Confirmed: the page posts its form. */
export type FollowState = 'pending' | 'scanned' | 'confirmed' | 'denied' | 'expired';
export type Followed = { state: FollowState; expires_in: number };
export type Follow = (ctx: Context, look: () => Promise<Followed>) => Promise<void>;

/** After these nothing more will come. */
const ends = new Set<FollowState>(['confirmed', 'denied', 'expired']);

/** Of each process. Whoever is over it is answered as one whose browser knows no streams: the page goes on by asking. */
const mostStreams = { ofAddress: 50, inAll: 2_000 };
/** Proxies close what is silent for longer than 30 to 60 seconds. */
const beatEvery = 15_000;

type FollowOptions = {
  log: Logger;
  /** Aborted when this process stops: it must not wait for people to look at their phones. */
  ending: AbortSignal;
  /** Milliseconds. */
  lookEvery?: number;
};

export function createFollow({ log, ending, lookEvery = 1_000 }: FollowOptions): Follow {
  const open = new Map<string, number>();
  let all = 0;

  function admit(ctx: Context): () => void {
    const address = limitedAddress(ctx);
    const count = open.get(address) ?? 0;
    if (count >= mostStreams.ofAddress || all >= mostStreams.inAll)
      throw fail('too_many_requests', { retryAfterSeconds: 2 });
    open.set(address, count + 1);
    all += 1;
    return () => {
      const left = (open.get(address) ?? 1) - 1;
      if (left > 0) open.set(address, left);
      else open.delete(address);
      all -= 1;
    };
  }

  return async (ctx, look) => {
    const first = await look();
    ctx.set('Cache-Control', 'no-store');
    ctx.vary('Accept');
    if (ctx.accepts('application/json', 'text/event-stream') !== 'text/event-stream') {
      ctx.body = first;
      return;
    }
    const release = admit(ctx);
    const { requestId: request_id } = ctx.state;
    const report = (err: unknown) => log.warn({ request_id, err }, 'login: following broke off');
    const isOver = () => ending.aborted || stream.destroyed;
    const stream: Readable = Readable.from(events(first, look, lookEvery, isOver, report));
    stream.once('close', release);
    ctx.type = 'text/event-stream';
    // A proxy that collects an answer before it passes it on would keep the news from the page.
    ctx.set('X-Accel-Buffering', 'no');
    ctx.body = stream;
  };
}

/** One message for each change. Never throws: the headers are out, and a browser comes back by itself to a stream that ended. */
async function* events(
  first: Followed,
  look: () => Promise<Followed>,
  lookEvery: number,
  isOver: () => boolean,
  report: (error: unknown) => void,
): AsyncGenerator<string> {
  yield `retry: 2000\n${message(first)}`;
  let shown = first;
  let quiet = 0;
  while (!ends.has(shown.state)) {
    await sleep(lookEvery);
    if (isOver()) return;
    const seen = await look().catch(report);
    if (!seen) return;
    quiet += lookEvery;
    if (seen.state !== shown.state) yield message(seen);
    else if (quiet >= beatEvery) yield ': still here\n\n';
    else continue;
    quiet = 0;
    shown = seen;
  }
}

function message(followed: Followed): string {
  return `data: ${JSON.stringify(followed)}\n\n`;
}
