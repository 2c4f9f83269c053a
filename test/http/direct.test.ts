import { request as nodeRequest } from 'node:http';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { fail } from '../../src/errors.ts';
import { readJson } from '../../src/http/body.ts';
import { answerDirectly, type DirectRoute } from '../../src/http/direct.ts';
import { createKoa, listen } from '../../src/http/server.ts';
import { createLogger } from '../../src/log.ts';
import { keptLog } from '../helpers/kept-log.ts';

const { lines, destination } = keptLog();
const options = { log: createLogger({ level: 'info', destination }), trustProxy: 1, https: true } as const;

const routes = new Map<string, DirectRoute>([
  ['/echo', async (exchange) => ({ got: await readJson(exchange, { limit: 1000 }), ip: exchange.state.ip })],
  ['/broken', () => Promise.reject(new Error('a secret of the inside'))],
  ['/busy', () => Promise.reject(fail('too_many_requests', { retryAfterSeconds: 7 }))],
]);
const koa = createKoa(options);
koa.use((ctx) => {
  if (ctx.path === '/koa') ctx.body = 'by Koa';
  if (ctx.method === 'OPTIONS') ctx.status = 204;
});
let observed = 0;
const observe = () => {
  observed += 1;
};
const { port, stop } = await listen(koa, {
  port: 0,
  host: '127.0.0.1',
  direct: answerDirectly(routes, options),
  observe,
});
afterAll(stop);
beforeEach(() => {
  lines.length = 0;
});

const post = (path: string, body = '{}', headers: Record<string, string> = {}) =>
  fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', body, headers });
const errorOf = async (answer: Response) =>
  ((await answer.json()) as { error: { code: string; message: string; request_id: string } }).error;
const logged = () => lines.map((line) => JSON.parse(line));

describe('a route past Koa', () => {
  it('answers with all that an answer by Koa has: the same headers, an id, a line in the log, the address behind the proxy', async () => {
    const answer = await post('/echo?token=secret-of-a-query', '{"a":1}', { 'x-forwarded-for': '203.0.113.9' });
    expect(await answer.json()).toEqual({ got: { a: 1 }, ip: '203.0.113.9' });
    expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8');
    const byKoa = await fetch(`http://127.0.0.1:${port}/koa`);
    for (const [name, value] of byKoa.headers)
      if (!['x-request-id', 'date', 'content-type', 'content-length'].includes(name))
        expect([name, answer.headers.get(name)]).toEqual([name, value]);
    expect(answer.headers.get('strict-transport-security')).toContain('max-age');
    const request_id = answer.headers.get('x-request-id');
    expect(logged()[0]).toMatchObject({ request_id, method: 'POST', path: '/echo', status: 200, msg: 'request' });
    expect(lines.join('')).not.toContain('secret-of-a-query');
    expect(observed).toBe(2);
  });

  it('answers an error as anywhere else, and what failed inside is in the log alone', async () => {
    const answer = await post('/broken');
    expect(answer.status).toBe(500);
    const request_id = answer.headers.get('x-request-id');
    expect(await errorOf(answer)).toEqual({ code: 'internal', message: expect.any(String), request_id });
    expect(logged()[0]).toMatchObject({ request_id, error: 'internal', err: { message: 'a secret of the inside' } });
    const busy = await post('/busy');
    expect([busy.status, busy.headers.get('retry-after'), busy.headers.get('cache-control')]).toEqual([
      429,
      '7',
      'no-store',
    ]);
    expect((await errorOf(await post('/echo', 'no json'))).code).toBe('invalid_json');
    const large = await post('/echo', 'x'.repeat(1_001));
    expect([large.status, large.headers.get('connection')]).toEqual([413, 'close']);
  });

  it('says which method it answers, and leaves what browsers ask before to Koa', async () => {
    const answer = await fetch(`http://127.0.0.1:${port}/echo`);
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'OPTIONS, POST']);
    expect((await fetch(`http://127.0.0.1:${port}/echo`, { method: 'OPTIONS' })).status).toBe(204);
    expect((await post('/echo/more')).status).toBe(404);
  });

  it('is found with a slash at its end, and when a proxy sends the whole address', async () => {
    expect((await post('/echo/?x=1')).status).toBe(200);
    const status = await new Promise((resolve, reject) => {
      const asked = nodeRequest({ port, method: 'POST', path: 'http://id.example.com/echo?x=1' }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      });
      asked.on('error', reject).end('{}');
    });
    expect(status).toBe(200);
  });

  it('outlives a sender who leaves in the middle of the body', async () => {
    await new Promise<void>((resolve) => {
      const asked = nodeRequest({ port, method: 'POST', path: '/echo', headers: { 'content-length': '100' } });
      asked.on('error', () => {}).on('close', resolve);
      asked.write('{"a"', () => asked.destroy());
    });
    expect((await post('/echo')).status).toBe(200);
  });
});
