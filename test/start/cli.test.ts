/** `npx heyi`: from any folder, beside a running server on the embedded database and without one. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { table } from '../../src/cli/command.ts';
import { freePort } from '../helpers/ports.ts';
import * as project from './project.ts';

const base = project.temporaryFolder();
const dataDir = join(base, 'data');
let cwd: string;
let settings: Awaited<ReturnType<typeof project.ownSettings>>;
let created: Awaited<ReturnType<typeof heyi>>;

beforeAll(async () => {
  cwd = project.cloneProject(join(base, 'clone'));
  settings = await project.ownSettings(dataDir);
  const site = ['--name', '官网', '--redirect-uri', 'https://shop.example.com/cb'];
  created = await heyi(['client', 'create', ...site, '--json']);
}, 120_000);
afterAll(async () => {
  const left = await project.leftovers(dataDir);
  project.clearAway(dataDir);
  rmSync(base, { recursive: true, force: true });
  expect(left).toEqual([]);
});

async function heyi(args: string[], more: project.Settings = {}) {
  const command = project.run(['node', join(cwd, 'setup/heyi.js'), ...args], {
    cwd: '/',
    settings: { ...settings, ...more },
  });
  const code = await command.ended;
  return { code, out: command.output(), err: command.complaints() };
}

const json = (text: string) => JSON.parse(text);

describe('heyi', () => {
  it('tells its commands, and the options of each', async () => {
    const overview = await heyi(['--help']);
    expect(overview.code).toBe(0);
    for (const name of ['start', 'migrate', 'client create', 'client list', 'admin grant', 'doctor'])
      expect(overview.out).toContain(`  ${name} `);
    expect((await heyi(['client', 'create', '--help'])).out).toContain('--redirect-uri');
    expect((await heyi(['start', '--help'])).out).toContain('start the server');
    const group = await heyi(['connector', '--help']);
    expect(group).toMatchObject({ code: 0, out: expect.stringContaining('connector disable') });
    expect(group.out).not.toContain('client create');
  });

  it('keeps columns straight under Chinese names', () => {
    const [, chinese, latin] = table(
      ['name', 'state'],
      [
        ['官网（新）', 'on'],
        ['Shop', 'on'],
      ],
    ).split('\n');
    expect(chinese).toBe('官网（新）  on');
    expect(latin).toBe('Shop        on');
  });

  it('ends with 2 and a hint when it is typed wrongly', async () => {
    expect(await heyi(['cleint', 'list'])).toMatchObject({ code: 2, err: expect.stringContaining('"cleint list"') });
    expect(await heyi(['client', 'create'])).toMatchObject({
      code: 2,
      err: '--name is missing; see "npx heyi --help".\n',
    });
    expect((await heyi(['migrate', '--force'])).code).toBe(2);
    const { err } = await heyi(['admin', 'grant', '--email', 'a@b.cn', '--role', 'king', '--json']);
    expect(json(err).error.message).toContain('owner');
  });

  it('starts the embedded database for the moment when no server runs', async () => {
    const { code, out } = await heyi(['migrate', '--json']);
    expect([code, json(out)]).toEqual([0, { applied: [] }]);
    expect(created.err).toBe('');
    expect(json(created.out)).toEqual({ client_id: expect.any(String), client_secret: expect.any(String) });
    expect(await project.leftovers(dataDir)).toEqual([]);
  });

  it('refuses what the client schema refuses, naming the field', async () => {
    const { code, err } = await heyi(['client', 'create', '--name', 'x', '--redirect-uri', 'http://evil.example/#f']);
    expect(code).toBe(1);
    expect(err).toContain('- redirect_uris');
  });

  it('keeps the file that proves a domain, as it was downloaded or as it is typed', async () => {
    const file = join(base, 'MP_verify_Ab12.txt');
    writeFileSync(file, 'Ab12');
    const added = await heyi(['verification-file', 'add', file, '--json']);
    expect(json(added.out)).toMatchObject({
      name: 'MP_verify_Ab12.txt',
      content: 'Ab12',
      url: `http://localhost:${settings.PORT}/MP_verify_Ab12.txt`,
    });
    expect((await heyi(['verification-file', 'add', 'other.txt', '--content', 'x'])).code).toBe(0);
    expect((await heyi(['verification-file', 'add', 'other.html', '--content', 'x'])).err).toContain('- name');
    expect((await heyi(['verification-file', 'add', 'missing.txt'])).code).toBe(2);
    expect((await heyi(['verification-file', 'remove', 'other.txt'])).code).toBe(0);
    expect((await heyi(['verification-file', 'list'])).out).toMatch(/MP_verify_Ab12\.txt +Ab12/);
  });

  it('works beside the running server, whose doctor finds nothing to mend', async () => {
    const server = project.run(['node', join(cwd, 'setup/heyi.js'), 'start', '--json'], { cwd: '/', settings });
    await server.until('"ready"');
    const ready = json(server.output().trim());
    expect(ready.addresses[0].url).toBe(`http://localhost:${settings.PORT}`);

    const { out } = await heyi(['client', 'list', '--json']);
    expect(json(out).data.map((client: { name: string }) => client.name)).toContain('官网');
    expect(out).not.toContain('secret_sealed');

    const granted = await heyi(['admin', 'grant', '--email', 'boss@example.com', '--role', 'owner', '--json']);
    expect(json(granted.out)).toEqual({ sub: null, pending: true, role: 'owner' });

    const healthy = await heyi(['doctor', '--json']);
    expect(json(healthy.out).checks.filter(({ state }: { state: string }) => state === 'fail')).toEqual([]);
    expect(healthy.code).toBe(0);

    process.kill(server.pid, 'SIGTERM');
    expect(await server.ended).toBe(0);
  });

  it('ends the server when its launcher is killed', async () => {
    const server = project.run(['node', join(cwd, 'setup/heyi.js'), 'start'], { cwd: '/', settings });
    await server.until('is ready');
    process.kill(server.pid, 'SIGKILL');
    await server.ended;
    expect(await project.leftovers(dataDir)).toEqual([]);
  });
});

describe('heyi doctor', () => {
  it('names each wrong setting and fails', async () => {
    const { code, out } = await heyi(['doctor'], { SANDBOX: 'maybe', HEYI_SECRET: 'short' });
    expect(code).toBe(1);
    expect(out).toMatch(/fail +settings/);
    expect(out).toContain('SANDBOX');
    expect(out).toContain('HEYI_SECRET');
  });

  it('finds another secret, a database that is away, and a server that does not answer', async () => {
    const other = json((await heyi(['doctor', '--json'], { HEYI_SECRET: 'c'.repeat(40) })).out);
    expect(other.checks).toContainEqual(expect.objectContaining({ check: 'HEYI_SECRET', state: 'fail' }));
    expect(other.checks).toContainEqual(expect.objectContaining({ check: 'PUBLIC_URL', state: 'warn' }));
    const url = `postgres://heyi:x@127.0.0.1:${await freePort()}/heyi`;
    const away = await heyi(['doctor', '--json'], { DATABASE_URL: url });
    expect(away.code).toBe(1);
    expect(json(away.out).checks).toContainEqual(
      expect.objectContaining({
        check: 'migrations',
        state: 'fail',
        found: expect.stringContaining('cannot be reached'),
      }),
    );
  });

  it('says that a folder of another user cannot be used', async () => {
    if (process.getuid?.() !== 0) return;
    const foreign = join(base, 'foreign');
    mkdirSync(foreign, { mode: 0o700 });
    const command = project.run(['node', join(cwd, 'setup/heyi.js'), 'migrate'], {
      cwd: '/',
      settings: { ...settings, DATA_DIR: foreign },
      uid: 1,
    });
    expect(await command.ended).toBe(1);
    expect(command.complaints()).toMatch(/may not be used by this user: start as its owner, or set DATA_DIR/);
  });
});
