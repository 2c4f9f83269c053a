/**
 * Routes that node's server answers by itself. Koa's context and its router take 20 µs of the thread for a request: nothing beside a page,
 * and a fifth of all that a recorded event costs (bench/ingest). What holds for every request holds for these, by the same functions
 * (server.ts): an id, a line in the log, the client's address, security headers, errors as JSON.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type Router from '@koa/router';
import { fail } from '../errors.ts';
import { securityHeaders } from './security-headers.ts';
import {
  beginRequest,
  type Exchange,
  errorBody,
  type KoaOptions,
  logRequest,
  noteError,
  type RequestState,
} from './server.ts';

/** Its answer is sent as JSON, with 200. What it throws is answered as anywhere else. */
export type DirectRoute = (exchange: Exchange) => Promise<object>;

/** What answers: past Koa by path, and routers of Koa in the order in which they are asked. */
export type Routes = { direct: ReadonlyMap<string, DirectRoute>; routers: Router<RequestState>[] };

/** @param routes they are asked by POST, and what browsers ask before (OPTIONS) is left to Koa. */
export function answerDirectly(
  routes: Routes['direct'],
  { log, trustProxy, https }: Pick<KoaOptions, 'log' | 'trustProxy' | 'https'>,
): (req: IncomingMessage, res: ServerResponse) => boolean {
  const secure = securityHeaders({ https });
  const answer = async (route: DirectRoute, path: string, req: IncomingMessage, res: ServerResponse) => {
    const startedAt = performance.now();
    const exchange: Exchange = { req, res, state: beginRequest(req, res, trustProxy) };
    secure(res);
    try {
      if (req.method !== 'POST') {
        res.setHeader('Allow', 'OPTIONS, POST');
        throw fail('method_not_allowed');
      }
      send(res, 200, await route(exchange));
    } catch (thrown) {
      const error = noteError(thrown, { log, exchange, path });
      send(res, error.status, errorBody(error, exchange));
    }
    logRequest(log, { exchange, path, startedAt });
  };
  return (req, res) => {
    const path = pathOf(req.url ?? '');
    const route = req.method === 'OPTIONS' ? undefined : routes.get(path);
    if (route) void answer(route, path, req, res);
    return route !== undefined;
  };
}

/** A proxy may send the whole address (RFC 9112 section 3.2.2). A slash at the end makes no difference, as with Koa's router. */
function pathOf(target: string): string {
  const path = target.startsWith('/') ? (target.split('?', 1)[0] ?? '') : (URL.parse(target)?.pathname ?? '');
  return path.endsWith('/') ? path.slice(0, -1) : path;
}

function send(res: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body);
  res.statusCode = status;
  res.setHeader('Content-Type', 'application/json; charset=utf-8');
  res.setHeader('Content-Length', Buffer.byteLength(text));
  res.end(text);
}
