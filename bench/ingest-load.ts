/** The load of bench/ingest.ts in a thread of its own: posts prepared batches over so many kept connections, and says how long it took. */
import { parentPort, workerData } from 'node:worker_threads';
import { Pool } from 'undici';

type Work = { url: string; connections: number; authorization: string };

const { url, connections, authorization } = workerData as Work;
const pool = new Pool(url, { connections, pipelining: 1 });

parentPort?.on('message', async (bodies: string[]) => {
  const started = performance.now();
  const latencies: number[] = [];
  const queue = [...bodies];
  const sender = async () => {
    for (let body = queue.pop(); body !== undefined; body = queue.pop()) {
      const sent = performance.now();
      const answer = await pool.request({ path: '/v1/batch', method: 'POST', body, headers: { authorization } });
      const text = await answer.body.text();
      if (answer.statusCode !== 200 || !text.includes('"rejected":[]')) throw new Error(`${answer.statusCode} ${text}`);
      latencies.push(performance.now() - sent);
    }
  };
  await Promise.all(Array.from({ length: connections }, sender));
  parentPort?.postMessage({ seconds: (performance.now() - started) / 1000, latencies });
});
