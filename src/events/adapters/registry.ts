/**
 * The trackers of other vendors that may be pointed at us unmodified. One folder each, whose routes go through the same door
 * (../door.ts) and hand over events of our own tracking API; a new one is a folder and one line here.
 */
import type Router from '@koa/router';
import type { RequestState } from '../../http/server.ts';
import type { Door } from '../door.ts';
import { growingioRoutes } from './growingio/routes.ts';
import { rudderstackRoutes } from './rudderstack/routes.ts';
import { segmentRoutes } from './segment/routes.ts';
import { sensorsRoutes } from './sensors/routes.ts';

export const adapters: ((door: Door) => Router<RequestState>)[] = [
  segmentRoutes,
  rudderstackRoutes,
  growingioRoutes,
  sensorsRoutes,
];
