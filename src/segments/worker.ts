/**
 * What a worker does all the time: rounds as long as there are notes, and a look now and then when idle. Beside them builds as they are asked
 * for, and whoever has to be evaluated alone.
 */
import type { Clock } from '../clock.ts';
import type { Database } from '../database.ts';
import type { Logger } from '../log.ts';
import { buildNext } from './build.ts';
import { evaluateRound, tryAgain } from './live.ts';
import { whatIsWaiting } from './queue.ts';
import { createRulesReader } from './rules.ts';

/** How long a note waits at most for somebody to look. */
const idleMs = 200;
/** After a fault, such as a database that is away. */
const faultMs = 2_000;

export function startEvaluating(services: { db: Database; clock: Clock; log: Logger }): { stop(): Promise<void> } {
  const { db, clock, log } = services;
  const round = { ...services, readRules: createRulesReader(services) };
  let isStopping = false;
  let wake = () => {};
  const rest = (milliseconds: number) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  const build = beside(() => buildNext(services), log, 'segments: builds cannot be made');
  const again = beside(() => tryAgain(round), log, 'segments: nobody can be tried again');
  const work = async () => {
    while (!isStopping) {
      try {
        const { people, tries, builds } = await whatIsWaiting(db, clock.now());
        if (builds) build.start();
        if (tries) again.start();
        if (!people) await rest(idleMs);
        else while (!isStopping && (await evaluateRound(round)));
      } catch (error) {
        if (isStopping) return;
        log.error({ err: error }, 'segments: evaluation stopped for a moment');
        await rest(faultMs);
      }
    }
  };
  const working = work();
  return {
    async stop() {
      isStopping = true;
      wake();
      await Promise.all([working, build.running(), again.running()]);
    },
  };
}

/** Work that goes on by itself, once at a time. */
function beside(work: () => Promise<unknown>, log: Logger, fault: string) {
  let running: Promise<unknown> | undefined;
  return {
    running: () => running,
    start() {
      running ??= work()
        .catch((error: unknown) => log.error({ err: error }, fault))
        .finally(() => {
          running = undefined;
        });
    },
  };
}
