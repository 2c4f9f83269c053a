/** A server that WeChat pushes to: it keeps what came, and answers as a test says. */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll } from 'vitest';

export type Received = { method: string; path: string; query: Record<string, string>; type: string; body: string };
export type Answerer = (received: Received) => { status?: number; body?: string; after_ms?: number };

/** What a server does that has just been written: it hands the echostr back, and says success to everything else. */
export const polite: Answerer = ({ query }) => ({ body: query.echostr ?? 'success' });

export async function startReceiver() {
  const received: Received[] = [];
  const now = { answer: polite };
  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const message = {
      method: request.method ?? '',
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      type: request.headers['content-type'] ?? '',
      body: await text(request),
    };
    received.push(message);
    const { status = 200, body = '', after_ms = 0 } = now.answer(message);
    setTimeout(() => response.writeHead(status).end(body), after_ms);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  afterAll(() => new Promise((resolve) => server.close(resolve)));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/push`,
    received,
    /** What came since the last call, the checks of the address left out. */
    take: () => received.splice(0).filter(({ method }) => method === 'POST'),
    answer(answerer: Answerer) {
      now.answer = answerer;
    },
  };
}

async function text(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
