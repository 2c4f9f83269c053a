/** Another process on the same database, that takes steps when it is told to. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';
import type { Outcome, Step } from './history-step.ts';

export type SecondProcess = {
  child: ChildProcess;
  /** Rejects when the process ended before it answered. */
  take(step: Step): Promise<Outcome>;
};

/** Ended when the test file is done. */
export async function secondProcess(url: string): Promise<SecondProcess> {
  const child = fork(fileURLToPath(new URL('history-worker.ts', import.meta.url)), [url], { execArgv: [] });
  afterAll(() => {
    child.kill('SIGKILL');
  });
  const waiting = new Map<number, { resolve(outcome: Outcome): void; reject(error: Error): void }>();
  await once(child, 'message');
  child.on('message', ({ id, outcome }: { id: number; outcome: Outcome }) => {
    waiting.get(id)?.resolve(outcome);
    waiting.delete(id);
  });
  child.on('exit', () => {
    for (const { reject } of waiting.values()) reject(new Error('the second process ended'));
  });
  let last = 0;
  return {
    child,
    take: (step) =>
      new Promise((resolve, reject) => {
        const id = ++last;
        waiting.set(id, { resolve, reject });
        child.send({ id, step });
      }),
  };
}
