/**
 * Segments are live, and cost what changes: two hundred definitions of mixed shapes over a million people and ten million events.
 *
 * - from the answer to an event until its change of membership can be read, at 300 events a second over HTTP
 * - transactions of a minute in which nobody sends anything and people come due by time alone, against the same with a tenth of them
 * - one definition evaluated for everybody, against the best SQL written by hand for the same question
 *
 * each at a million events and at ten. HEYI_BENCH_PEOPLE and HEYI_BENCH_EVENTS make it smaller.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { systemClock } from '../src/clock.ts';
import type { Database } from '../src/database.ts';
import { catalogueReader } from '../src/events/catalogue.ts';
import { createWriteKey } from '../src/events/write-keys.ts';
import { createI18n } from '../src/http/i18n.ts';
import { createLogger } from '../src/log.ts';
import { createSeal } from '../src/seal.ts';
import { buildNext } from '../src/segments/build.ts';
import type { Segment } from '../src/segments/definition.ts';
import { createSegment, pauseSegment } from '../src/segments/segment.ts';
import { compileToSql } from '../src/segments/sql.ts';
import { withDatabase } from './database.ts';
import { type BenchResult, percentile, progressOf } from './result.ts';
import { definitions, fillEvents, fillPeople } from './segments-world.ts';

const people = Number(process.env.HEYI_BENCH_PEOPLE ?? 1_000_000);
const events = Number(process.env.HEYI_BENCH_EVENTS ?? 10_000_000);
const segments = 200;
const rate = 300;
const seconds = 30;
/** Of a server that has just started: connections, plans and 200 compiled definitions come with the first requests. */
const warmUpSeconds = 5;

const say = progressOf('segments');

const log = createLogger({ level: 'error' });
const seal = createSeal('a secret for the bench, of more than 32 characters');

type Live = { p50: number; p99: number; changes: number; sent: number };
type Backfill = { name: string; ours_ms: number; hand_ms: number; members: number };

export async function run(): Promise<BenchResult[]> {
  return withDatabase(async ({ db, url }) => {
    await createWriteKey({ db, seal }, { key: 'bench-key', kind: 'server', name: 'Bench', channel: 'website' });
    await fillPeople(db, people);
    await db.raw('vacuum analyze');
    const idleWithout = await idle(db, url);
    const sizes = [events / 10, events];
    const found: { live: Live; backfills: Backfill[]; build: { median: number; slowest: number } }[] = [];
    for (const [n, size] of sizes.entries()) {
      say(`filling in events up to ${size}`);
      await fillEvents(db, { first: n ? (sizes[n - 1] ?? 0) + 1 : 1, last: size, people });
      say('evaluating for everybody against SQL by hand');
      const backfills = await backfill(db);
      say(`building ${segments} segments`);
      const build = n ? await rebuild(db) : await define(db);
      await db.raw('vacuum analyze');
      say(`${rate} events a second for ${seconds} s`);
      found.push({ live: await live(db, url), backfills, build });
    }
    say('idle');
    const idleWithAll = await idle(db, url);
    await pauseAllBut(db, segments / 10);
    const idleWithTenth = await idle(db, url);
    const [small, large] = found;
    if (!small || !large) throw new Error('nothing was measured');
    return [
      {
        promise: `segments: answer to an event → change of membership, p99 at ${rate} events/s, ${segments} segments`,
        figure: large.live.p99,
        unit: 'ms',
        ceiling: 'the same with a tenth of the events',
        ceiling_figure: small.live.p99,
        ratio: large.live.p99 / small.live.p99,
        target: '<= 1000 ms',
        details: {
          people,
          events,
          small: small.live,
          large: large.live,
          builds_ms: { small: small.build, large: large.build },
        },
      },
      {
        promise: `segments: transactions of an idle minute with ${segments} segments`,
        figure: idleWithAll,
        unit: 'transactions',
        ceiling: 'the same with a tenth of them',
        ceiling_figure: idleWithTenth,
        ratio: idleWithAll / idleWithTenth,
        target: '<= 1.1',
        details: { without_any: idleWithout },
      },
      ...large.backfills.map(({ name, ours_ms, hand_ms, members }, n) => ({
        promise: `segments: ${name}, evaluated for everybody`,
        figure: ours_ms,
        unit: 'ms',
        ceiling: 'SQL written by hand for the same question',
        ceiling_figure: hand_ms,
        ratio: ours_ms / hand_ms,
        target: '<= 1.5',
        details: { members, events, at_a_tenth: small.backfills[n] },
      })),
    ];
  });
}

const services = (db: Database) => ({
  clock: systemClock,
  readCatalogue: catalogueReader({ db, clock: systemClock }),
  translate: createI18n().translator('en'),
});

async function define(db: Database) {
  for (const { key, where } of definitions(segments)) {
    const json = { version: 1, key, name: key, purpose: 'marketing', where };
    await db.transaction((trx) => createSegment(trx, services(db), json, 'bench'));
  }
  return buildAll(db);
}

async function pauseAllBut(db: Database, kept: number) {
  for (const { key } of definitions(segments).slice(kept))
    await db.transaction((trx) => pauseSegment(trx, services(db), key));
  await db.raw('vacuum analyze segment_states');
}

async function rebuild(db: Database) {
  await db.raw(`insert into segment_builds (segment_id, version, asked_at) select id, version, now() from segments`);
  await db.raw('update segment_revision set n = n + 1');
  return buildAll(db);
}

async function buildAll(db: Database) {
  const took: number[] = [];
  for (let began = performance.now(); await buildNext({ db, clock: systemClock, log }); began = performance.now())
    took.push(performance.now() - began);
  await db.raw('vacuum analyze segment_states');
  return { median: percentile(took, 0.5), slowest: percentile(took, 1), count: took.length };
}

/** The server with its evaluator is a thread of its own; so is nothing else, two cores being what there is. */
async function withServer<T>(url: string, measure: (port: number) => Promise<T>): Promise<T> {
  const server = new Worker(new URL('./segments-server.ts', import.meta.url), { workerData: { url } });
  const port = await new Promise<number>((resolve, reject) => server.once('message', resolve).once('error', reject));
  try {
    return await measure(port);
  } finally {
    server.postMessage('stop');
    await new Promise((resolve) => server.once('exit', resolve));
  }
}

/** Commits on this database in twenty seconds with nobody asking for anything, times three; the statistics count with a delay. */
async function idle(db: Database, url: string): Promise<number> {
  return withServer(url, async () => {
    await sleep(3_000);
    const count = async () => {
      await db.raw('select pg_stat_force_next_flush()');
      const { rows } = await db.raw(
        'select xact_commit::int as n from pg_stat_database where datname = current_database()',
      );
      return Number(rows[0].n);
    };
    const before = await count();
    await sleep(20_000);
    return ((await count()) - before) * 3;
  });
}

/** Each event is another person's, so that a change that follows is of this event. */
async function live(db: Database, url: string): Promise<Live> {
  return withServer(url, async (port) => {
    const answered = new Map<string, number>();
    const latencies: number[] = [];
    const { rows } = await db.raw(
      `select md5('s' || (1 + (random() * ?)::int))::uuid as sub from generate_series(1, ?::int)`,
      [people - 2, rate * (warmUpSeconds + seconds)],
    );
    const subs: string[] = [...new Set<string>(rows.map((row: { sub: string }) => row.sub))];
    let isOver = false;
    const watching = (async () => {
      const { rows: last } = await db.raw('select max(id::text)::uuid as id from segment_changes');
      let seen = last[0].id ?? '00000000-0000-0000-0000-000000000000';
      while (!isOver) {
        // Ids are of the moment of the statement; a round that commits later may hold earlier ones.
        const { rows: changes } = await db.raw(
          `select id, subject_id, clock_timestamp() from segment_changes where id > ?::uuid and reason = 'event' order by id`,
          [seen],
        );
        const now = performance.now();
        for (const { subject_id } of changes) {
          const at = answered.get(subject_id);
          if (at === undefined) continue;
          latencies.push(now - at);
          answered.delete(subject_id);
        }
        const recent = changes.at(-200);
        if (recent) seen = recent.id;
        await sleep(5);
      }
    })();
    const sending: Promise<void>[] = [];
    const began = performance.now();
    for (const [n, sub] of subs.entries()) {
      const wait = began + (n * 1000) / rate - performance.now();
      if (wait > 1) await sleep(wait);
      const isCounted = n >= rate * warmUpSeconds;
      sending.push(post(port, sub, n).then(() => void (isCounted && answered.set(sub, performance.now()))));
    }
    await Promise.all(sending);
    await sleep(5_000);
    isOver = true;
    await watching;
    return {
      p50: percentile(latencies, 0.5),
      p99: percentile(latencies, 0.99),
      changes: latencies.length,
      sent: subs.length - rate * warmUpSeconds,
    };
  });
}

async function post(port: number, sub: string, n: number): Promise<void> {
  const product = 1 + (n % 1000);
  const event = ['product_viewed', 'cart_added', 'order_paid', 'searched', 'product_viewed'][n % 5];
  const properties = {
    product_id: `p${product}`,
    price: product * 10,
    category: `c${product % 12}`,
    total: product * 10,
    order_id: `n${n}`,
  };
  const consent = { categoryPreferences: { marketing: true, profiling: true } };
  const body = JSON.stringify({ event, userId: sub, properties, context: { consent } });
  const authorization = `Basic ${Buffer.from('bench-key:').toString('base64')}`;
  const answer = await fetch(`http://127.0.0.1:${port}/v1/track`, { method: 'POST', body, headers: { authorization } });
  if (answer.status !== 200) throw new Error(`${answer.status} ${await answer.text()}`);
}

/** The two examples of the contract, and one more that a window empties, each against what one would write for it by hand. */
async function backfill(db: Database): Promise<Backfill[]> {
  const agreed = `select s.id from subjects s where s.status = 'active'
    and exists (select from consents c where c.subject_id = s.id and c.purpose = 'marketing' and c.is_granted)`;
  const questions: { name: string; where: Segment['where']; hand: string }[] = [
    {
      name: 'viewed the same expensive product three times and never bought it',
      where: {
        per: 'product_id',
        all: [
          {
            event: 'product_viewed',
            channel: 'website',
            where: [{ property: 'price', op: 'gte', value: 5000 }],
            count: { gte: 2 },
            within: '30d',
          },
          { not: { event: 'order_paid' } },
        ],
      },
      hand: `select distinct v.subject_id from (
          select subject_id, properties ->> 'product_id' as product from events
           where event = 'product_viewed' and channel = 'website' and counts and "timestamp" > now() - interval '30 days'
             and received_at > now() - interval '30 days' and string_to_array(purposes, ' ') @> '{marketing}' and (properties ->> 'price')::numeric >= 5000
           group by 1, 2 having count(*) >= 2) v
        where not exists (select from events p where p.event = 'order_paid' and p.counts and p.subject_id = v.subject_id and p.properties ->> 'product_id' = v.product)
          and v.subject_id in (${agreed})`,
    },
    {
      name: 'two orders in the mini-program in 180 days',
      where: {
        event: 'order_paid',
        channel: 'miniprogram',
        unless: { event: 'order_refunded', same: 'order_id' },
        distinct: { of: 'order_id', gte: 2 },
        within: '180d',
      },
      hand: `select subject_id from events e
         where event = 'order_paid' and channel = 'miniprogram' and counts and "timestamp" > now() - interval '180 days' and string_to_array(purposes, ' ') @> '{marketing}'
           and not exists (select from events r where r.event = 'order_refunded' and r.counts and r.subject_id = e.subject_id
                              and r.properties ->> 'order_id' = e.properties ->> 'order_id' and r."timestamp" > e."timestamp")
           and subject_id in (${agreed})
         group by 1 having count(distinct properties ->> 'order_id') >= 2`,
    },
    {
      name: 'in the cart this week and not bought',
      where: { all: [{ event: 'cart_added', within: '7d' }, { not: { event: 'order_paid', within: '7d' } }] },
      hand: `select distinct subject_id from events e
         where event = 'cart_added' and counts and "timestamp" > now() - interval '7 days' and received_at > now() - interval '7 days' and string_to_array(purposes, ' ') @> '{marketing}'
           and not exists (select from events p where p.event = 'order_paid' and p.counts and p.subject_id = e.subject_id
                              and p."timestamp" > now() - interval '7 days' and p.received_at > now() - interval '7 days')
           and subject_id in (${agreed})`,
    },
  ];
  const found: Backfill[] = [];
  for (const { name, where, hand } of questions) {
    const segment: Segment = { version: 1, key: 'x', name: 'x', purpose: 'marketing', tz: 'Asia/Shanghai', where };
    const { sql, bindings } = compileToSql(segment, { at: new Date(), segmentOf: () => undefined });
    const ours = `select subject_id from (${sql}) answers where is_member`;
    const [ours_ms, hand_ms] = [await fastest(db, ours, bindings), await fastest(db, hand, {})];
    const { rows } = await db.raw(
      `select (select count(*) from (${ours}) o)::int as ours, (select count(*) from (${hand}) h)::int as hand`,
      bindings,
    );
    if (Math.abs(rows[0].ours - rows[0].hand) > rows[0].hand / 100)
      throw new Error(`${name}: ${JSON.stringify(rows[0])}`);
    found.push({ name, ours_ms, hand_ms, members: rows[0].ours });
  }
  return found;
}

/** Of three, the first of which reads from disk. */
async function fastest(db: Database, sql: string, bindings: Record<string, unknown>): Promise<number> {
  const took: number[] = [];
  for (let n = 0; n < 3; n++) {
    const began = performance.now();
    await db.raw(`select count(*) from (${sql}) counted`, bindings as never);
    took.push(performance.now() - began);
  }
  return Math.min(...took);
}
