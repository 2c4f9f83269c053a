/** Segments on a real database behind the real endpoint, with a clock that tests move and rounds that they call. */
import type { Clock } from '../../src/clock.ts';
import type { Database } from '../../src/database.ts';
import { catalogueReader } from '../../src/events/catalogue.ts';
import { createI18n } from '../../src/http/i18n.ts';
import { buildNext } from '../../src/segments/build.ts';
import { evaluateRound, tryAgain } from '../../src/segments/live.ts';
import { createRulesReader } from '../../src/segments/rules.ts';
import { createSegment, editSegment } from '../../src/segments/segment.ts';
import { basic, eventsApp, log, movableClock, seedKeys, serverKey } from '../events/harness.ts';
import { testDatabase } from '../helpers/database.ts';

/** One evaluator, as a process has it. */
export function evaluator(db: Database, clock: Clock) {
  const services = { db, clock, log };
  const readRules = createRulesReader(services);
  const round = () => evaluateRound({ ...services, readRules });
  const again = () => tryAgain({ ...services, readRules });
  return {
    round,
    build: () => buildNext(services),
    /** Until nothing is left to do. */
    async settle() {
      do while ((await round()) + (await again()));
      while (await buildNext(services));
    },
  };
}

export async function segmentsWorld({ at = '2026-11-26T04:00:00Z' } = {}) {
  const { db, url } = await testDatabase();
  const clock = movableClock(at);
  const app = await eventsApp(db, { clock });
  await seedKeys(db);
  const services = { clock, readCatalogue: catalogueReader({ db, clock }), translate: createI18n().translator('en') };
  const { round, build, settle } = evaluator(db, clock);
  return {
    db,
    url,
    clock,
    app,
    services,
    round,
    build,
    settle,
    create: (definition: Record<string, unknown>) =>
      db.transaction((trx) =>
        createSegment(trx, services, { version: 1, name: 'Test', purpose: 'service', ...definition }, 'test'),
      ),
    edit: (key: string, definition: Record<string, unknown>) =>
      db.transaction((trx) =>
        editSegment(trx, services, key, { version: 1, key, name: 'Test', purpose: 'service', ...definition }, 'test'),
      ),
    /** What a server says that this person did, at the clock's time unless told. */
    async does(sub: string, event: string, more: Record<string, unknown> = {}) {
      const batch = [{ type: 'track', event, userId: sub, timestamp: clock.now().toISOString(), ...more }];
      return app.send('/v1/batch', { batch }, basic(serverKey));
    },
    members: async (key: string): Promise<string[]> =>
      (await db('segment_members').where({ segment_key: key }).orderBy('subject_id')).map((row) => row.subject_id),
    async later(milliseconds: number) {
      clock.set(new Date(clock.now().getTime() + milliseconds).toISOString());
      await settle();
    },
  };
}

export const days = (n: number) => n * 86_400_000;
