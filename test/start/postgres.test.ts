/** The embedded PostgreSQL by itself: its place, its password, and what it makes of interrupted starts. */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { borrowPostgres, type EmbeddedPostgres, startPostgres } from '../../src/postgres.ts';
import { clearAway, placeOf, temporaryFolder } from './project.ts';

const base = temporaryFolder();
let dataDir: string;
let runs = 0;
const started: EmbeddedPostgres[] = [];

beforeEach(() => {
  dataDir = join(base, String(runs++));
});
afterEach(async () => {
  for (const one of started.splice(0)) await one.stop();
  clearAway(dataDir);
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

async function start(options: { onCrash?: Parameters<typeof startPostgres>[0]['onCrash'] } = {}) {
  const postgres = await startPostgres({ dataDir, durable: false, ...options });
  started.push(postgres);
  return postgres;
}

async function ask(url: string, sql: string): Promise<unknown> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query({ text: sql, rowMode: 'array' });
    return rows[0]?.[0];
  } finally {
    await client.end();
  }
}

describe('the embedded PostgreSQL', () => {
  it('is a PostgreSQL 18 that wants its password, orders text by code point and knows Chinese and accents', async () => {
    const { url } = await start();
    expect(await ask(url, 'show server_version')).toMatch(/^18/);
    expect(await ask(url, "select lower('ÄÉ合一')")).toBe('äé合一');
    const wrong = new URL(url);
    wrong.password = 'guess';
    await expect(ask(wrong.href, 'select 1')).rejects.toThrow(/password authentication failed/);
  });

  it('keeps its password, data and port over a stop, readable by the owner only', async () => {
    const first = await start();
    await ask(first.url, 'create table kept as select 1');
    await first.stop();
    const second = await start();
    expect(second.url).toBe(first.url);
    expect(await ask(second.url, 'select * from kept')).toBe(1);
    expect(statSync(join(dataDir, 'postgres.json')).mode & 0o077).toBe(0);
    expect(statSync(join(placeOf(dataDir), 'cluster')).mode & 0o077).toBe(0);
  });

  it('takes another port when the one of last time is in use', async () => {
    const { createServer } = await import('node:net');
    const first = await start();
    await first.stop();
    const { port } = new URL(first.url);
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(Number(port), '127.0.0.1', resolve));
    const second = await start();
    other.close();
    expect(new URL(second.url).port).not.toBe(port);
    expect(await ask(second.url, 'select 1')).toBe(1);
  });

  it('makes the cluster again when the first time was interrupted', async () => {
    await (await start()).stop();
    const place = placeOf(dataDir);
    rmSync(join(place, 'cluster'), { recursive: true });
    mkdirSync(join(place, 'draft-1/cluster/base'), { recursive: true });
    writeFileSync(join(place, 'draft-1/cluster/PG_VERSION'), '18\n');
    const { url } = await start();
    expect(await ask(url, 'select 1')).toBe(1);
    expect(readdirSync(place).filter((name) => name.startsWith('draft'))).toEqual([]);
  });

  it('says what to do about a cluster of another major version', async () => {
    await (await start()).stop();
    writeFileSync(join(placeOf(dataDir), 'cluster/PG_VERSION'), '17\n');
    await expect(start()).rejects.toThrow(/made by PostgreSQL 17, and this Heyi brings 18: dump it/);
  });

  it('two first starts at once agree on one password, and one of them has the database', async () => {
    const results = await Promise.allSettled([start(), start()]);
    const won = results.filter((result) => result.status === 'fulfilled');
    const lost = results.filter((result) => result.status === 'rejected');
    expect([won.length, lost.length]).toEqual([1, 1]);
    expect(String(lost[0]?.reason)).toContain(`already running on this DATA_DIR (process ${process.pid}`);
    expect(won[0] && (await ask(won[0].value.url, 'select 1'))).toBe(1);
  });

  it('is started again on the same port when it ends by itself', async () => {
    const crashed = Promise.withResolvers<{ gone: boolean }>();
    const { url } = await start({ onCrash: crashed.resolve });
    const pid = Number(readFileSync(join(placeOf(dataDir), 'cluster/postmaster.pid'), 'utf8').split('\n')[0]);
    process.kill(pid, 'SIGKILL');
    expect(await crashed.promise).toMatchObject({ gone: false });
    expect(await ask(url, 'select 1')).toBe(1);
  });

  it('lends itself to a command while a server runs, and is started for the command otherwise', async () => {
    const alone = await borrowPostgres(dataDir);
    expect(alone.own).toBe(true);
    expect(await ask(alone.url, 'select 1')).toBe(1);
    await alone.stop();
    const server = await start();
    const lent = await borrowPostgres(dataDir);
    expect([lent.own, lent.url]).toEqual([false, server.url]);
    await lent.stop();
    expect(await ask(server.url, 'select 1')).toBe(1);
  });

  it('refuses a damaged postgres.json instead of making a second database beside the first', async () => {
    mkdirSync(dataDir);
    writeFileSync(join(dataDir, 'postgres.json'), '{');
    await expect(start()).rejects.toThrow(/postgres.json is damaged/);
  });
});
