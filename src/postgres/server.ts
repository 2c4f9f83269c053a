/** One run of the PostgreSQL server: how it is begun, how one knows that it is ready, how it ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, renameSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { StartupError } from '../errors.ts';
import { spawnOptions } from './cluster.ts';
import type { Place } from './place.ts';
import { pause, waitForEnd } from './processes.ts';

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

export type LaunchOptions = { dataDir: string; durable?: boolean };

export type Running = { child: ChildProcess; watcher: ChildProcess; port: number };

/** With the settings of this project; on the port of last time, or the one that must be kept. */
export async function launch(place: Place, options: LaunchOptions, fixedPort?: number, tries = 5): Promise<Running> {
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
  const watcher = watch(child, place, options.durable !== false);
  const fault = await started(child, place.cluster, () => log.said(child.pid));
  if (!fault) {
    place.remember(port);
    return { child, port, watcher };
  }
  watcher.kill('SIGKILL');
  // The port was taken between our look and its bind, or orphans of the last one are still letting go of the shared memory.
  const passing = /could not bind|could not create any TCP|shared memory block/.test(fault);
  if (!passing || tries <= 1) throw new StartupError(`The embedded PostgreSQL does not start: ${fault}`);
  await pause(250);
  return launch(place, options, fixedPort, tries - 1);
}

/** What stands in the way, or undefined once it accepts connections. */
async function started(child: ChildProcess, cluster: string, said: () => string): Promise<string | undefined> {
  let failed: string | undefined;
  child.once('error', (error) => {
    failed = error.message;
  });
  for (;;) {
    if (failed) return failed;
    if (child.exitCode !== null || child.signalCode !== null) {
      return said() || `it ended with ${child.signalCode ?? child.exitCode}`;
    }
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

export async function end({ child, watcher }: Running): Promise<void> {
  watcher.kill('SIGKILL');
  if (!child.pid || child.exitCode !== null || child.signalCode !== null) return;
  // Fast: rolls back what is open and writes a checkpoint. Immediate, after a while: the next start replays the log.
  child.kill('SIGINT');
  if (await waitForEnd(child.pid, 10_000)) return;
  child.kill('SIGQUIT');
  await waitForEnd(child.pid, 5_000);
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
function openLog(file: string): { descriptor: number; said(pid: number | undefined): string } {
  if (existsSync(file) && statSync(file).size > 10_000_000) renameSync(file, `${file}.1`);
  const descriptor = openSync(file, 'a', 0o600);
  const from = statSync(file).size;
  const said = (pid: number | undefined) => {
    const all = readFileSync(file).subarray(from).toString('utf8').split('\n');
    // Orphans of the last one write their last words into the same file.
    const own = all.filter((line) => line.includes(` [${pid}] `));
    const lines = own.length ? own : all;
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
