#!/usr/bin/env node
/**
 * `npx heyi <command>`: does the set-up, then runs the command on the project's own Node. Plain JavaScript, because it is started
 * by the Node of the machine, from any folder, also before the first installation.
 */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { devNeeded, failSetup, prepare, root, say } from './prepare.js';

/** As `npm start` has it: what requests leave behind is collected less often. */
const forServer = ['--max-semi-space-size=64'];

async function main() {
  const args = process.argv.slice(2);
  const node = await prepare({ dev: devNeeded(), say });
  const isStart = args[0] === 'start' && !args.includes('--help') && !args.includes('-h');
  const script = path.join(root, 'src', isStart ? 'main.ts' : 'cli/main.ts');
  // The channel tells the command when this launcher is killed: it then ends as well.
  const child = spawn(node, [...(isStart ? forServer : []), script, ...(isStart ? args.slice(1) : args)], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  });
  // A terminal signals both of us, `kill` only this process: passing on may signal twice, which the command bears.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => failSetup(error));
  child.on('exit', (code, signal) => {
    if (code !== null) process.exit(code);
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.removeAllListeners(name);
    process.kill(process.pid, signal);
  });
}

main().catch(failSetup);
