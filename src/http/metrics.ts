/**
 * Prometheus metrics on a listener of their own (METRICS_PORT), for the inside of the network only. Labels are taken from fixed
 * lists, so that no id, phone number or path of a stranger's making can become one (threat G12).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import Router from '@koa/router';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Clock } from '../clock.ts';
import type { RequestState } from './server.ts';

const areas = [
  'admin',
  'api',
  'authorize',
  'login',
  'logout',
  'otp',
  'sms',
  'static',
  'token',
  'userinfo',
  'v1',
  'wechat',
];
const methods = ['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'HEAD'];

export type Metrics = {
  observe(req: IncomingMessage, res: ServerResponse): void;
  router: Router<RequestState>;
  countForward(outcome: 'answered' | 'failed'): void;
};

type Sources = {
  /** Who cannot be evaluated, and since when the first of them cannot. */
  countSetAside(): Promise<{ people: number; since: Date | null }>;
};

/** `observe` is for the main listener, its router for that of METRICS_PORT. */
export function createMetrics({ clock, countSetAside }: Sources & { clock: Clock }): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const requests = new Histogram({
    name: 'heyi_http_request_duration_seconds',
    help: 'Answered requests by area of the product, method and class of status.',
    labelNames: ['area', 'method', 'status'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [registry],
  });
  const forwards = new Counter({
    name: 'heyi_wechat_push_forwards_total',
    help: 'Message pushes handed on to the system of push_forward_url.',
    labelNames: ['outcome'],
    registers: [registry],
  });
  const setAside = new Gauge({
    name: 'heyi_people_set_aside',
    help: 'People whom segments cannot follow; the log names each once.',
    registers: [registry],
  });
  const setAsideFor = new Gauge({
    name: 'heyi_people_set_aside_seconds',
    help: 'For how long the first of them has been.',
    registers: [registry],
  });
  const router = new Router<RequestState>();
  router.get('/metrics', async (ctx) => {
    const { people, since } = await countSetAside();
    setAside.set(people);
    setAsideFor.set(since ? (clock.now().getTime() - since.getTime()) / 1000 : 0);
    ctx.type = registry.contentType;
    ctx.body = await registry.metrics();
  });
  return {
    observe(req, res) {
      const end = requests.startTimer();
      res.once('close', () => end(labelsOf(req, res)));
    },
    router,
    countForward: (outcome) => forwards.inc({ outcome }),
  };
}

function labelsOf({ url = '', method = '' }: IncomingMessage, { statusCode }: ServerResponse) {
  const [, area = ''] = /^\/([a-z0-9]*)(?:[/?]|$)/.exec(url) ?? [];
  return {
    area: areas.includes(area) ? area : 'other',
    method: methods.includes(method) ? method : 'other',
    status: `${Math.floor(statusCode / 100)}xx`,
  };
}
