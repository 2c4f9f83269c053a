/** A clone of the project in a temporary folder, and the commands of it as real processes. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject } from 'vitest';
import { projectRoot } from '../../src/config.ts';
import { freePorts } from '../helpers/ports.ts';

const leftOut = new Set(['node_modules', '.git', 'data', 'bench', 'test', 'test-results', '.install']);

/** Packages are those of this project: linked, or copied as hard links, which a private parent hides from others. */
export function cloneProject(
  folder: string,
  { packages = 'linked' }: { packages?: 'linked' | 'copied' | 'none' } = {},
): string {
  cpSync(projectRoot, folder, { recursive: true, filter: (from) => !leftOut.has(basename(from)) });
  if (packages === 'copied') spawnSync('cp', ['-al', join(projectRoot, 'node_modules'), folder]);
  if (packages === 'linked') symlinkSync(join(projectRoot, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'heyi-start-'));
  chmodSync(folder, 0o755);
  return folder;
}

export type Settings = Record<string, string>;

/** Settings of a server of its own: free ports and a data folder. */
export async function ownSettings(dataDir: string): Promise<Settings & { PORT: string; DATA_DIR: string }> {
  const [port, sandbox, demo] = await freePorts(3);
  mkdirSync(dataDir, { recursive: true });
  return {
    DATA_DIR: dataDir,
    PORT: String(port),
    SANDBOX_PORT: String(sandbox),
    DEMO_PORT: String(demo),
    LOG_LEVEL: 'warn',
  };
}

/** One clone for the tests of a file, each with data and settings of its own, and none leaves anything running. */
export function cloneForTests() {
  const base = temporaryFolder();
  const its = { base, cwd: '', dataDir: '', settings: {} as Awaited<ReturnType<typeof ownSettings>> };
  let template: string;
  let runs = 0;
  beforeAll(async () => {
    its.cwd = cloneProject(join(base, 'clone'));
    template = await makeData(its.cwd, join(base, 'data'));
  }, 120_000);
  beforeEach(async () => {
    its.dataDir = join(base, `data-${runs++}`);
    copyData(template, its.dataDir);
    its.settings = await ownSettings(its.dataDir);
  });
  afterEach(async () => {
    const left = await leftovers(its.dataDir);
    clearAway(its.dataDir);
    expect(left, 'left running').toEqual([]);
  });
  afterAll(() => rmSync(base, { recursive: true, force: true }));
  return its;
}

/** A migrated database in a data folder, for `copyData`: making one is most of a first start. */
export async function makeData(clone: string, folder: string): Promise<string> {
  const migration = run(['node', join(clone, 'setup/heyi.js'), 'migrate'], {
    cwd: '/',
    settings: { DATA_DIR: folder },
  });
  if ((await migration.ended) !== 0) throw new Error(migration.complaints());
  return folder;
}

export function copyData(from: string, to: string): void {
  spawnSync('cp', ['-a', from, to]);
  const kept = JSON.parse(readFileSync(join(to, 'postgres.json'), 'utf8'));
  const { port: _, ...moved } = { ...kept, folder: join(to, 'postgres') };
  writeFileSync(join(to, 'postgres.json'), JSON.stringify(moved));
}

export type Run = {
  child: ChildProcess;
  pid: number;
  output(): string;
  complaints(): string;
  /** Resolves with the exit code, or the signal's name. */
  ended: Promise<number | string>;
  until(text: string): Promise<void>;
};

export type RunOptions = { cwd: string; settings?: Settings; uid?: number };

/** In a process group of its own, as a terminal would start it, and with the Node of the machine on its PATH, not the project's. */
export function run(command: string[], { cwd, settings = {}, uid }: RunOptions): Run {
  const [program = '', ...args] = command;
  const PATH = (process.env.PATH ?? '')
    .split(':')
    .filter((folder) => !folder.includes('node_modules'))
    .join(':');
  const child = spawn(program, args, {
    cwd,
    env: {
      PATH,
      HOME: uid === undefined ? (process.env.HOME ?? '/') : cwd,
      npm_config_update_notifier: 'false',
      NODE_COMPILE_CACHE: inject('compiled'),
      ...settings,
    },
    detached: true,
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  const ended = new Promise<number | string>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  });
  ended.catch(() => {});
  const until = async (text: string) => {
    for (let tries = 0; tries < 2000; tries++) {
      if (out.includes(text)) return;
      if (child.exitCode !== null || child.signalCode) break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`never said "${text}":\n${out}\n${err}`);
  };
  return { child, pid: child.pid ?? 0, output: () => out, complaints: () => err, ended, until };
}

/** Numbers of the processes that work on this data folder: they were given it, or run its PostgreSQL. */
export function processesOf(dataDir: string): { pid: number; command: string }[] {
  const place = placeOf(dataDir);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((name) => {
      const command = readProc(name, 'cmdline');
      const ours = readProc(name, 'environ').includes(`DATA_DIR=${dataDir} `) || command.includes(place);
      return ours && command ? [{ pid: Number(name), command }] : [];
    });
}

function readProc(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

/** The folder that holds the cluster and the lock. */
export function placeOf(dataDir: string): string {
  try {
    return JSON.parse(readFileSync(join(dataDir, 'postgres.json'), 'utf8')).folder;
  } catch {
    return dataDir;
  }
}

export function find(dataDir: string, what: RegExp): number {
  const found = processesOf(dataDir).filter(({ command }) => what.test(command));
  if (!found[0]) throw new Error(`no process matches ${what} among ${JSON.stringify(processesOf(dataDir))}`);
  return found[0].pid;
}

export const server = /src\/main\.ts/;
export const postgres = /bin\/postgres -D/;
export const watcher = /read _/;

/** What is still there after a moment in which the last one may end. */
export async function leftovers(dataDir: string): Promise<string[]> {
  for (let tries = 0; ; tries++) {
    const left = processesOf(dataDir).map(({ command }) => command);
    if (!left.length || tries > 400) return left;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** For afterEach: a failed test must not leave a server to the next one. */
export function clearAway(dataDir: string): void {
  for (const { pid } of processesOf(dataDir)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {}
  }
  const place = placeOf(dataDir);
  if (place !== dataDir) rmSync(place, { recursive: true, force: true, maxRetries: 5 });
  rmSync(dataDir, { recursive: true, force: true, maxRetries: 5 });
}
