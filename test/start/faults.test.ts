/** What stops a start is one sentence that says what to do: exit code 1, no stack trace, nothing left running. */
import { chmodSync, chownSync, mkdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { freePort } from '../helpers/ports.ts';
import * as project from './project.ts';

const base = project.temporaryFolder();
let cwd: string;
let template: string;
let dataDir: string;
let settings: Awaited<ReturnType<typeof project.ownSettings>>;
let runs = 0;

beforeAll(async () => {
  cwd = project.cloneProject(join(base, 'clone'));
  template = await project.makeData(cwd, join(base, 'data'));
}, 120_000);
beforeEach(async () => {
  dataDir = join(base, `data-${runs++}`);
  project.copyData(template, dataDir);
  settings = await project.ownSettings(dataDir);
});
afterEach(async () => {
  const left = await project.leftovers(dataDir);
  project.clearAway(dataDir);
  expect(left, 'left running').toEqual([]);
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

/** What a start that must fail says. */
async function refusal(more: project.Settings): Promise<string> {
  const npm = project.run(['npm', 'start'], { cwd, settings: { ...settings, ...more } });
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
    await new Promise<void>((resolve) => other.listen(Number(settings.PORT), '127.0.0.1', resolve));
    const said = await refusal({});
    other.close();
    expect(said).toMatch(new RegExp(`${settings.PORT}.*PORT`));
    expect(said.split('\n')).toHaveLength(1);
  });

  it('refuses another secret than the database was sealed with', async () => {
    const first = project.run(['npm', 'start'], { cwd, settings: { ...settings, HEYI_SECRET: 'a'.repeat(40) } });
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
    home = join(base, 'home');
    mkdirSync(home, { mode: 0o700 });
    project.cloneProject(join(home, 'heyi'), { packages: 'copied' });
  });

  it('starts as root, whose PostgreSQL runs as another user from a copy in a place of its own', async () => {
    dataDir = join(home, 'heyi', 'data');
    const npm = project.run(['npm', 'start'], {
      cwd: join(home, 'heyi'),
      settings: { ...settings, DATA_DIR: dataDir },
    });
    await npm.until('is ready');
    expect(project.placeOf(dataDir)).not.toContain(home);
    process.kill(npm.pid, 'SIGTERM');
    expect(await npm.ended).toBe(0);
  });

  it('starts as an ordinary user, with everything in DATA_DIR', async () => {
    // "daemon", one of the accounts that every Linux has.
    const uid = 1;
    dataDir = join(home, 'heyi', 'data');
    mkdirSync(dataDir, { recursive: true });
    for (const folder of [home, join(home, 'heyi'), dataDir]) chownSync(folder, uid, uid);
    chmodSync(base, 0o755);
    const npm = project.run(['npm', 'start'], {
      cwd: join(home, 'heyi'),
      settings: { ...settings, DATA_DIR: dataDir },
      uid,
    });
    await npm.until('is ready');
    expect(project.placeOf(dataDir)).toBe(join(dataDir, 'postgres'));
    process.kill(npm.pid, 'SIGTERM');
    expect(await npm.ended).toBe(0);
  });

  it('tells a user whose number has no name what to do', async () => {
    dataDir = join(base, 'nameless');
    mkdirSync(dataDir);
    chownSync(dataDir, 54_321, 54_321);
    const npm = project.run(['npm', 'start'], { cwd, settings: { ...settings, DATA_DIR: dataDir }, uid: 54_321 });
    expect(await npm.ended).toBe(1);
    expect(npm.complaints()).toMatch(/no name in \/etc\/passwd.*DATABASE_URL/);
  });
});
