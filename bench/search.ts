/**
 * Among a million people, somebody at the company finds one by whatever they have in hand and opens them: everything that the
 * console's pages of a person read, each well under 100 ms on the server. Held against one read of a row by its primary key.
 */
import { readAudit } from '../src/audit/audit.ts';
import { currentConsents } from '../src/consent/consent.ts';
import type { Database } from '../src/database.ts';
import { timeline } from '../src/events/timeline.ts';
import { browserSessionsOf, grantsOf } from '../src/oidc/grants.ts';
import { profileOf } from '../src/profiles/profile.ts';
import { createSeal } from '../src/seal.ts';
import { casesOf, listCases, relatedSubjects } from '../src/subjects/cases.ts';
import { findPeople } from '../src/subjects/search.ts';
import { identitiesOf } from '../src/subjects/subjects.ts';
import { mergesOf } from '../src/subjects/undo.ts';
import { withDatabase } from './database.ts';
import { type BenchResult, percentile } from './result.ts';
import { fillPeople, type Known, known } from './search-people.ts';

const people = 1_000_000;
const reads = 1_000;
const warmUp = 100;
const most = 100;

const seal = createSeal('a secret for the bench, of more than 32 characters');

export async function run(): Promise<BenchResult[]> {
  return withDatabase(async ({ db }) => {
    await fillPeople(db, seal, people);
    return measureAll(db);
  });
}

async function measureAll(db: Database): Promise<BenchResult[]> {
  const row = await measure((one) => db('subjects').where({ id: one.sub }).first());
  const searches: Record<string, number[]> = {};
  for (const kind of ['phone', 'email', 'openid', 'unionid', 'oidc', 'member_no', 'sub', 'absorbed_sub'] as const)
    searches[kind] = await measure(async (one) => expectFound(await findPeople({ db, seal }, one[kind]), one));
  const opening = await measure((one) => open(db, one.sub));
  const queue = await measure(() => listCases(db, { status: 'open', limit: 50 }));
  const all = await measure(() => listCases(db, { limit: 50 }));
  const slowest = Object.entries(searches).sort(([, a], [, b]) => percentile(b, 0.99) - percentile(a, 0.99))[0];
  return [
    result(
      `search: by the slowest of ${Object.keys(searches).length} kinds (${slowest?.[0]})`,
      slowest?.[1] ?? [],
      row,
      {
        p99_ms: Object.fromEntries(Object.entries(searches).map(([kind, times]) => [kind, percentile(times, 0.99)])),
      },
    ),
    result('search: all that the pages of a person read', opening, row),
    result('search: the queue of cases', queue, row, { all_cases_p99_ms: percentile(all, 0.99) }),
  ];
}

function result(promise: string, times: number[], row: number[], details = {}): BenchResult {
  const [figure, ceiling_figure] = [percentile(times, 0.99), percentile(row, 0.99)];
  return {
    promise: `${promise}, p99 among 1 million`,
    figure,
    unit: 'ms',
    ceiling: 'one row by its primary key',
    ceiling_figure,
    ratio: figure / ceiling_figure,
    target: `<= ${most} ms`,
    details: { p50_ms: percentile(times, 0.5), reads, ...details },
  };
}

async function measure(read: (one: Known) => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  for (let n = 0; n < reads + warmUp; n++) {
    const one = known(n);
    const started = performance.now();
    await read(one);
    if (n >= warmUp) times.push(performance.now() - started);
  }
  return times;
}

function expectFound(found: { sub: string }[], one: Known): void {
  if (found.length !== 1 || found[0]?.sub !== one.sub) throw new Error(`the bench did not find ${one.sub}`);
}

/** As src/admin/people.ts reads them, all pages of a person one after the other. */
async function open(db: Database, sub: string): Promise<void> {
  const identities = await identitiesOf({ db, seal }, sub);
  const events = await timeline(db, sub, { limit: 50 });
  const { entries } = await readAudit(db, { subject_id: sub, limit: 50 });
  const seen = [
    identities,
    events.data,
    entries,
    await mergesOf(db, sub),
    await casesOf(db, sub),
    await currentConsents(db, sub),
    await browserSessionsOf(db, sub),
    await grantsOf({ db, seal }, sub),
  ];
  if (seen.some((rows) => !rows.length)) throw new Error(`the bench saw nothing of ${sub}`);
  await profileOf(db, sub);
  await relatedSubjects(db, sub);
}
