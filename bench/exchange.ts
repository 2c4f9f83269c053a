/** The mini-program's sign-in and refresh on PostgreSQL, against the same engine that keeps everything in memory. */
import { type ChildProcess, fork } from 'node:child_process';
import { Pool } from 'undici';
import { withDatabase } from './database.ts';
import type { BenchResult } from './result.ts';

const people = 2_000;
const requests = 2_000;
const concurrency = 16;
const rounds = 3;

export async function run(): Promise<BenchResult[]> {
  return withDatabase(async ({ url }) => {
    const servers = await Promise.all([startServer('ours', url), startServer('bare')]);
    const [ours, bare] = servers;
    if (!ours || !bare) throw new Error('a server did not start');
    try {
      // Everybody signs in once: what is measured is the person who comes back.
      await exchanges(ours.pool, people);
      await exchanges(bare.pool, people);
      const figures = { ours: [] as Round[], bare: [] as Round[] };
      // In turn, so that a machine that slows down slows both.
      for (let round = 0; round < rounds; round++) {
        figures.bare.push(await measure(bare.pool));
        figures.ours.push(await measure(ours.pool));
      }
      return (['exchange', 'refresh'] as const).map((what) => {
        const figure = median(figures.ours.map((round) => round[what]));
        const ceiling_figure = median(figures.bare.map((round) => round[what]));
        return {
          promise: `${what}: mini-program, ${concurrency} at a time`,
          figure,
          unit: 'requests/s',
          ceiling: 'the engine in memory, no database',
          ceiling_figure,
          ratio: figure / ceiling_figure,
          target: '>= 0.4',
          details: { rounds: figures, requests },
        };
      });
    } finally {
      for (const { child, pool } of servers) {
        await pool.close();
        child.disconnect();
      }
    }
  });
}

type Round = { exchange: number; refresh: number };

async function measure(pool: Pool): Promise<Round> {
  const started = performance.now();
  const tokens = await exchanges(pool, requests);
  const exchanged = performance.now();
  await inParallel(tokens, (refresh_token) => token(pool, { grant_type: 'refresh_token', refresh_token }));
  const refreshed = performance.now();
  return { exchange: (requests / (exchanged - started)) * 1000, refresh: (requests / (refreshed - exchanged)) * 1000 };
}

async function exchanges(pool: Pool, count: number): Promise<string[]> {
  const codes = Array.from({ length: count }, (_, i) => `person${i % people}`);
  return inParallel(codes, (subject_token) =>
    token(pool, {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token,
      subject_token_type: 'urn:heyi:token-type:wechat-login-code',
      scope: 'openid offline_access',
    }),
  );
}

/** @returns the refresh token */
async function token(pool: Pool, form: Record<string, string>): Promise<string> {
  const { statusCode, body } = await pool.request({
    method: 'POST',
    path: '/token',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({ client_id: 'bench', ...form }).toString(),
  });
  const answer = (await body.json()) as { refresh_token?: string };
  if (statusCode !== 200 || !answer.refresh_token)
    throw new Error(`/token answered ${statusCode} ${JSON.stringify(answer)}`);
  return answer.refresh_token;
}

async function inParallel<In, Out>(items: In[], work: (item: In) => Promise<Out>): Promise<Out[]> {
  const results: Out[] = [];
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const at = next++;
      results[at] = await work(items[at] as In);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return results;
}

async function startServer(...args: string[]): Promise<{ child: ChildProcess; pool: Pool }> {
  const child = fork(new URL('./exchange-server.ts', import.meta.url), args, {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  const port = await new Promise<number>((resolve, reject) => {
    child.once('message', (message: { port: number }) => resolve(message.port));
    child.once('exit', (code) => reject(new Error(`the bench server ended with ${code}`)));
  });
  return { child, pool: new Pool(`http://127.0.0.1:${port}`, { connections: concurrency }) };
}

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
