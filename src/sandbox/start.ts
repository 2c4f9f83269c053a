/** Starts the outside world and the demo beside Heyi, and points Heyi's connectors at them. */
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import type { Connectors } from '../connectors/contract.ts';
import type { Database } from '../database.ts';
import type { Logger } from '../log.ts';
import type { Seal } from '../seal.ts';
import { createDemo } from './demo/demo.ts';
import { createSandbox } from './sandbox.ts';
import { demoBackend, demoKeys, demoWebsite, seedSandbox } from './seed.ts';

export type RunningSandbox = { addresses: { name: string; url: string }[]; stop(): Promise<void> };

type StartOptions = {
  config: Config;
  db: Database;
  seal: Seal;
  clock: Clock;
  log: Logger;
  connectors: Connectors;
};

/** @throws the listen error of node when one of the ports is taken */
export async function startSandbox({
  config,
  db,
  seal,
  clock,
  log,
  connectors,
}: StartOptions): Promise<RunningSandbox> {
  const { dataDir, production, sandboxUrl, demoUrl } = config;
  const quiet = log.child({}, { level: 'warn' });
  const sandbox = createSandbox({
    port: config.sandboxPort,
    dataDir,
    clock,
    log: quiet,
    production,
    heyiUrl: config.publicUrl,
    demoUrl,
  });
  const { smtpPort } = await sandbox.start();
  await seedSandbox({ db, seal, connectors, sandboxUrl, smtpPort, demoUrl });
  const demo = createDemo({
    port: config.demoPort,
    issuer: config.publicUrl,
    sandboxUrl,
    clock,
    log: quiet,
    dataDir,
    clientId: demoWebsite.client_id,
    clientSecret: demoWebsite.client_secret,
    writeKey: demoKeys.client,
    serverKey: demoKeys.server,
    machine: demoBackend,
  });
  try {
    await demo.start();
  } catch (error) {
    await sandbox.stop();
    throw error;
  }
  return {
    addresses: [
      { name: 'Demo website', url: demoUrl },
      { name: 'Demo mini-program', url: `${demoUrl}/miniprogram` },
      { name: 'Sandbox: inbox and people', url: sandboxUrl },
    ],
    stop: async () => {
      await Promise.all([demo.stop(), sandbox.stop()]);
    },
  };
}
