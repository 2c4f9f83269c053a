/**
 * `npm test [-- <vitest arguments>]`: lint, types, then every test. The run ends with vitest's own summary; any failure of the
 * three makes the exit code non-zero. Runs after prepare.js, on the project's own Node.
 */
import { spawn } from 'node:child_process';
import { root } from './prepare.js';

const running = new Set();
let interrupted = false;

function run(name, script, args) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [script, ...args], { cwd: root, stdio: 'inherit', env: quietInCi() });
    running.add(child);
    child.on('exit', (code) => {
      running.delete(child);
      resolve(code === 0 ? [] : [name]);
    });
  });
}

/** CI logs show escape codes as dirt. */
function quietInCi() {
  return process.env.CI ? { ...process.env, NO_COLOR: '1', FORCE_COLOR: '0' } : process.env;
}

function stop() {
  interrupted = true;
  for (const child of running) child.kill('SIGTERM');
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, stop);
// A killed npm passes no signal on.
const parent = process.ppid;
setInterval(() => process.ppid !== parent && stop(), 1000).unref();

const lint = await run('lint', 'node_modules/@biomejs/biome/bin/biome', ['check', '.']);
const types = interrupted ? [] : await run('types', 'node_modules/typescript/bin/tsc', ['--noEmit']);
// What runs in a browser is checked against a browser's types.
if (!interrupted) types.push(...(await run('types', 'node_modules/typescript/bin/tsc', ['--noEmit', '-p', 'sdk/web'])));
const failed = [...lint, ...types];
if (failed.length) process.stderr.write(`\nFailed before the tests: ${failed.join(', ')} (see above).\n`);
const tests = interrupted
  ? []
  : await run('tests', 'node_modules/vitest/vitest.mjs', ['run', ...process.argv.slice(2)]);
process.exit(failed.length || tests.length || interrupted ? 1 : 0);
