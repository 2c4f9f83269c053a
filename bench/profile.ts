/** A whole profile, as the company's back end reads it while a page waits: with a million people in the database, against one row by its key. HEYI_BENCH_PEOPLE makes it smaller. */
import { systemClock } from '../src/clock.ts';
import { personalisationOf } from '../src/consent/personalisation.ts';
import type { Database } from '../src/database.ts';
import { personProfile } from '../src/profiles/person.ts';
import { currentSubject } from '../src/subjects/subjects.ts';
import { withDatabase } from './database.ts';
import { type BenchResult, percentile, progressOf } from './result.ts';
import { fillEvents, fillPeople } from './segments-world.ts';

const people = Number(process.env.HEYI_BENCH_PEOPLE ?? 1_000_000);
const events = people * 10;
const reads = 2_000;
const warmUp = 200;
const say = progressOf('profile');

export async function run(): Promise<BenchResult[]> {
  return withDatabase(async ({ db }) => {
    say(`filling in ${people} people and ${events} events`);
    await fillPeople(db, people);
    // Sorted in at the end, by two at once: in a quarter of the time.
    await db.raw('drop index events_subject');
    const halves = [
      { first: 1, last: events / 2, people },
      { first: events / 2 + 1, last: events, people },
    ];
    await Promise.all(halves.map((half) => fillEvents(db, half)));
    await db.raw(`create index events_subject on events (subject_id, "timestamp" desc) where subject_id is not null`);
    say('filling in what is kept of them');
    await fillKept(db);
    const { rows } = await db.raw(`select id as sub from subjects order by md5(id::text) limit ?`, [reads + warmUp]);
    const subs: string[] = rows.map(({ sub }: { sub: string }) => sub);
    const times = { profile: [] as number[], row: [] as number[] };
    say(`reading ${reads} profiles`);
    // In turn, so that a machine that slows down slows both.
    for (const [at, sub] of subs.entries()) {
      const started = performance.now();
      await readProfile(db, sub);
      const read = performance.now();
      await db.raw('select * from subjects where id = ?', [sub]);
      if (at < warmUp) continue;
      times.profile.push(read - started);
      times.row.push(performance.now() - read);
    }
    const figure = percentile(times.profile, 0.99);
    const ceiling_figure = percentile(times.row, 0.99);
    return [
      {
        promise: `profile: one of ${people.toLocaleString('en')} people with ${events.toLocaleString('en')} events, p99`,
        figure,
        unit: 'ms',
        ceiling: 'one row by its primary key, p99',
        ceiling_figure,
        ratio: figure / ceiling_figure,
        target: '<= 20 ms',
        details: {
          median_ms: { profile: percentile(times.profile, 0.5), row: percentile(times.row, 0.5) },
          most_events: await mostEvents(db, subs),
          reads,
        },
      },
    ];
  });
}

/** What the route of the API does. */
async function readProfile(db: Database, requested: string): Promise<void> {
  const subject = await currentSubject(db, requested);
  if (!subject) throw new Error(`nobody has the sub ${requested}`);
  await Promise.all([personProfile({ db, clock: systemClock }, subject.sub), personalisationOf(db, subject.sub)]);
}

async function mostEvents(db: Database, subs: string[]): Promise<number> {
  const { rows } = await db.raw(
    'select max(n)::int as most from (select sum(n) as n from profile_counts where subject_id = any (?::uuid[]) group by subject_id) c',
    [subs],
  );
  return rows[0].most;
}

/** What rounds would have kept of these events, and what is said of people. */
async function fillKept(db: Database): Promise<void> {
  await db.raw(`insert into profile_counts (subject_id, channel, event, counts, n, first_at, last_at)
    select subject_id, channel, event, true, count(*), min("timestamp"), max("timestamp") from events group by 1, 2, 3`);
  await db.raw(`insert into profile_touches (subject_id, channel, first_at, first, last_at, last)
    select subject_id, channel, min(first_at), '{"source":"search","medium":"organic"}', max(last_at), '{"scene":"1007"}'
      from profile_counts group by 1, 2`);
  await db.transaction(async (trx) => {
    // Neither notes nor look-ups of each person.
    await trx.raw('set local session_replication_role = replica');
    await trx.raw(`insert into profile_traits (subject_id, name, value, at, source)
      select id, t.name, to_jsonb(t.value), now(), 'identify:1' from subjects
        cross join (values ('tier', 'gold'), ('city', '上海'), ('birthday', '1990-02-03')) as t (name, value)`);
    await trx.raw(
      `insert into profile_tags (subject_id, tag, added_by) select id, 'bench', 'staff:bench' from subjects`,
    );
  });
  await db.raw('vacuum analyze');
  await db.raw('checkpoint');
}
