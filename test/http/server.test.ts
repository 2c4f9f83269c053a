import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { readForm, readJson } from '../../src/http/body.ts';
import { type Address, clientAddress } from '../../src/http/client-address.ts';
import { createKoa, listen } from '../../src/http/server.ts';
import { createLogger } from '../../src/log.ts';
import { keptLog } from '../helpers/kept-log.ts';

const log = createLogger({ level: 'silent' });

function site() {
  const koa = createKoa({ log, trustProxy: false, https: false });
  koa.use(async (ctx) => {
    if (ctx.path === '/slow') await new Promise((resolve) => setTimeout(resolve, 300));
    if (ctx.path === '/json') ctx.body = { got: await readJson(ctx, { limit: 1000 }) };
    else if (ctx.path === '/form') ctx.body = { got: await readForm(ctx) };
    else if (ctx.path === '/broken') throw new Error('a secret of the inside');
    else ctx.body = 'ok';
  });
  return koa;
}

const listener = await listen(site(), { port: 0, host: '127.0.0.1', slowest: { headers: 400, request: 600 } });
const base = `http://127.0.0.1:${listener.port}`;
const sockets: Socket[] = [];
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  await listener.stop();
});

it('G1: a ticket in an address is in no log line, the rest of the address is', async () => {
  const { lines, destination } = keptLog();
  const koa = createKoa({ log: createLogger({ level: 'info', destination }), trustProxy: false, https: false });
  koa.use((ctx) => {
    if (ctx.path.startsWith('/broken')) throw new Error('inside');
    ctx.body = 'ok';
  });
  const own = await listen(koa, { port: 0, host: '127.0.0.1' });
  const ticket = 'Ab3_-9zZq0123456789xyz';
  await fetch(`http://127.0.0.1:${own.port}/handover/${ticket}`);
  await fetch(`http://127.0.0.1:${own.port}/broken/${ticket}/state`);
  await own.stop();
  expect(lines.join('')).toContain('/handover/…');
  expect(lines.join('')).toContain('/broken/…/state');
  expect(lines.join('')).not.toContain(ticket);
});

async function open(port = listener.port): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  sockets.push(socket);
  await once(socket, 'connect');
  return socket;
}

const post = (path: string, body: NonNullable<RequestInit['body']>, headers: Record<string, string> = {}) =>
  fetch(`${base}${path}`, { method: 'POST', body, headers });
const codeOf = async (answer: Response) => ((await answer.json()) as { error: { code: string } }).error.code;

describe('F8: senders that are slow on purpose', () => {
  it('lose their connection, two thousand that say nothing, half a header or half a body, while others are served', async () => {
    const held: Promise<unknown>[] = [];
    const hold = async (n: number) => {
      const socket = await open();
      held.push(new Promise((resolve) => socket.resume().once('close', resolve)));
      if (n % 3) socket.write('POST /json HTTP/1.1\r\nHost: x\r\n');
      if (n % 3 === 2) socket.write('Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{');
    };
    // As many at once as the system's queue of new connections holds; it drops the others by itself.
    for (let n = 0; n < 2_000; n += 250) await Promise.all(Array.from({ length: 250 }, (_, m) => hold(n + m)));
    for (let n = 0; n < 20; n++) expect(await (await fetch(base)).text()).toBe('ok');
    await Promise.all(held);
  });
});

describe('G14: requests made to be read twice', () => {
  it.each([
    ['two lengths', 'Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!'],
    ['length and chunks', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['a folded header', 'X-Folded: a\r\n b\r\nContent-Length: 0\r\n\r\n'],
    ['a bare line feed', 'X-Bare: a\nContent-Length: 0\r\n\r\n'],
  ])('are refused: %s', async (_title, rest) => {
    const socket = await open();
    socket.write(`POST / HTTP/1.1\r\nHost: x\r\n${rest}`);
    const [answer] = await once(socket, 'data');
    expect(String(answer)).toMatch(/^HTTP\/1\.1 400/);
  });
});

it('an address that is none is 400, as any other error', async () => {
  const socket = await open();
  socket.write('GET http://[/ HTTP/1.1\r\nHost: x\r\n\r\n');
  const [answer] = await once(socket, 'data');
  expect(String(answer)).toMatch(/^HTTP\/1\.1 400.+X-Request-Id: .+Content-Security-Policy: .+"bad_request"/s);
});

describe('F7: compressed bodies', () => {
  it('are read, and counted as what they decompress to', async () => {
    const answer = await post('/json', gzipSync('{"a":1}'), { 'content-encoding': 'gzip' });
    expect(await answer.json()).toEqual({ got: { a: 1 } });
    const bomb = gzipSync(Buffer.alloc(50_000_000, ' '));
    expect((await post('/json', bomb, { 'content-encoding': 'gzip' })).status).toBe(413);
  });

  it('that are too large and end in what is no gzip leave nothing behind that ends the process', async () => {
    const faults: unknown[] = [];
    const note = (error: unknown) => faults.push(error);
    process.on('uncaughtExceptionMonitor', note);
    const whole = gzipSync(Buffer.from(Array.from({ length: 90_000 }, (_, n) => n * n)));
    for (let end = whole.length - 1; end > whole.length - 60; end -= 4) {
      const answer = await post('/json', new Uint8Array(whole.subarray(0, end)), { 'content-encoding': 'gzip' });
      expect(answer.status).toBe(413);
    }
    process.off('uncaughtExceptionMonitor', note);
    expect(faults).toEqual([]);
  });

  it.each([
    ['truncated', gzipSync('{"a":1}').subarray(0, 15), 'gzip', 400],
    ['not compressed at all', Buffer.from('{"a":1}'), 'gzip', 400],
    ['of an unknown kind', Buffer.from('{"a":1}'), 'br', 415],
    ['compressed twice', gzipSync(gzipSync('{"a":1}')), 'gzip, gzip', 415],
  ])('%s are refused', async (_title, body, encoding, status) => {
    expect((await post('/json', body, { 'content-encoding': encoding })).status).toBe(status);
  });

  it('take no more room than was sent until all of them is there, however much they unpack to', async () => {
    const koa = createKoa({ log, trustProxy: false, https: false });
    koa.use(async (ctx) => {
      ctx.body = await readJson(ctx, { limit: 512_000 });
    });
    const own = await listen(koa, { port: 0, host: '127.0.0.1' });
    const body = gzipSync(`"${'x'.repeat(500_000)}"`);
    const head = `POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: ${body.length}\r\n\r\n`;
    const before = process.memoryUsage().arrayBuffers;
    const slow = await Promise.all(Array.from({ length: 100 }, () => open(own.port)));
    for (const socket of slow) socket.write(Buffer.concat([Buffer.from(head), body.subarray(0, -1)]));
    const headers = { 'content-encoding': 'gzip' };
    const answer = await fetch(`http://127.0.0.1:${own.port}`, { method: 'POST', body, headers });
    expect(await answer.text()).toHaveLength(500_000);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(20_000_000);
    for (const socket of slow) socket.destroy();
    await own.stop();
  });

  it('that stop in the middle, with their sender, are over like any other', async () => {
    const body = gzipSync('{"a":1}');
    const outcome = Promise.withResolvers<unknown>();
    const koa = createKoa({ log, trustProxy: false, https: false });
    koa.use((ctx) => readJson(ctx, { limit: 1000 }).then(outcome.resolve, outcome.reject));
    const own = await listen(koa, { port: 0, host: '127.0.0.1' });
    const socket = await open(own.port);
    const head = `POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: ${body.length}\r\n\r\n`;
    socket.write(Buffer.concat([Buffer.from(head), body.subarray(0, 15)]), () => socket.end().destroySoon());
    await expect(outcome.promise).rejects.toMatchObject({ code: 'bad_request' });
    await own.stop();
  });
});

describe('bodies', () => {
  it('F7: in chunks of a byte each are whole, and take no more room than others until all of them is there', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const size = 200_000;
    const halfway = Promise.withResolvers<void>();
    const koa = createKoa({ log, trustProxy: false, https: false });
    koa.use(async (ctx) => {
      let got = 0;
      ctx.req.on('data', (chunk: Buffer) => {
        got += chunk.length;
        if (got === size - 1) halfway.resolve();
      });
      ctx.body = await readJson(ctx, { limit: size });
    });
    const own = await listen(koa, { port: 0, host: '127.0.0.1' });
    const socket = await open(own.port);
    collect();
    const before = process.memoryUsage().heapUsed;
    socket.write('POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n"\r\n');
    socket.write('1\r\nx\r\n'.repeat(size - 2));
    await halfway.promise;
    collect();
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(10_000_000);
    socket.write('1\r\n"\r\n0\r\n\r\n');
    expect(await text(socket)).toContain('x'.repeat(size - 2));
    await own.stop();
  });

  it('that are no JSON, or larger than allowed, are refused with their code', async () => {
    expect(await codeOf(await post('/json', '{'))).toBe('invalid_json');
    expect(await codeOf(await post('/json', `"${'x'.repeat(2000)}"`))).toBe('payload_too_large');
  });

  it('A43: a form that sends a field twice is refused', async () => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    expect(await codeOf(await post('/form', 'a=1&a=2', headers))).toBe('bad_request');
    expect(await (await post('/form', '__proto__=1&b=2', headers)).json()).toMatchObject({ got: { b: '2' } });
    expect(({} as Record<string, unknown>).admin).toBeUndefined();
  });
});

describe('errors', () => {
  it('G2: of ours show a code and the request id, and nothing of the inside', async () => {
    const answer = await fetch(`${base}/broken`);
    const text = await answer.text();
    expect(answer.status).toBe(500);
    expect(text).toContain(answer.headers.get('x-request-id') ?? 'no id');
    expect(text).not.toMatch(/secret|Error|\.ts|node_modules/);
  });
});

describe('A42: the address of a request', () => {
  const rows: [string, Address, string | undefined, string][] = [
    ['no proxy is trusted: the header is the client’s own invention', false, '1.1.1.1', '10.0.0.9'],
    ['one proxy: the last entry is what it saw', 1, '6.6.6.6, 2.2.2.2', '2.2.2.2'],
    ['two proxies', 2, '6.6.6.6, 2.2.2.2, 10.0.0.1', '2.2.2.2'],
    ['more proxies than entries', 3, '2.2.2.2', '2.2.2.2'],
    [
      'blocks: the first from the right that is no proxy of ours',
      ['10.0.0.0/8'],
      '6.6.6.6, 2.2.2.2, 10.0.0.1',
      '2.2.2.2',
    ],
    ['blocks: the peer is no proxy, so the header does not count', ['192.168.0.0/16'], '2.2.2.2', '10.0.0.9'],
    ['an entry that is no address', 1, 'javascript:alert(1)', '10.0.0.9'],
    ['no header', 1, undefined, '10.0.0.9'],
    ['IPv4 in IPv6', 1, '::ffff:2.2.2.2', '2.2.2.2'],
  ];
  it.each(rows)('%s', (_title, trust, header, expected) => {
    const headers = header === undefined ? {} : { 'x-forwarded-for': header };
    const req = { socket: { remoteAddress: '::ffff:10.0.0.9' }, headers } as unknown as IncomingMessage;
    expect(clientAddress(req, trust)).toBe(expected);
  });
});

describe('stopping', () => {
  it('answers what is in flight and then refuses', async () => {
    const own = await listen(site(), { port: 0, host: '127.0.0.1' });
    const inFlight = fetch(`http://127.0.0.1:${own.port}/slow`);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const stopped = own.stop();
    expect(await (await inFlight).text()).toBe('ok');
    await stopped;
    await expect(fetch(`http://127.0.0.1:${own.port}/`)).rejects.toThrow();
  });
});
