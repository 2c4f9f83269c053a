/** The event endpoint and the evaluator of bench/segments.ts, in a thread of their own. */
import { parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../src/clock.ts';
import { createDatabase } from '../src/database.ts';
import { eventsRoutes } from '../src/events/routes.ts';
import { answerDirectly } from '../src/http/direct.ts';
import { createKoa, listen } from '../src/http/server.ts';
import { createLogger } from '../src/log.ts';
import { createSeal } from '../src/seal.ts';
import { startEvaluating } from '../src/segments/worker.ts';
import { keyOf } from '../src/subjects/identity-key.ts';

const seal = createSeal('a secret for the bench, of more than 32 characters');
const log = createLogger({ level: 'error' });
const db = createDatabase({ url: (workerData as { url: string }).url });
const services = { db, seal, clock: systemClock, log };
const options = { log, trustProxy: false, https: false } as const;
const koa = createKoa(options);
const { direct, routers } = eventsRoutes({
  ...services,
  publicUrl: 'http://localhost',
  keyOf: (identity) => keyOf(seal, identity),
  readToken: async () => undefined,
  readIdToken: async () => undefined,
});
for (const router of routers) koa.use(router.routes());
const listener = await listen(koa, { port: 0, host: '127.0.0.1', direct: answerDirectly(direct, options) });
const evaluating = startEvaluating(services);
parentPort?.postMessage(listener.port);
parentPort?.once('message', async () => {
  await listener.stop();
  await evaluating.stop();
  await db.destroy();
  parentPort?.close();
});
