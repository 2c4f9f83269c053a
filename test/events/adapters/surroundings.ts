/** What trackers meet in the world: a website on an origin of its own, and a way to us that loses answers. */
import { readFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { basename } from 'node:path';
import { afterAll } from 'vitest';

async function serve(listener: RequestListener): Promise<number> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  afterAll(() => void server.close());
  const address = server.address();
  return address && typeof address === 'object' ? address.port : 0;
}

/** A page, and the files of a tracker's folder. @returns the origin */
export async function website(html: string, folder: URL): Promise<string> {
  const port = await serve(async (request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://x');
    if (!/\.m?js$/.test(pathname)) {
      response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(html);
      return;
    }
    const file = await readFile(new URL(basename(pathname), folder)).catch(() => undefined);
    response.writeHead(file ? 200 : 404, { 'content-type': 'text/javascript' }).end(file);
  });
  return `http://localhost:${port}`;
}

/** Passes on to `url`. The first request is answered "busy", the answer to the second is lost on the way: what a retry is for. */
export async function flakyWayTo(url: string): Promise<{ host: string; answers(): number }> {
  let answers = 0;
  const port = await serve(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    answers++;
    if (answers === 1) {
      response.writeHead(429, { 'retry-after': '1' }).end();
      return;
    }
    const { authorization = '', 'content-type': type = '', 'content-encoding': encoding } = request.headers;
    const headers = { authorization, 'content-type': type, ...(encoding && { 'content-encoding': encoding }) };
    const answer = await fetch(`${url}${request.url}`, {
      method: 'POST',
      body: new Uint8Array(Buffer.concat(chunks)),
      headers,
    });
    if (answers === 2) request.socket.destroy();
    else response.writeHead(answer.status).end();
  });
  return { host: `http://127.0.0.1:${port}`, answers: () => answers };
}
