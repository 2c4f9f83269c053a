/**
 * The load of bench/ingest.ts in a thread of its own: posts prepared bodies over so many kept connections, as fast as they are answered or
 * so many a second, and says how long that and each answer took. At a rate an answer's time counts from when its request was due: a
 * server that falls behind cannot hide it.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { Pool } from 'undici';

export type Load = { url: string; path: string; bodies: string[]; connections: number; perSecond?: number };
export type Loaded = { seconds: number; latencies: number[] };

const headers = workerData as { authorization: string };
const pools = new Map<string, Pool>();

parentPort?.on('message', async ({ url, path, bodies, connections, perSecond }: Load) => {
  const name = `${url} ${connections}`;
  const pool = pools.get(name) ?? new Pool(url, { connections, pipelining: 1 });
  pools.set(name, pool);
  const latencies: number[] = [];
  // By dispatch: a stream for each answer takes the machine more than what is measured.
  const send = (body: string, due: number) =>
    new Promise<void>((resolve, reject) => {
      let status = 0;
      let text = '';
      pool.dispatch(
        { path, method: 'POST', body, headers },
        {
          onRequestStart() {},
          onResponseStart(_, statusCode) {
            status = statusCode;
          },
          onResponseData(_, chunk) {
            text += chunk.toString();
          },
          onResponseEnd() {
            if (status !== 200 || !text.includes('"success":true') || text.includes('"index"'))
              return reject(new Error(`${status} ${text}`));
            latencies.push(performance.now() - due);
            resolve();
          },
          onResponseError: (_, error) => reject(error),
        },
      );
    });
  const started = performance.now();
  if (perSecond === undefined) {
    const queue = [...bodies];
    const sender = async () => {
      for (let body = queue.pop(); body !== undefined; body = queue.pop()) await send(body, performance.now());
    };
    await Promise.all(Array.from({ length: connections }, sender));
  } else {
    const sent: Promise<void>[] = [];
    while (sent.length < bodies.length) {
      const due = Math.min(bodies.length, ((performance.now() - started) / 1000) * perSecond);
      for (; sent.length < due; )
        sent.push(send(bodies[sent.length] ?? '', started + (sent.length / perSecond) * 1000));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await Promise.all(sent);
  }
  const loaded: Loaded = { seconds: (performance.now() - started) / 1000, latencies };
  parentPort?.postMessage(loaded);
});
