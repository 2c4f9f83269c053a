/** A listener on a free loopback port, and requests to it that no client library tidies up. */

import type Router from '@koa/router';
import { request } from 'undici';
import { afterAll } from 'vitest';
import { type ApiOptions, apiRoutes } from '../../src/api/routes.ts';
import { systemClock } from '../../src/clock.ts';
import { createI18n } from '../../src/http/i18n.ts';
import { createLimits } from '../../src/http/limits.ts';
import { createKoa, listen, type RequestState } from '../../src/http/server.ts';
import { createLogger, type Logger } from '../../src/log.ts';
import { noJobs } from '../helpers/jobs.ts';
import { keptLog } from '../helpers/kept-log.ts';

export type Answer = {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
  body: Json;
};
type Json = Record<string, unknown> & {
  error?: { code: string; message: string; request_id: string; fields?: Record<string, string> };
};
export type Send = (
  method: string,
  path: string,
  options?: { token?: string; body?: unknown; headers?: Record<string, string> },
) => Promise<Answer>;

/** Call within beforeAll. */
export async function serveRouter(
  make: (log: Logger) => Router<RequestState>[],
): Promise<{ send: Send; log: () => string }> {
  const { lines, destination } = keptLog();
  const log = createLogger({ level: 'info', destination });
  const koa = createKoa({ log, trustProxy: false, https: true });
  for (const router of make(log)) koa.use(router.routes());
  const listener = await listen(koa, { port: 0, host: '127.0.0.1' });
  afterAll(() => listener.stop());
  const send: Send = async (method, path, { token, body, headers = {} } = {}) => {
    const raw = typeof body === 'string' || Buffer.isBuffer(body) ? body : body && JSON.stringify(body);
    const answer = await request(`http://127.0.0.1:${listener.port}${path}`, {
      method,
      ...(raw !== undefined && { body: raw as string | Buffer }),
      headers: {
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...headers,
      },
    });
    const text = await answer.body.text();
    return {
      status: answer.statusCode,
      headers: answer.headers,
      text,
      body: text.startsWith('{') ? JSON.parse(text) : {},
    };
  };
  return { send, log: () => lines.join('') };
}

/** The management API alone. Call within beforeAll. */
export function serveApi({
  db,
  seal,
  jobs = noJobs,
  clock = systemClock,
  authenticate,
}: Pick<ApiOptions, 'db' | 'seal' | 'authenticate'> & Partial<Pick<ApiOptions, 'jobs' | 'clock'>>) {
  const limits = createLimits({ db, seal });
  return serveRouter((log) => [apiRoutes({ ...apiParts, db, seal, jobs, clock, limits, log, authenticate })]);
}

/** What every test of the API gives it alike. */
export const apiParts = { clock: systemClock, translate: createI18n().translator('en') };
