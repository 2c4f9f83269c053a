/** Making the cluster, and dealing with what a killed start left in it. */
import { spawn } from 'node:child_process';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { StartupError } from '../errors.ts';
import type { Place } from './place.ts';
import { commandLine, isAlive, waitForEnd } from './processes.ts';

const major = '18';

/** Nothing of our environment is handed on: it holds HEYI_SECRET. */
export const bareEnvironment = { PATH: '/usr/bin:/bin:/usr/sbin:/sbin', LC_ALL: 'C', TZ: 'UTC' };

/** How to spawn a PostgreSQL program: as its user, in its own session so that a terminal's Ctrl-C does not reach it. */
export function spawnOptions(place: Place) {
  return { cwd: '/', env: bareEnvironment, detached: true, ...place.user };
}

/** The cluster is made under another name first, so an initdb that was interrupted is simply done again. */
export async function makeCluster(place: Place, durable: boolean): Promise<void> {
  for (const name of readdirSync(place.folder)) {
    if (name.startsWith('draft-')) rmSync(join(place.folder, name), { recursive: true });
  }
  if (existsSync(place.cluster)) return checkVersion(place.cluster);
  const draft = join(place.folder, `draft-${process.pid}`);
  const cluster = join(draft, 'cluster');
  const passwordFile = join(draft, 'password');
  mkdirSync(cluster, { recursive: true, mode: 0o700 });
  writeFileSync(passwordFile, place.kept.password, { mode: 0o600 });
  if (place.user) {
    for (const path of [draft, cluster, passwordFile]) chownSync(path, place.user.uid, place.user.gid);
  }
  const identity = ['--username=heyi', `--pwfile=${passwordFile}`, '--auth=scram-sha-256'];
  // The same order of text on every machine, and lower() that knows more than ASCII.
  const text = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
  await run(place, 'initdb', [`--pgdata=${cluster}`, ...identity, ...text, ...(durable ? [] : ['--no-sync'])]);
  renameSync(cluster, place.cluster);
  rmSync(draft, { recursive: true });
}

function checkVersion(cluster: string): void {
  const version = readFileSync(join(cluster, 'PG_VERSION'), 'utf8').trim();
  if (version === major) return;
  throw new StartupError(
    `The embedded database was made by PostgreSQL ${version}, and this Heyi brings ${major}: dump it with the Heyi that made it and load the dump here (docs/operations.md, "PostgreSQL versions").`,
  );
}

function run(place: Place, program: string, args: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(join(place.programs, program), args, {
      ...spawnOptions(place),
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let complaints = '';
    child.stderr?.on('data', (chunk) => {
      complaints += chunk;
    });
    const refuse = (why: string) => reject(new StartupError(`The embedded PostgreSQL cannot be set up: ${why}`));
    child.on('error', (error) => refuse(error.message));
    child.on('close', (code) =>
      code === 0 ? resolve() : refuse(complaints.trim() || `${program} ended with ${code}`),
    );
  });
}

/**
 * Ends a PostgreSQL that outlived its server (kill -9), so that the next one is our child and its end is noticed. A postmaster.pid
 * whose number belongs to another program by now (a container, a reboot) is made harmless.
 */
export async function endLeftover(cluster: string): Promise<void> {
  const file = join(cluster, 'postmaster.pid');
  if (!existsSync(file)) return;
  const lines = readFileSync(file, 'utf8').split('\n');
  const pid = Number(lines[0]);
  if (!Number.isInteger(pid) || pid <= 0) return rmSync(file);
  if (!isAlive(pid)) return;
  if (commandLine(pid)?.includes(cluster)) {
    process.kill(pid, 'SIGINT');
    if (await waitForEnd(pid, 15_000)) return;
    process.kill(pid, 'SIGQUIT');
    if (await waitForEnd(pid, 5_000)) return;
    throw new StartupError(
      `The PostgreSQL of an earlier start (process ${pid}) does not end: stop it, then start again.`,
    );
  }
  // Not deleted: PostgreSQL still has to see in it which shared memory orphaned backends might use. No system gives out this number.
  writeFileSync(file, ['99999999', ...lines.slice(1)].join('\n'));
}
