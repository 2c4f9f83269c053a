/**
 * The thin endpoint: our tracking API, and the wire formats of the trackers that customers already have, each an
 * adapter.
 *
 * An SDK drops an event on any 4xx but 429, so a 4xx is only said of what will never be acceptable; what may pass is 429 or 503.
 */
import Router from '@koa/router';
import type { RequestState } from '../http/server.ts';
import { adapters } from './adapters/registry.ts';
import { answerPreflight } from './cors.ts';
import { createDoor, type EventsDependencies } from './door.ts';
import { eventTypes } from './normalise.ts';
import { takeBatch, takeOne } from './tracking.ts';

export function eventsRoutes(dependencies: EventsDependencies): Router<RequestState>[] {
  const door = createDoor(dependencies);
  const router = new Router<RequestState>({ prefix: '/v1' });
  router.use(door.allowOrigin);
  router.options('/{*path}', answerPreflight);
  for (const type of eventTypes) router.post(`/${type}`, (ctx) => takeOne(door, ctx, type));
  router.post(['/batch', '/import'], async (ctx) => takeBatch(door, ctx, await door.speakerOfHeader(ctx)));
  return [router, ...adapters.map((routes) => routes(door))];
}
