/**
 * The endpoint in a process that can be killed, with the evaluator of segments when that is wanted. Loaded ahead, it listens when it is
 * told to: `node crash-server.ts`, then { url, port, evaluates? }.
 */
import { flushCompileCache } from 'node:module';
import { systemClock } from '../../src/clock.ts';
import { createDatabase } from '../../src/database.ts';
import { eventsRoutes } from '../../src/events/routes.ts';
import { answerDirectly } from '../../src/http/direct.ts';
import { createKoa, listen } from '../../src/http/server.ts';
import { createLogger } from '../../src/log.ts';
import { createSeal } from '../../src/seal.ts';
import { startEvaluating } from '../../src/segments/worker.ts';
import { keyOf } from '../../src/subjects/identity-key.ts';

const seal = createSeal('a secret of at least thirty-two characters');
const log = createLogger({ level: 'silent' });

process.on('message', async ({ url, port, evaluates }: { url: string; port: number; evaluates?: boolean }) => {
  const db = createDatabase({ url });
  const { direct, routers } = eventsRoutes({
    db,
    seal,
    clock: systemClock,
    log,
    publicUrl: 'http://127.0.0.1',
    keyOf: (identity) => keyOf(seal, identity),
    readToken: async () => undefined,
    readIdToken: async () => undefined,
  });
  const options = { log, trustProxy: false, https: false } as const;
  const koa = createKoa(options);
  for (const router of routers) koa.use(router.routes());
  const listener = await listen(koa, { port, host: '127.0.0.1', direct: answerDirectly(direct, options) });
  if (evaluates) startEvaluating({ db, clock: systemClock, log });
  process.send?.({ port: listener.port });
});
process.on('disconnect', () => process.exit());
// A killed process would not write it.
flushCompileCache();
process.send?.('loaded');
