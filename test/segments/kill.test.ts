/**
 * The server and its PostgreSQL are killed at random moments while events come in, segments follow them and definitions are edited:
 * what was acknowledged is stored, once, counted once, and membership is what the oracle says of what is stored.
 *
 * KILLS=<n> kills more often.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { createDatabase, migrate } from '../../src/database.ts';
import { catalogueReader } from '../../src/events/catalogue.ts';
import { createI18n } from '../../src/http/i18n.ts';
import { findPlace } from '../../src/postgres/place.ts';
import { startPostgres } from '../../src/postgres.ts';
import { createSegment, editSegment } from '../../src/segments/segment.ts';
import { addSubject, agree, basic, seedKeys, serverKey } from '../events/harness.ts';
import { membersAt } from './oracle.ts';
import type { Definition, Node } from './oracle-world.ts';
import { readWorld } from './stored.ts';

const kills = Number(process.env.KILLS ?? 4);
const people = 40;
const perBatch = 10;
const batches = 40 * kills;
const total = batches * perBatch;

const dataDir = mkdtempSync(join(tmpdir(), 'heyi-kill-'));
const children = new Set<ChildProcess>();
const restarts: boolean[] = [];
const postgres = await startPostgres({ dataDir, onCrash: ({ gone }) => restarts.push(!gone) });
await migrate(postgres.url);
const db = createDatabase({ url: postgres.url });
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await db.destroy();
  await postgres.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

const script = fileURLToPath(new URL('../events/crash-server.ts', import.meta.url));
async function load(): Promise<ChildProcess> {
  const child = fork(script, { execArgv: [], env: { ...process.env, NODE_COMPILE_CACHE: join(dataDir, 'compiled') } });
  children.add(child);
  await once(child, 'message');
  return child;
}

async function serve(child: ChildProcess, port: number): Promise<number> {
  child.send({ url: postgres.url, port, evaluates: true });
  const [{ port: taken }] = await once(child, 'message');
  return taken;
}

function killPostgres(): void {
  const [pid] = readFileSync(join(findPlace(dataDir).cluster, 'postmaster.pid'), 'utf8').split('\n');
  process.kill(Number(pid), 'SIGKILL');
}

/** As a program does that was answered 503, or not at all. */
async function untilDone<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch {
      await wait(20);
    }
  }
}

const services = {
  clock: systemClock,
  readCatalogue: catalogueReader({ db, clock: systemClock }),
  translate: createI18n().translator('en'),
};
const asked: Record<string, Node> = {
  'three-views': { event: 'product_viewed', count: { gte: 3 }, within: '30d' },
  'same-product': {
    per: 'product_id',
    all: [{ event: 'product_viewed', count: { gte: 4 } }, { not: { event: 'order_paid' } }],
  },
  'left-in-cart': { sequence: [{ event: 'cart_added' }, { no: { event: 'order_paid' } }], same: 'product_id' },
  spent: { event: 'order_paid', sum: { of: 'total', gte: 100 }, unless: { event: 'order_refunded', same: 'order_id' } },
  'not-both': { not: { all: [{ segment: 'three-views' }, { segment: 'spent' }] } },
  edited: { event: 'cart_added', count: { gte: 1 } },
};
const definitions = new Map<string, Definition>();

async function put(key: string, where: Node): Promise<void> {
  const definition = { version: 1, key, name: key, purpose: key === 'spent' ? 'marketing' : 'service', where };
  await untilDone(() =>
    db.transaction(async (trx) => {
      const known = await trx('segments').where({ key }).first('id');
      if (known) await editSegment(trx, services, key, definition, 'test');
      else await createSegment(trx, services, definition, 'test');
    }),
  );
  definitions.set(key, definition);
}

const names = ['product_viewed', 'product_viewed', 'cart_added', 'order_paid', 'order_refunded'];
const random = <T>(of: readonly T[]) => of[Math.floor(Math.random() * of.length)] as T;

it(`${total} events and ${kills} kills of server and PostgreSQL: nothing lost, nothing twice, membership right`, {
  timeout: 600_000,
}, async () => {
  await seedKeys(db);
  const subs: string[] = [];
  for (let n = 0; n < people; n++) subs.push(await addSubject(db));
  for (const sub of subs.slice(0, people / 2)) await agree(db, sub, 'marketing');
  for (const [key, where] of Object.entries(asked)) await put(key, where);

  let child = await load();
  const port = await serve(child, 0);
  let spare = load();
  const acknowledged = new Set<string>();

  const waiting = Array.from({ length: batches }, (_, batch) =>
    Array.from({ length: perBatch }, (_, n) => ({
      type: 'track',
      event: random(names),
      userId: random(subs),
      messageId: `${batch}-${n}`,
      timestamp: new Date(Date.now() - Math.random() * 40 * 86_400_000).toISOString(),
      context: { consent: { categoryPreferences: { marketing: Math.random() < 0.7 } } },
      properties: { product_id: random(['a', 'b', 7]), order_id: random([1, 2, 3]), total: random([10, '20.50', 60]) },
    })),
  );
  const sending = async () => {
    for (let batch = waiting.pop(); batch; batch = waiting.pop()) {
      const body = JSON.stringify({ batch });
      const send = () =>
        fetch(`http://127.0.0.1:${port}/v1/batch`, { method: 'POST', body, headers: basic(serverKey) });
      await untilDone(async () => {
        const { status } = await send();
        if (status !== 200) throw new Error(String(status));
      });
      for (const { messageId } of batch) acknowledged.add(messageId);
      // The kills are to fall into the stream, whatever the machine.
      await wait(Math.random() * 8);
    }
  };
  const killing = async () => {
    const moments = Array.from({ length: kills }, () => Math.random() * total * 0.9).sort((a, b) => a - b);
    for (const [n, moment] of moments.entries()) {
      while (acknowledged.size < moment) await wait(1);
      await put('edited', { event: 'cart_added', count: { gte: 1 + (n % 4) } });
      await wait(Math.random() * 60);
      if (n % 2) killPostgres();
      else {
        const dead = once(child, 'exit');
        child.kill('SIGKILL');
        await dead;
        child = await spare;
        spare = load();
        await serve(child, port);
      }
    }
  };
  await Promise.all([killing(), ...Array.from({ length: 4 }, sending)]);
  expect(restarts).toEqual(Array.from({ length: Math.floor(kills / 2) }, () => true));

  const stored = await untilDone(() => db('recorded_events').select('message_id'));
  expect(stored).toHaveLength(total);
  expect(new Set(stored.map(({ message_id }) => message_id))).toEqual(acknowledged);

  await expect
    .poll(() => untilDone(() => db('waiting_evaluations').first('is_noted', 'is_building')), { timeout: 30_000 })
    .toEqual({ is_noted: false, is_building: false });
  expect(await db('profile_counts').sum('n as n').first()).toEqual({ n: String(total) });

  const right = membersAt(await readWorld(db), [...definitions.values()], Date.now());
  for (const key of definitions.keys()) {
    const rows = await db('segment_members').where({ segment_key: key }).select('subject_id', 'matched');
    expect(new Map(rows.map(({ subject_id, matched }) => [subject_id, matched ?? {}])), key).toEqual(right.get(key));
    expect(await standing(key), key).toEqual(new Set(right.get(key)?.keys()));
  }
});

/** Who is in by the log, in which nobody enters or leaves twice. */
async function standing(key: string): Promise<Set<string>> {
  const changes = await db('segment_changes as c')
    .join('segments as s', 's.id', 'c.segment_id')
    .where({ 's.key': key })
    .orderBy('c.id')
    .select('c.subject_id', 'c.change');
  const members = new Set<string>();
  for (const { subject_id, change } of changes) {
    expect(members.has(subject_id), `${subject_id} ${change} ${key}`).toBe(change === 'exited');
    if (change === 'entered') members.add(subject_id);
    else members.delete(subject_id);
  }
  return members;
}
