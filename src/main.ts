/**
 * Entry of the server: settings, database, schema, application, in this order, and back in the reverse one. What is wrong with the
 * machine or the settings is said in a sentence, without a stack trace, and the exit code is 1. The wiring itself is app.ts.
 */
import { enableCompileCache, flushCompileCache } from 'node:module';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import type { App } from './app.ts';
import { type Config, loadConfig, readEnvFile } from './config.ts';
import { migrate } from './database.ts';
import { createLifecycle, type Lifecycle } from './lifecycle.ts';
import { createLogger, type Logger } from './log.ts';
import { explainStartFault } from './start-faults.ts';

async function main(): Promise<void> {
  readEnvFile();
  const config = loadConfig();
  // Half of a start is reading our own program: compiled once, kept where only its owner writes. Fails silently.
  enableCompileCache(join(config.dataDir, 'compiled'));
  const log = createLogger({ level: config.logLevel });
  for (const warning of config.warnings) log.warn(warning);
  const life = createLifecycle({ log });
  try {
    await life.start((stopping) => start(config, log, life, stopping));
  } catch (error) {
    refuse(error, config);
    life.stop(undefined, 1);
  }
}

async function start(config: Config, log: Logger, life: Lifecycle, stopping: AbortSignal): Promise<void> {
  // Loading the application takes as long as starting PostgreSQL: side by side, on two cores.
  const loading = import('./app.ts');
  loading.catch(() => {});
  const url = config.databaseUrl ?? (await startEmbedded(config, log, life));
  stopping.throwIfAborted();
  await migrate(url);
  stopping.throwIfAborted();
  const { createApp } = await loading;
  const app = await createApp({ ...config, databaseUrl: url });
  life.onStop(() => app.stop(), 14_000);
  const started = await app.start();
  stopping.throwIfAborted();
  announce(started);
  // At once, since a kill -9 would lose it.
  flushCompileCache();
}

/** Registered first and so stopped last: requests in flight still need it. */
async function startEmbedded(config: Config, log: Logger, life: Lifecycle): Promise<string> {
  const { startPostgres } = await import('./postgres.ts');
  const postgres = await startPostgres({
    dataDir: config.dataDir,
    address: config.publicUrl,
    onCrash({ gone, reason }) {
      log.error({ reason }, gone ? 'the embedded PostgreSQL is gone' : 'the embedded PostgreSQL was started again');
      if (gone) life.stop('the embedded PostgreSQL is gone', 1);
    },
  });
  life.onStop(() => postgres.stop(), 16_000);
  return postgres.url;
}

/** For a person at a terminal; with --json one line for a program. Written at once, so that it is never cut in two. */
function announce({ addresses, firstAdminUrl }: Awaited<ReturnType<App['start']>>): void {
  const ms = Math.round(performance.now());
  if (process.argv.includes('--json')) {
    const ready = { event: 'ready', ms, addresses, ...(firstAdminUrl ? { first_admin_url: firstAdminUrl } : {}) };
    process.stdout.write(`${JSON.stringify(ready)}\n`);
    return;
  }
  const width = Math.max(...addresses.map(({ name }) => name.length));
  const lines = addresses.map(({ name, url }) => `  ${name.padEnd(width)}   ${url}`);
  const admin = firstAdminUrl
    ? ['', '  Nobody administers this Heyi yet. This link makes you its owner, once:', `  ${firstAdminUrl}`]
    : [];
  const hint = process.stdout.isTTY ? ['', '  Ctrl-C stops it.'] : [];
  process.stdout.write(['', `Heyi 合一 is ready (${ms} ms)`, '', ...lines, ...admin, ...hint, '', ''].join('\n'));
}

function refuse(error: unknown, config?: Config): void {
  process.stderr.write(`${explainStartFault(error, config)}\n`);
}

main().catch((error: unknown) => {
  refuse(error);
  process.exit(1);
});
