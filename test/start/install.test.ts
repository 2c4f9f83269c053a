/** The set-up on the Node of the machine: what counts as installed, and installations that are interrupted, doubled or cut off. */
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { projectRoot } from '../../src/config.ts';
import { freePort } from '../helpers/ports.ts';
import { cloneProject, run, temporaryFolder } from './project.ts';

const base = temporaryFolder();
let folder: string;
let runs = 0;
afterAll(() => rmSync(base, { recursive: true, force: true }));

type Entry = {
  version: string;
  integrity?: string;
  dev?: true;
  optional?: true;
  os?: string[];
  cpu?: string[];
  libc?: string[];
};
type Packages = Record<string, Entry>;

const other = process.platform === 'linux' ? 'darwin' : 'linux';
const wanted: Packages = {
  'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' },
  'node_modules/@s/b': { version: '2.0.0', integrity: 'sha512-b' },
  'node_modules/dev-only': { version: '1.0.0', integrity: 'sha512-d', dev: true },
  'node_modules/ours': { version: '1.0.0', optional: true, os: [process.platform], cpu: [process.arch] },
  'node_modules/theirs': { version: '1.0.0', optional: true, os: [other] },
};
const { 'node_modules/theirs': _, ...installed } = wanted;

function lay(present: Packages | undefined): void {
  writeFileSync(join(folder, 'package.json'), '{"name":"x"}');
  writeFileSync(join(folder, 'package-lock.json'), JSON.stringify({ packages: { '': { name: 'x' }, ...wanted } }));
  if (present) layPackages(join(folder, 'node_modules'), present);
}

function layPackages(place: string, present: Packages): void {
  for (const name of Object.keys(present)) {
    mkdirSync(join(place, '..', name), { recursive: true });
    writeFileSync(join(place, '..', name, 'package.json'), '{}');
  }
  writeFileSync(join(place, '.package-lock.json'), JSON.stringify({ packages: present }));
}

/** Calls the set-up in a process of the machine's Node, with this script in the place of npm. */
function setUp(call: string, npm = 'process.exit(9)') {
  const script = join(folder, 'npm-cli.js');
  writeFileSync(script, npm);
  const code = `import * as setup from '${projectRoot}/setup/install.js';
    const say = (text) => console.log(text);
    try { ${call} } catch (error) { console.error(error.message); process.exit(1); }`;
  return run(['node', '--input-type=module', '-e', code], { cwd: folder, settings: { npm_execpath: script } });
}

async function isInstalled(options = ''): Promise<boolean> {
  const { ended, output } = setUp(`console.log(setup.isInstalled('${folder}'${options}))`);
  expect(await ended).toBe(0);
  return output().trim() === 'true';
}

const install = `await setup.install('${'$folder'}', { say })`;
const doInstall = (npm: string) => setUp(install.replace('$folder', folder), npm);

/** An npm that notes that it ran, waits until a file is there, and installs what the lockfile says. */
const goodNpm = (until = folder) => `
  const fs = require('node:fs');
  fs.appendFileSync('${folder}/npm-runs', process.argv.slice(2).join(' ') + '\\n');
  const waiting = setInterval(() => {
    if (!fs.existsSync('${until}')) return;
    clearInterval(waiting);
    const packages = ${JSON.stringify(installed)};
    for (const name of Object.keys(packages)) {
      fs.mkdirSync(name, { recursive: true });
      fs.writeFileSync(name + '/package.json', '{}');
    }
    fs.writeFileSync('node_modules/.package-lock.json', JSON.stringify({ packages }));
  }, 20);`;

const npmRuns = () => readFileSync(join(folder, 'npm-runs'), 'utf8').trim().split('\n');

beforeEach(() => {
  folder = join(base, String(runs++));
  mkdirSync(folder);
});

describe('what counts as installed', () => {
  it('is a node_modules that matches the lockfile for this platform', async () => {
    lay(installed);
    expect(await isInstalled()).toBe(true);
  });

  it.each<[string, Packages | undefined]>([
    ['nothing', undefined],
    ['another version', { ...installed, 'node_modules/a': { version: '1.0.1', integrity: 'sha512-a' } }],
    ['other content', { ...installed, 'node_modules/a': { version: '1.0.0', integrity: 'sha512-x' } }],
    ['a package too many', { ...installed, 'node_modules/z': { version: '1.0.0' } }],
    ['a package too few', { 'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' } }],
  ])('is not %s', async (_what, present) => {
    lay(present);
    expect(await isInstalled()).toBe(false);
  });

  it('is not what a killed npm left: folders without its final list', async () => {
    lay(installed);
    rmSync(join(folder, 'node_modules/.package-lock.json'));
    expect(await isInstalled()).toBe(false);
  });

  it('is not a tree from which a folder was removed by hand', async () => {
    lay(installed);
    rmSync(join(folder, 'node_modules/@s/b'), { recursive: true });
    expect(await isInstalled()).toBe(false);
  });

  it('is a production installation without development packages only where those are not wanted', async () => {
    const { 'node_modules/dev-only': _dev, ...production } = installed;
    lay(production);
    expect(await isInstalled()).toBe(false);
    expect(await isInstalled(', { dev: false }')).toBe(true);
  });

  it('is the node_modules of this project', async () => {
    rmSync(folder, { recursive: true });
    symlinkSync(projectRoot, folder);
    const { ended, output } = run(
      [
        'node',
        '--input-type=module',
        '-e',
        `import { isInstalled } from '${projectRoot}/setup/install.js'; console.log(isInstalled('${projectRoot}'))`,
      ],
      { cwd: base },
    );
    expect(await ended).toBe(0);
    expect(output().trim()).toBe('true');
    rmSync(folder);
  });
});

describe('an installation', () => {
  it('runs npm ci once for two set-ups at once, without install scripts, and leaves no staging folder', async () => {
    lay(undefined);
    const npm = goodNpm(join(folder, 'go'));
    const both = [doInstall(npm), doInstall(npm)];
    const said = () => both.map(({ output }) => output()).join();
    await expect.poll(said).toContain('Another set-up of this folder is running');
    writeFileSync(join(folder, 'go'), '');
    expect(await Promise.all(both.map(({ ended }) => ended))).toEqual([0, 0]);
    expect(npmRuns()).toHaveLength(1);
    expect(npmRuns()[0]).toMatch(/^ci .*--ignore-scripts/);
    expect(await isInstalled()).toBe(true);
  });

  it('takes over from one that was killed', async () => {
    lay(undefined);
    mkdirSync(join(folder, '.install/node_modules/half'), { recursive: true });
    const long = new Date(Date.now() - 60_000);
    utimesSync(join(folder, '.install'), long, long);
    const { ended } = doInstall(goodNpm());
    expect(await ended).toBe(0);
    expect(await isInstalled()).toBe(true);
  });

  it('keeps the former packages when npm fails, and says in a sentence that the network is away', async () => {
    const old = { 'node_modules/a': { version: '0.9.0' } };
    lay(old);
    const { ended, complaints } = doInstall(`console.error('npm error code ENOTFOUND'); process.exit(1)`);
    expect(await ended).toBe(1);
    expect(complaints()).toMatch(/^The packages cannot be downloaded \(ENOTFOUND\): check the network .*\n$/);
    expect(JSON.parse(readFileSync(join(folder, 'node_modules/.package-lock.json'), 'utf8')).packages).toEqual(old);
  });

  it('ends its npm when it is stopped', async () => {
    lay(undefined);
    const npm = `require('node:fs').writeFileSync('${folder}/npm-pid', String(process.pid)); setTimeout(() => {}, 60000)`;
    const setup = doInstall(npm);
    await expect.poll(() => existsSync(`${folder}/npm-pid`) && readFileSync(`${folder}/npm-pid`, 'utf8')).toMatch(/\d/);
    process.kill(setup.pid, 'SIGTERM');
    expect(await setup.ended).toBe(1);
    const pid = Number(readFileSync(join(folder, 'npm-pid'), 'utf8'));
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  });
});

describe('the machine', () => {
  const pretend = async (change: string) => {
    const hook = `--import=data:text/javascript,${encodeURIComponent(change)}`;
    const prepare = run(['node', join(projectRoot, 'setup/prepare.js')], {
      cwd: '/',
      settings: { NODE_OPTIONS: hook },
    });
    return { code: await prepare.ended, said: prepare.complaints() };
  };

  it('is told that its Node is too old', async () => {
    const { code, said } = await pretend(
      `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '18.20.1' } })`,
    );
    expect([code, said]).toEqual([
      1,
      expect.stringMatching(/^Node 18\.20\.1 is too old: install Node 20 or newer.*\n$/),
    ]);
  });

  it('is told that its platform is not supported', async () => {
    const { code, said } = await pretend(`Object.defineProperty(process, 'arch', { value: 'riscv64' })`);
    expect([code, said]).toEqual([
      1,
      expect.stringMatching(/^The platform \w+-riscv64 is not supported; supported are .*\n$/),
    ]);
  });
});

describe('npm start on a fresh clone', () => {
  it('does the set-up, although .npmrc ignores scripts, and says that the registry is away', {
    timeout: 90_000,
  }, async () => {
    const clone = cloneProject(join(folder, 'clone'), { packages: 'none' });
    const registry = `http://127.0.0.1:${await freePort()}`;
    const npm = run(['npm', 'start'], {
      cwd: clone,
      settings: { npm_config_registry: registry, npm_config_cache: join(folder, 'cache') },
    });
    expect(await npm.ended).toBe(1);
    expect(npm.complaints()).toMatch(
      /^Installing the packages .*\nThe packages cannot be downloaded \(ECONNREFUSED\): .*\n$/,
    );
    expect(existsSync(join(clone, 'node_modules'))).toBe(false);
  });
});
