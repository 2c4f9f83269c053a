/**
 * One orderly end of the process, whatever asks for it: a signal (Ctrl-C arrives twice within milliseconds, from the terminal and
 * from npm), the death of npm, a fault that nobody caught. What was started last is stopped first.
 */
import { startedByNpm } from './config.ts';
import type { Logger } from './log.ts';

export type Lifecycle = {
  /** Runs the start; when a stop comes meanwhile, `stopping` is aborted and the end waits for the step under way. */
  start(steps: (stopping: AbortSignal) => Promise<void>): Promise<void>;
  /** Registers what to undo, run in reverse order; a task that takes longer than this is left behind. */
  onStop(task: () => Promise<void>, withinMs: number): void;
  /** Ends the process; without a reason silently. Every call but the first changes nothing. */
  stop(reason: string | undefined, code: number): void;
};

// Orchestrators kill after 30 s; the answer to what hangs must come before.
const deadlineMs = 25_000;

export function createLifecycle({ log }: { log: Logger }): Lifecycle {
  const tasks: { task: () => Promise<void>; withinMs: number }[] = [];
  const aborter = new AbortController();
  let starting: Promise<void> = Promise.resolve();

  const finish = async (reason: string | undefined, code: number) => {
    if (reason) log.info({ reason }, 'stopping');
    setTimeout(() => {
      log.error('what is still running did not end in time');
      process.exit(1);
    }, deadlineMs);
    await starting.catch(() => {});
    for (const { task, withinMs } of tasks.reverse()) {
      await inTime(task(), withinMs).catch((err: unknown) => log.error({ err }, 'stopping: one part failed'));
    }
    if (reason) log.info('stopped');
    process.exit(code);
  };
  const stop = (reason: string | undefined, code: number) => {
    if (aborter.signal.aborted) return;
    aborter.abort();
    void finish(reason, code);
  };

  watchProcess(stop, log);
  return {
    stop,
    onStop: (task, withinMs) => void tasks.push({ task, withinMs }),
    async start(steps) {
      starting = steps(aborter.signal);
      await starting.catch((error: unknown) => {
        if (!aborter.signal.aborted) throw error;
      });
    },
  };
}

async function inTime(work: Promise<void>, milliseconds: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${milliseconds} ms`)), milliseconds);
  });
  await Promise.race([work, late]).finally(() => clearTimeout(timer));
}

function watchProcess(stop: Lifecycle['stop'], log: Logger): void {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => stop(signal, 0));
  // A closed terminal takes our output with it: failing to write to it must not look like a fault.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  // After a fault that nobody caught the state of the process is unknown: it says so, stops, and is started anew (threat G13).
  process.on('uncaughtException', (err) => {
    log.fatal({ err }, 'uncaught exception');
    stop('uncaught exception', 1);
  });
  process.on('unhandledRejection', (err) => {
    log.fatal({ err }, 'unhandled rejection');
    stop('unhandled rejection', 1);
  });
  // The launcher's channel closes when the launcher is gone.
  process.once('disconnect', () => stop('the launcher has ended', 0));
  process.channel?.unref();
  if (startedByNpm()) watchParent(() => stop('npm has ended', 0));
}

/** npm that is killed, or hung up on, passes nothing on; its end shows in our parent's number. */
function watchParent(gone: () => void): void {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    gone();
  }, 500);
  timer.unref();
}
