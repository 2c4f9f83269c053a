import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, it } from 'vitest';
import { createKoa, listen } from '../../src/http/server.ts';
import { createLogger } from '../../src/log.ts';
import { createFollow, type Followed } from '../../src/login/follow.ts';

const log = createLogger({ level: 'silent' });

/** A server with one page that is followed; `now` is what the database would say. */
async function following() {
  const seen = { state: 'pending', expires_in: 180 } as Followed;
  const looks = { count: 0, fault: undefined as Error | undefined };
  const ending = new AbortController();
  const follow = createFollow({ log, ending: ending.signal, lookEvery: 50 });
  const koa = createKoa({ log, trustProxy: 1, https: false });
  koa.use((ctx) =>
    follow(ctx, async () => {
      looks.count += 1;
      if (looks.fault) throw looks.fault;
      return { ...seen };
    }),
  );
  const listener = await listen(koa, { port: 0, host: '127.0.0.1' });
  afterAll(() => listener.stop());
  const url = `http://127.0.0.1:${listener.port}/state`;
  const stream = (headers = {}) => fetch(url, { headers: { accept: 'text/event-stream', ...headers } });
  return { seen, looks, ending, listener, url, stream };
}

/** The states a stream tells until it ends. */
async function told(answer: Response): Promise<string[]> {
  const text = await answer.text();
  return [...text.matchAll(/^data: (.*)$/gm)].map(([, data]) => JSON.parse(data ?? '').state);
}

it('a stream tells each change once, and ends with what ends it', async () => {
  const { seen, looks, stream } = await following();
  const answer = await stream();
  expect(answer.headers.get('content-type')).toContain('text/event-stream');
  expect(answer.headers.get('cache-control')).toBe('no-store');
  const states = told(answer);
  await expect.poll(() => looks.count).toBeGreaterThan(2);
  seen.state = 'scanned';
  const before = looks.count;
  await expect.poll(() => looks.count).toBeGreaterThan(before + 2);
  seen.state = 'confirmed';
  expect(await states).toEqual(['pending', 'scanned', 'confirmed']);
});

it('who cannot have streams asks for JSON at the same address', async () => {
  const { url } = await following();
  const answer = await fetch(url, { headers: { accept: 'application/json' } });
  expect(await answer.json()).toEqual({ state: 'pending', expires_in: 180 });
});

it('a process that stops does not wait for the phone', async () => {
  const { ending, listener, stream } = await following();
  const states = told(await stream());
  const startedAt = performance.now();
  ending.abort();
  await listener.stop();
  expect(performance.now() - startedAt).toBeLessThan(2_500);
  expect(await states).toEqual(['pending']);
});

it('a page that was closed is looked after no more', async () => {
  const { looks, listener } = await following();
  const socket = connect(listener.port, '127.0.0.1');
  socket.write('GET /state HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n');
  await once(socket, 'data');
  socket.destroy();
  const looksOfAWhile = async () => {
    const { count } = looks;
    await sleep(200);
    return looks.count - count;
  };
  await expect.poll(looksOfAWhile).toBe(0);
});

it('the database away for a moment ends the stream and nothing else: the browser comes back', async () => {
  const { looks, stream } = await following();
  const states = told(await stream());
  looks.fault = new Error('away');
  expect(await states).toEqual(['pending']);
  expect((await stream()).status).toBe(500);
});

it('F8: one address holds so many streams and no more, and gets them back when its pages close', async () => {
  const { seen, stream } = await following();
  const ours = { 'x-forwarded-for': '10.1.1.1' };
  const open = await Promise.all(Array.from({ length: 50 }, () => stream(ours)));
  expect(open.every(({ status }) => status === 200)).toBe(true);
  const over = await stream(ours);
  expect(over.status).toBe(429);
  expect(over.headers.get('retry-after')).toBe('2');
  // Others have their own, and asking for JSON is always allowed.
  expect((await stream({ 'x-forwarded-for': '10.1.1.2' })).status).toBe(200);
  expect((await stream({ ...ours, accept: 'application/json' })).status).toBe(200);
  seen.state = 'expired';
  await Promise.all(open.map(told));
  expect((await stream(ours)).status).toBe(200);
});
