/** What was acknowledged is there, once, whenever the server was killed. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { testDatabase } from '../helpers/database.ts';
import { addSubject, basic, seedKeys, serverKey } from './harness.ts';

const { db, url } = await testDatabase();
await seedKeys(db);

const script = fileURLToPath(new URL('crash-server.ts', import.meta.url));
const children = new Set<ChildProcess>();
// Twenty starts of the same modules: compiled once.
const compiled = mkdtempSync(join(tmpdir(), 'heyi-crash-'));
afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(compiled, { recursive: true, force: true });
});

/** Loaded but not listening: a restart then takes milliseconds. */
async function load(): Promise<ChildProcess> {
  const child = fork(script, { execArgv: [], env: { ...process.env, NODE_COMPILE_CACHE: compiled } });
  children.add(child);
  await once(child, 'message');
  return child;
}

async function serve(child: ChildProcess, port: number): Promise<number> {
  child.send({ url, port });
  const [{ port: taken }] = await once(child, 'message');
  return taken;
}

const total = 10_000;
const perBatch = 20;
const kills = 20;

describe('kill -9', () => {
  it('at 20 random moments among 10,000 events of a client that retries: every acknowledged event is stored, each once', async () => {
    const sub = await addSubject(db);
    let child = await load();
    let spare = load();
    const port = await serve(child, 0);
    const acknowledged: string[] = [];
    let killed = 0;
    let unanswered = 0;

    const killing = async () => {
      const moments = Array.from({ length: kills }, () => Math.random() * total * 0.95).sort((a, b) => a - b);
      for (const moment of moments) {
        while (acknowledged.length < moment) await new Promise((resolve) => setTimeout(resolve, 1));
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 15));
        const dead = once(child, 'exit');
        child.kill('SIGKILL');
        await dead;
        killed++;
        child = await spare;
        spare = load();
        await serve(child, port);
      }
    };

    const batches = Array.from({ length: total / perBatch }, (_, n) =>
      Array.from({ length: perBatch }, (_, i) => ({ type: 'track', event: 'a', userId: sub, messageId: `${n}-${i}` })),
    );
    const sending = async () => {
      for (let batch = batches.pop(); batch; batch = batches.pop()) {
        const body = JSON.stringify({ batch });
        for (;;) {
          const status = await fetch(`http://127.0.0.1:${port}/v1/batch`, {
            method: 'POST',
            body,
            headers: basic(serverKey),
          })
            .then((answer) => answer.status)
            .catch(() => 0);
          if (status === 200) break;
          expect([0, 429, 503]).toContain(status);
          if (status === 0) unanswered++;
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
        acknowledged.push(...batch.map(({ messageId }) => messageId));
      }
    };
    await Promise.all([killing(), ...Array.from({ length: 4 }, sending)]);

    expect(killed).toBe(kills);
    expect(unanswered).toBeGreaterThan(0);
    expect(acknowledged).toHaveLength(total);
    const rows: { message_id: string }[] = await db('recorded_events').where({ subject_id: sub }).select('message_id');
    expect(rows).toHaveLength(total);
    expect(new Set(rows.map(({ message_id }) => message_id))).toEqual(new Set(acknowledged));
    const activity = await db('subject_activity').where({ subject_id: sub }).sum('n as n').first();
    expect(Number(activity?.n)).toBe(total);
  }, 120_000);
});
