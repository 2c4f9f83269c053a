/** What stops a start is one sentence that says what to do: exit code 1, no stack trace, nothing left running. */
import { chmodSync, chownSync, mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../helpers/ports.ts';
import * as project from './project.ts';

const its = project.cloneForTests();

/** What a start that must fail says. */
async function refusal(more: project.Settings): Promise<string> {
  const npm = project.run(['npm', 'start'], { cwd: its.cwd, settings: { ...its.settings, ...more } });
  expect(await npm.ended).toBe(1);
  expect(npm.complaints()).not.toMatch(/\n {4}at /);
  expect(npm.output()).not.toContain('is ready');
  return npm.complaints().trim();
}

describe('a start that cannot be', () => {
  it('names every wrong setting at once', async () => {
    const said = await refusal({
      PORT: 'x',
      SANDBOX: 'yes',
      DATABASE_URL: 'mysql://a',
      HEYI_SECRET: 'short',
      ROLES: 'cook',
    });
    for (const name of ['PORT', 'SANDBOX', 'DATABASE_URL', 'HEYI_SECRET', 'ROLES']) expect(said).toContain(`- ${name}`);
  });

  it('names the port that is in use and its setting', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(Number(its.settings.PORT), '127.0.0.1', resolve));
    const said = await refusal({});
    other.close();
    expect(said).toMatch(new RegExp(`${its.settings.PORT}.*PORT`));
    expect(said.split('\n')).toHaveLength(1);
  });

  it('refuses another secret than the database was sealed with', async () => {
    const first = project.run(['npm', 'start'], {
      cwd: its.cwd,
      settings: { ...its.settings, HEYI_SECRET: 'a'.repeat(40) },
    });
    await first.until('is ready');
    process.kill(first.pid, 'SIGTERM');
    await first.ended;
    const said = await refusal({ HEYI_SECRET: 'b'.repeat(40) });
    expect(said).toMatch(/^HEYI_SECRET is not the secret .*\.$/);
  });

  it('says that the database of DATABASE_URL cannot be reached, without its password', async () => {
    const port = await freePort();
    const said = await refusal({ DATABASE_URL: `postgres://heyi:hunter2secret@127.0.0.1:${port}/heyi` });
    expect(said).toMatch(new RegExp(`^The database 127.0.0.1:${port}/heyi cannot be reached .*DATABASE_URL`));
    expect(said).not.toContain('hunter2secret');
  });
});

const isRoot = process.getuid?.() === 0;

describe.runIf(isRoot)('a project in a folder that other users cannot enter', () => {
  let home: string;
  beforeAll(() => {
    home = join(its.base, 'home');
    mkdirSync(home, { mode: 0o700 });
    project.cloneProject(join(home, 'heyi'), { packages: 'copied' });
  });

  it('starts as root, whose PostgreSQL runs as another user from a copy in a place of its own', async () => {
    its.dataDir = join(home, 'heyi', 'data');
    const npm = project.run(['npm', 'start'], {
      cwd: join(home, 'heyi'),
      settings: { ...its.settings, DATA_DIR: its.dataDir },
    });
    await npm.until('is ready');
    expect(project.placeOf(its.dataDir)).not.toContain(home);
    process.kill(npm.pid, 'SIGTERM');
    expect(await npm.ended).toBe(0);
  });

  it('starts as an ordinary user, with everything in DATA_DIR', async () => {
    // "daemon", one of the accounts that every Linux has.
    const uid = 1;
    its.dataDir = join(home, 'heyi', 'data');
    mkdirSync(its.dataDir, { recursive: true });
    for (const folder of [home, join(home, 'heyi'), its.dataDir]) chownSync(folder, uid, uid);
    chmodSync(its.base, 0o755);
    const npm = project.run(['npm', 'start'], {
      cwd: join(home, 'heyi'),
      settings: { ...its.settings, DATA_DIR: its.dataDir },
      uid,
    });
    await npm.until('is ready');
    expect(project.placeOf(its.dataDir)).toBe(join(its.dataDir, 'postgres'));
    process.kill(npm.pid, 'SIGTERM');
    expect(await npm.ended).toBe(0);
  });

  it('tells a user whose number has no name what to do', async () => {
    its.dataDir = join(its.base, 'nameless');
    mkdirSync(its.dataDir);
    chownSync(its.dataDir, 54_321, 54_321);
    const npm = project.run(['npm', 'start'], {
      cwd: its.cwd,
      settings: { ...its.settings, DATA_DIR: its.dataDir },
      uid: 54_321,
    });
    expect(await npm.ended).toBe(1);
    expect(npm.complaints()).toMatch(/no name in \/etc\/passwd.*DATABASE_URL/);
  });
});
