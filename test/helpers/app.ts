/** The whole product as `npm start` wires it, sandbox and demo included, on free ports and a database of its own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { afterAll } from 'vitest';
import { createApp } from '../../src/app.ts';
import type { Clock } from '../../src/clock.ts';
import { type Config, loadConfig } from '../../src/config.ts';
import { createLogger } from '../../src/log.ts';
import { createSeal, type Seal } from '../../src/seal.ts';
import { type TestDatabase, testDatabase } from './database.ts';
import { freePorts } from './ports.ts';

export type RunningApp = TestDatabase & {
  config: Config;
  seal: Seal;
  firstAdminUrl: string | undefined;
};

/** Call at the top level of a test file; stopped when the file is done. `logTo` gets the lines that would go to standard error. */
export async function runningApp(
  settings: Record<string, string> = {},
  { logTo, clock }: { logTo?: Writable; clock?: Clock } = {},
): Promise<RunningApp> {
  const place = await testDatabase();
  const dataDir = mkdtempSync(join(tmpdir(), 'heyi-app-'));
  const [port, sandboxPort, demoPort] = await freePorts(3);
  const config = loadConfig({
    PORT: String(port),
    SANDBOX_PORT: String(sandboxPort),
    DEMO_PORT: String(demoPort),
    DATA_DIR: dataDir,
    DATABASE_URL: place.url,
    LOG_LEVEL: 'silent',
    ...settings,
  });
  const log = logTo && createLogger({ level: config.logLevel, destination: logTo });
  const app = await createApp(config, { ...(log && { log }), ...(clock && { clock }) });
  afterAll(async () => {
    await app.stop();
    rmSync(dataDir, { recursive: true, force: true });
  });
  const { firstAdminUrl } = await app.start();
  return { ...place, config, seal: createSeal(config.secret), firstAdminUrl };
}
