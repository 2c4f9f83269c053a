/**
 * Events are durable, each once, at a good part of the speed at which PostgreSQL copies the same rows into the same table.
 *
 * Ours: batches of 100 over HTTP, in which a relay brings the events of ten visitors, half of them signed in; each batch is committed to
 * disk before its answer. The ceiling: COPY FROM STDIN of exactly the rows that were stored, with the same indexes, in one durable
 * transaction on one connection, where nothing is parsed, checked or looked up.
 */
import { Worker } from 'node:worker_threads';
import pg from 'pg';
import { systemClock } from '../src/clock.ts';
import type { Database } from '../src/database.ts';
import { eventsRoutes } from '../src/events/routes.ts';
import { createWriteKey } from '../src/events/write-keys.ts';
import { createKoa, listen } from '../src/http/server.ts';
import { createLogger } from '../src/log.ts';
import { createSeal } from '../src/seal.ts';
import { keyOf } from '../src/subjects/identity-key.ts';
import { withDatabase } from './database.ts';
import { type BenchResult, percentile } from './result.ts';

const perBatch = 100;
const batches = 300;
const rounds = 3;
const connections = 8;
const visitors = 5_000;

const seal = createSeal('a secret for the bench, of more than 32 characters');
const writeKey = 'bench-key';

type Load = { seconds: number; latencies: number[] };

export async function run(): Promise<BenchResult[]> {
  return withDatabase(async ({ db, url }) => {
    await createWriteKey({ db, seal }, { key: writeKey, kind: 'client', name: 'Bench', channel: 'website' });
    await signInHalf(db);
    const server = await serve(db);
    const authorization = `Basic ${Buffer.from(`${writeKey}:`).toString('base64')}`;
    const load = new Worker(new URL('./ingest-load.ts', import.meta.url), {
      workerData: { url: `http://127.0.0.1:${server.port}`, connections, authorization },
    });
    try {
      // The first round warms both; it is not counted.
      await round({ db, url, load });
      const measured = [];
      for (let n = 0; n < rounds; n++) measured.push(await round({ db, url, load }));
      return [report(measured)];
    } finally {
      await load.terminate();
      await server.stop();
    }
  });
}

function report(measured: Awaited<ReturnType<typeof round>>[]): BenchResult {
  const median = (values: number[]) => percentile(values, 0.5);
  const figure = median(measured.map(({ http }) => http));
  const ceiling_figure = median(measured.map(({ copy }) => copy));
  const latencies = measured.flatMap((one) => one.latencies);
  return {
    promise: `ingest: durable events over HTTP, in batches of ${perBatch}`,
    figure,
    unit: 'events/s',
    ceiling: 'COPY of the same rows into the same table',
    ceiling_figure,
    ratio: figure / ceiling_figure,
    target: '>= 0.3',
    details: {
      rounds: measured.map(({ http, copy }) => ({ http: Math.round(http), copy: Math.round(copy) })),
      acknowledged_ms: { p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99) },
      events_a_round: batches * perBatch,
      connections,
    },
  };
}

async function signInHalf(db: Database): Promise<void> {
  await db.raw(`insert into subjects (id) select md5('s' || n)::uuid from generate_series(0, ?::int - 1, 2) n`, [
    visitors,
  ]);
  await db.raw(
    `insert into anonymous_bindings (anonymous_id, subject_id, looks_back_to, bound_at, last_seen_at, method, is_counted)
     select 'visitor-' || n, md5('s' || n)::uuid, now() - interval '1 day', now() - interval '1 day', now(), 'token', true
       from generate_series(0, ?::int - 1, 2) n`,
    [visitors],
  );
  await db.raw('vacuum analyze subjects, anonymous_bindings');
}

async function serve(db: Database) {
  const log = createLogger({ level: 'silent' });
  const routers = eventsRoutes({
    db,
    seal,
    clock: systemClock,
    log,
    publicUrl: 'http://localhost',
    keyOf: (identity) => keyOf(seal, identity),
    readToken: async () => undefined,
    readIdToken: async () => undefined,
  });
  const koa = createKoa({ log, trustProxy: false, https: false });
  for (const router of routers) koa.use(router.routes());
  return listen(koa, { port: 0, host: '127.0.0.1' });
}

type Place = { db: Database; url: string; load: Worker };

/** Ours, and then the ceiling with the rows that ours left behind. */
async function round({ db, url, load }: Place): Promise<{ http: number; copy: number; latencies: number[] }> {
  const total = batches * perBatch;
  await clear(db);
  const bodies = Array.from({ length: batches }, bodyOf);
  const { seconds, latencies } = await new Promise<Load>((resolve, reject) => {
    load.once('message', resolve);
    load.once('error', reject);
    load.postMessage(bodies);
  });
  const stored = await db('events').count('* as n').first();
  if (stored?.n !== total) throw new Error(`${stored?.n} of ${total} events were stored`);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const rows = await copyOut(client, 'copy (select * from events) to stdout');
  await clear(db);
  const started = performance.now();
  await copyIn(client, 'copy events from stdin', rows);
  const copySeconds = (performance.now() - started) / 1000;
  await client.end();
  return { http: total / seconds, copy: total / copySeconds, latencies };
}

/** Both find an empty table and no work left over from the other. */
async function clear(db: Database): Promise<void> {
  await db.raw('truncate events, subject_activity');
  await db.raw('checkpoint');
}

/** What a website's tracker sends: about 900 bytes an event. */
function bodyOf(): string {
  const sentAt = new Date();
  const first = Math.floor(Math.random() * visitors);
  const batch = Array.from({ length: perBatch }, (_, n) => ({
    type: 'track',
    event: n % 3 ? 'Product Viewed' : 'article_viewed',
    messageId: `ajs-next-${sentAt.getTime()}-${crypto.randomUUID()}`,
    anonymousId: `visitor-${(first + (n % 10)) % visitors}`,
    timestamp: new Date(sentAt.getTime() - n * 1000),
    properties: {
      product_id: `sku-${n}`,
      name: `山屿 外壳 ${n}`,
      category: 'jackets',
      price: 1999 + n,
      currency: 'CNY',
    },
    context: {
      page: {
        path: `/products/${n}`,
        referrer: '',
        search: '',
        title: '山屿',
        url: `https://www.example.com/products/${n}`,
      },
      userAgent:
        'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/147.0.0.0 Safari/537.36',
      library: { name: 'analytics.js', version: 'npm:next-1.84.3' },
      campaign: { source: 'wechat', medium: 'social', name: 'autumn' },
      consent: { categoryPreferences: { profiling: true, marketing: false } },
      locale: 'zh-CN',
      timezone: 'Asia/Shanghai',
    },
    integrations: {},
  }));
  return JSON.stringify({ batch, sentAt });
}

type Wire = { sendCopyFromChunk(chunk: Buffer): void; endCopyFrom(): void; query(text: string): void };

/** The copy part of the protocol, which the driver leaves to others: a query object of our own. */
function copyOut(client: pg.Client, sql: string): Promise<Buffer[]> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    submit(client, {
      submit: (wire) => wire.query(sql),
      handleCopyData: ({ chunk }) => void chunks.push(Buffer.from(chunk)),
      handleError: reject,
      handleReadyForQuery: () => resolve(chunks),
    });
  });
}

function copyIn(client: pg.Client, sql: string, chunks: Buffer[]): Promise<void> {
  // As large as a program that is in a hurry would send them.
  const whole = Buffer.concat(chunks);
  const size = 65_536;
  return new Promise((resolve, reject) => {
    submit(client, {
      submit: (wire) => wire.query(sql),
      handleCopyInResponse(wire) {
        for (let from = 0; from < whole.length; from += size) wire.sendCopyFromChunk(whole.subarray(from, from + size));
        wire.endCopyFrom();
      },
      handleError: reject,
      handleReadyForQuery: () => resolve(),
    });
  });
}

type Copying = {
  submit(wire: Wire): void;
  handleCopyInResponse?(wire: Wire): void;
  handleCopyData?(message: { chunk: Buffer }): void;
  handleError(error: Error): void;
  handleReadyForQuery(): void;
};

function submit(client: pg.Client, copying: Copying): void {
  const query = { handleRowDescription() {}, handleDataRow() {}, handleCommandComplete() {}, ...copying };
  client.query(query as unknown as pg.Submittable);
}
