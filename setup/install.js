/**
 * Installs the packages of the lockfile when they are missing, stale or half there. Plain JavaScript without packages, because
 * it runs on the Node of the machine (20 or newer) before anything is installed.
 *
 * The new node_modules is built in a folder of its own and then put in place by one rename, so a killed installation, or two at
 * once, never leaves half of it for a program to trip over.
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const staging = '.install';
// The holder of the staging folder touches it every second, so a folder this old was left by a killed set-up. A recorded pid would
// have to be told from the same number given to another process later, or in another container.
const abandonedAfterMs = 10_000;

/** A sentence for people: printed alone, without a stack trace. */
export class SetupError extends Error {}

/**
 * True when node_modules holds what the lockfile says for this platform. npm writes node_modules/.package-lock.json last, so an
 * interrupted installation lacks it.
 */
export function isInstalled(root, { dev = true } = {}) {
  const wanted = readPackages(path.join(root, 'package-lock.json'));
  const present = readPackages(path.join(root, 'node_modules', '.package-lock.json'));
  if (!wanted || !present) return false;
  for (const [place, entry] of Object.entries(wanted)) {
    const there = present[place];
    if (!place || (!there && isLeftOut(entry, dev))) continue;
    if (!there || there.version !== entry.version || there.integrity !== entry.integrity) return false;
    // Somebody may have removed a folder by hand; npm's list does not know.
    if (!fs.existsSync(path.join(root, place, 'package.json'))) return false;
  }
  return Object.keys(present).every((place) => wanted[place]);
}

function readPackages(file) {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8')).packages;
  } catch {
    return undefined;
  }
}

/** Development packages may be absent in production, optional ones wherever their platform is another. */
function isLeftOut(entry, dev) {
  if ((entry.dev || entry.devOptional) && !dev) return true;
  if (!entry.optional && !entry.devOptional) return false;
  const fits = (list, ours) => !list || (list.includes(ours) && !list.includes(`!${ours}`));
  // An optional package that names no platform is needed only by other optional ones, which may be absent.
  if (!entry.os && !entry.cpu) return true;
  return !fits(entry.os, process.platform) || !fits(entry.cpu, process.arch) || !fits(entry.libc, libc());
}

export function libc() {
  if (process.platform !== 'linux') return undefined;
  const musl = ['/lib', '/usr/lib'].some((folder) => {
    try {
      return fs.readdirSync(folder).some((name) => name.startsWith('ld-musl-'));
    } catch {
      return false;
    }
  });
  return musl ? 'musl' : 'glibc';
}

/** Returns when the packages are there, installed by this process or by another that came first. */
export async function install(root, { dev = true, say = () => {} } = {}) {
  const folder = path.join(root, staging);
  let waited = false;
  while (!isInstalled(root, { dev })) {
    if (claim(folder)) return await installInto(folder, root, dev, say);
    if (!waited) say('Another set-up of this folder is running; waiting for it …');
    waited = true;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

/** True when the staging folder is ours. mkdir succeeds for exactly one of two processes. */
function claim(folder) {
  try {
    fs.mkdirSync(folder);
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  }
  try {
    if (Date.now() - fs.statSync(folder).mtimeMs < abandonedAfterMs) return false;
    // Renamed first: an orphaned npm may still be writing into it, and of two claimants one renames.
    const dead = `${folder}-abandoned-${process.pid}`;
    fs.renameSync(folder, dead);
    fs.rmSync(dead, { recursive: true, force: true, maxRetries: 3 });
  } catch {
    // Somebody else cleared it away.
  }
  return false;
}

async function installInto(folder, root, dev, say) {
  const began = Date.now();
  const heartbeat = setInterval(() => touch(folder), 1000);
  try {
    say('Installing the packages (about 600 MB, once; usually less than two minutes) …');
    for (const name of ['package.json', 'package-lock.json', '.npmrc']) {
      if (fs.existsSync(path.join(root, name))) fs.copyFileSync(path.join(root, name), path.join(folder, name));
    }
    await runNpm(folder, dev);
    if (!isInstalled(root, { dev })) putInPlace(folder, root);
    say(`Installed in ${Math.round((Date.now() - began) / 1000)} s.`);
  } finally {
    clearInterval(heartbeat);
    fs.rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

function touch(folder) {
  try {
    fs.utimesSync(folder, new Date(), new Date());
  } catch {
    // Taken from us after a long sleep of the machine: npm fails next and says so.
  }
}

function putInPlace(folder, root) {
  const place = path.join(root, 'node_modules');
  try {
    if (fs.existsSync(place)) fs.renameSync(place, path.join(folder, 'replaced'));
    fs.renameSync(path.join(folder, 'node_modules'), place);
  } catch (error) {
    throw new SetupError(`${place} cannot be replaced (${error.code}): remove it, then run the command again.`);
  }
}

function runNpm(folder, dev) {
  const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error', '--no-progress'];
  const patience = [
    '--fetch-retries=3',
    '--fetch-retry-factor=2',
    '--fetch-retry-mintimeout=1000',
    '--fetch-retry-maxtimeout=8000',
  ];
  // NODE_ENV=production of the caller must not leave out what the tests need, nor the other way round.
  const scope = dev ? ['--include=dev', '--include=optional'] : ['--omit=dev', '--include=optional'];
  // npm hands its own script down; spawning it with this Node needs no shell and no PATH.
  const given = process.env.npm_execpath;
  const ownNpm = given && path.basename(given) === 'npm-cli.js' && fs.existsSync(given);
  const [program, ...first] = ownNpm ? [process.execPath, given] : ['npm'];
  return new Promise((resolve, reject) => {
    const npm = spawn(program, [...first, 'ci', ...scope, ...quiet, ...patience], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let complaints = '';
    npm.stderr.on('data', (chunk) => {
      complaints = (complaints + chunk).slice(-20_000);
    });
    const release = endWithUs(npm);
    npm.on('error', (error) => {
      release();
      reject(new SetupError(`npm cannot be started (${error.code}): install npm, or put it on the PATH.`));
    });
    npm.on('close', (code) => {
      release();
      if (code === 0) resolve();
      else reject(new SetupError(explain(complaints)));
    });
  });
}

/** A signal to us, or the death of the npm that started us (which may pass no signal on), ends the child as well. */
function endWithUs(child) {
  const parent = process.ppid;
  const end = () => child.kill('SIGTERM');
  const watch = setInterval(() => {
    if (process.ppid !== parent) end();
  }, 500);
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.on(signal, end);
  return () => {
    clearInterval(watch);
    for (const signal of signals) process.removeListener(signal, end);
  };
}

function explain(complaints) {
  const away =
    /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT)\b/.exec(
      complaints,
    );
  if (away) {
    return `The packages cannot be downloaded (${away[1]}): check the network and npm's registry and proxy settings, then run the command again.`;
  }
  if (/\bENOSPC\b/.test(complaints)) return 'The disk is full: the packages need about 600 MB.';
  if (!complaints.trim()) return 'The installation was interrupted: run the command again.';
  const lines = complaints
    .split('\n')
    .filter((line) => /^npm (error|ERR!)/.test(line) && !/complete log|debug-\d/.test(line));
  return `npm could not install the packages:\n${lines.slice(0, 8).join('\n') || complaints.trim()}`;
}
