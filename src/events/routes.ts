/**
 * The thin endpoint: our tracking API, and the wire formats of the trackers that customers already have, each an
 * adapter.
 *
 * An SDK drops an event on any 4xx but 429, so a 4xx is only said of what will never be acceptable; what may pass is 429 or 503.
 */
import Router from '@koa/router';
import type { DirectRoute, Routes } from '../http/direct.ts';
import type { Exchange, RequestState } from '../http/server.ts';
import { adapters } from './adapters/registry.ts';
import { answerPreflight } from './cors.ts';
import { createDoor, type EventsDependencies } from './door.ts';
import { eventTypes } from './normalise.ts';
import { type Taken, takeBatch, takeOne } from './tracking.ts';

/** Our own tracking API goes past Koa: every event of ours does. */
export function eventsRoutes(dependencies: EventsDependencies): Routes {
  const door = createDoor(dependencies);
  const direct = new Map<string, DirectRoute>();
  const answer = (path: string, take: (exchange: Exchange) => Promise<Taken>) =>
    direct.set(`/v1/${path}`, async (exchange) => {
      await door.allowOrigin(exchange);
      const taken = await take(exchange);
      exchange.res.setHeader('Cache-Control', 'no-store');
      return taken;
    });
  for (const type of eventTypes) answer(type, (exchange) => takeOne(door, exchange, type));
  for (const path of ['batch', 'import'])
    answer(path, async (exchange) => takeBatch(door, exchange, await door.speakerOfHeader(exchange)));
  const preflight = new Router<RequestState>({ prefix: '/v1' });
  preflight.use(door.allowOrigin);
  preflight.options('/{*path}', answerPreflight);
  return { direct, routers: [preflight, ...adapters.map((routes) => routes(door))] };
}
