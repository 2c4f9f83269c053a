/**
 * Events are durable, each once, at a good part of the speed at which PostgreSQL copies the same rows into the same table, and at a good
 * part of the speed at which a server could answer that did nothing with them.
 *
 * Batches of 100, in which a relay brings the events of ten visitors, half of them signed in, against COPY FROM STDIN of exactly the rows
 * that were stored, with the same indexes, in one durable transaction on one connection, where nothing is parsed, checked or looked up. It is the
 * usual COPY, of text; the binary one, which is faster and which we use, is shown beside it.
 * Single events against a Koa server that parses the same body and answers at once. Each of ours is on the disk before its answer.
 */
import { Worker } from 'node:worker_threads';
import Koa from 'koa';
import pg from 'pg';
import { systemClock } from '../src/clock.ts';
import type { Database } from '../src/database.ts';
import { eventsRoutes } from '../src/events/routes.ts';
import { createWriteKey } from '../src/events/write-keys.ts';
import { readJson } from '../src/http/body.ts';
import { answerDirectly } from '../src/http/direct.ts';
import { createKoa, listen, type RequestState } from '../src/http/server.ts';
import { createLogger } from '../src/log.ts';
import { createSeal } from '../src/seal.ts';
import { keyOf } from '../src/subjects/identity-key.ts';
import { withDatabase } from './database.ts';
import { anonymousId, batchBody, perBatch, singleBody, visitors } from './ingest-events.ts';
import type { Load, Loaded } from './ingest-load.ts';
import { type BenchResult, percentile } from './result.ts';

const batches = 300;
const singles = 20_000;
const rounds = 5;
const secondsAtARate = 4;

const seal = createSeal('a secret for the bench, of more than 32 characters');
const writeKey = 'bench-key';
const median = (values: number[]) => percentile(values, 0.5);

type Place = { db: Database; url: string; ours: string; bare: string; send(load: Load): Promise<Loaded> };

export async function run(): Promise<BenchResult[]> {
  return withDatabase(async ({ db, url }) => {
    const key = { key: writeKey, kind: 'client', channel: 'website', events_per_minute: 1_000_000_000 } as const;
    await createWriteKey({ db, seal }, { ...key, name: 'Bench' });
    await signInHalf(db);
    const servers = await Promise.all([serve(db), serveBare()]);
    const [ours, bare] = servers.map(({ port }) => `http://127.0.0.1:${port}`) as [string, string];
    const authorization = `Basic ${Buffer.from(`${writeKey}:`).toString('base64')}`;
    const worker = new Worker(new URL('./ingest-load.ts', import.meta.url), { workerData: { authorization } });
    worker.setMaxListeners(0);
    const send = (load: Load) =>
      new Promise<Loaded>((resolve, reject) => {
        worker.once('message', resolve);
        worker.once('error', reject);
        worker.postMessage(load);
      });
    const place = { db, url, ours, bare, send };
    try {
      return [await measureBatches(place), await measureSize(place), ...(await measureSingles(place))];
    } finally {
      await worker.terminate();
      for (const server of servers) await server.stop();
    }
  });
}

async function measureBatches(place: Place): Promise<BenchResult> {
  // The first round warms both; it is not counted.
  await batchRound(place);
  const measured = [];
  for (let n = 0; n < rounds; n++) measured.push(await batchRound(place));
  const latencies = measured.flatMap((one) => one.latencies);
  const figure = median(measured.map(({ http }) => http));
  const ceiling_figure = median(measured.map(({ copy }) => copy));
  return {
    promise: `ingest: durable events over HTTP, in batches of ${perBatch}`,
    figure,
    unit: 'events/s',
    ceiling: 'COPY of the same rows into the same table',
    ceiling_figure,
    ratio: median(measured.map(({ http, copy }) => http / copy)),
    target: '>= 0.5',
    details: {
      rounds: measured.map(({ http, copy, binary }) => ({
        http: Math.round(http),
        copy: Math.round(copy),
        binary: Math.round(binary),
      })),
      acknowledged_ms: { p50: median(latencies), p99: percentile(latencies, 0.99) },
      events_a_round: batches * perBatch,
    },
  };
}

/** What the last round left, without what is written once for all: heap, indexes, and what events share. */
async function measureSize({ db }: Place): Promise<BenchResult> {
  const events = batches * perBatch;
  const { rows } = await db.raw(
    `select c.relname as name, pg_relation_size(c.oid) as bytes from pg_class c
      where c.relname = 'event_contexts'
         or c.oid in (select inhrelid from pg_inherits where inhparent = 'events'::regclass)
         or c.oid in (select indexrelid from pg_index where indrelid in (select inhrelid from pg_inherits where inhparent = 'events'::regclass))`,
  );
  const parts: Record<string, number> = {};
  for (const { name, bytes } of rows) {
    const part = name.replace(/^events_\d{4}_\d{2}_?/, '').replace(/_idx$/, '') || 'heap';
    parts[part] = Math.round(((parts[part] ?? 0) + bytes / events) * 10) / 10;
  }
  const columns = await db.raw(
    `select avg(pg_column_size(properties))::int as properties, avg(pg_column_size(context))::int as context,
            avg(pg_column_size(consents))::int as consents, avg(pg_column_size(anonymous_id))::int as anonymous_id
       from recorded_events`,
  );
  const body = batchBody().length / perBatch;
  const figure = Object.values(parts).reduce((sum, bytes) => sum + bytes, 0);
  return {
    promise: 'ingest: bytes of a stored event, with indexes',
    figure,
    unit: 'bytes',
    ceiling: 'the same event as it was sent',
    ceiling_figure: body,
    ratio: figure / body,
    target: '<= 300 bytes',
    details: { parts, columns_when_read: columns.rows[0] },
  };
}

async function measureSingles(place: Place): Promise<BenchResult[]> {
  const connections = 256;
  const one = async (url: string, path: string, requests = singles) => {
    const bodies = Array.from({ length: requests }, singleBody);
    return requests / (await place.send({ url, path, bodies, connections })).seconds;
  };
  const measured: { ours: number; bare: number }[] = [];
  // A server runs for days: what its compiler does in its first seconds is not counted, on either side.
  for (const [url, path] of [
    [place.ours, '/v1/track'],
    [place.bare, '/'],
  ] as const)
    await one(url, path, 3 * singles);
  for (let n = 0; n < rounds; n++) {
    await clear(place.db);
    measured.push({ ours: await one(place.ours, '/v1/track'), bare: await one(place.bare, '/') });
  }
  const figure = median(measured.map(({ ours }) => ours));
  const ceiling_figure = median(measured.map(({ bare }) => bare));
  const single = {
    promise: `ingest: durable events over HTTP, one a request, ${connections} at a time`,
    figure,
    unit: 'requests/s',
    ceiling: 'a bare Koa server that parses the same body and answers at once',
    ceiling_figure,
    // Of the rounds: the machine is not equally fast in all of them.
    ratio: median(measured.map(({ ours, bare }) => ours / bare)),
    target: '>= 0.5',
    details: { rounds: measured },
  };
  const answers: BenchResult[] = [];
  for (const share of [0.5, 0.8, 0.95]) {
    const perSecond = Math.round(figure * share);
    const bodies = Array.from({ length: perSecond * secondsAtARate }, singleBody);
    const { latencies } = await place.send({ url: place.ours, path: '/v1/track', bodies, connections: 256, perSecond });
    answers.push({
      promise: `ingest: the answer to a single event at ${share * 100} % of the highest rate, p99`,
      figure: percentile(latencies, 0.99),
      unit: 'ms',
      ceiling: 'the same, median',
      ceiling_figure: median(latencies),
      ratio: percentile(latencies, 0.99) / median(latencies),
      target: 'shown',
      details: { per_second: perSecond, answers: latencies.length },
    });
  }
  return [single, ...answers];
}

async function signInHalf(db: Database): Promise<void> {
  await db.raw(`insert into subjects (id) select md5('s' || n)::uuid from generate_series(0, ?::int - 1, 2) n`, [
    visitors,
  ]);
  const signedIn = Array.from({ length: visitors / 2 }, (_, n) => n * 2);
  await db.raw(
    `insert into anonymous_bindings (anonymous_id, subject_id, looks_back_to, bound_at, last_seen_at, method, is_counted)
     select a, md5('s' || n)::uuid, now() - interval '1 day', now() - interval '1 day', now(), 'token', true
       from unnest(?::int[], ?::text[]) as s (n, a)`,
    [signedIn, signedIn.map(anonymousId)],
  );
  await db.raw('vacuum analyze subjects, anonymous_bindings');
}

async function serve(db: Database) {
  const log = createLogger({ level: 'silent' });
  const { direct, routers } = eventsRoutes({
    db,
    seal,
    clock: systemClock,
    log,
    publicUrl: 'http://localhost',
    keyOf: (identity) => keyOf(seal, identity),
    readToken: async () => undefined,
    readIdToken: async () => undefined,
  });
  const options = { log, trustProxy: false, https: false } as const;
  const koa = createKoa(options);
  for (const router of routers) koa.use(router.routes());
  return listen(koa, { port: 0, host: '127.0.0.1', direct: answerDirectly(direct, options) });
}

/** Reads the body as ours does, parses it, and that is all. */
async function serveBare() {
  const koa = new Koa<RequestState>();
  koa.use(async (ctx) => {
    await readJson(ctx, { limit: 512_000 });
    ctx.body = { success: true, rejected: [] };
  });
  return listen(koa, { port: 0, host: '127.0.0.1' });
}

/** Ours, and then the ceiling with the rows that ours left behind. */
async function batchRound({
  db,
  url,
  ours,
  send,
}: Place): Promise<{ http: number; copy: number; binary: number; latencies: number[] }> {
  const total = batches * perBatch;
  await clear(db);
  const bodies = Array.from({ length: batches }, batchBody);
  const { seconds, latencies } = await send({ url: ours, path: '/v1/batch', bodies, connections: 16 });
  const stored = await db('events').count('* as n').first();
  if (stored?.n !== total) throw new Error(`${stored?.n} of ${total} events were stored`);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const formats = ['text', 'binary'] as const;
  const rows = [];
  for (const format of formats)
    rows.push(await copyOut(client, `copy (select * from events) to stdout with (format ${format})`));
  const speeds: number[] = [];
  for (const [n, format] of formats.entries()) {
    await clear(db);
    const started = performance.now();
    await copyIn(client, `copy events from stdin with (format ${format})`, rows[n] ?? []);
    speeds.push((total / (performance.now() - started)) * 1000);
  }
  await client.end();
  const [copy = Number.NaN, binary = Number.NaN] = speeds;
  return { http: total / seconds, copy, binary, latencies };
}

/** Both find an empty table and no work left over from the other. */
async function clear(db: Database): Promise<void> {
  await db.raw('truncate events, subject_activity');
  await db.raw('checkpoint');
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
