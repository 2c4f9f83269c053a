/**
 * The wiring, by hand, on one screen: what is built, from what. What is mounted in which order is routers.ts.
 * main.ts, the CLI and the tests call createApp; parts never see the app, only what they are given here.
 */
import { handleNotices } from './account/notices.ts';
import { handleRemovals } from './account/removal.ts';
import { seedAccountClient } from './account/visit.ts';
import { seedAdminClient } from './admin/door.ts';
import { firstAdminLink } from './admin/staff.ts';
import { handleApiJobs } from './api/idempotency.ts';
import { type Clock, systemClock } from './clock.ts';
import type { Config } from './config.ts';
import { createProofOfWork } from './connectors/captcha.ts';
import type { Identity } from './connectors/contract.ts';
import { createConnectors } from './connectors/registry.ts';
import { createDatabase } from './database.ts';
import { handleEventJobs } from './events/jobs.ts';
import { disableSandboxWriteKeys } from './events/write-keys.ts';
import { createCsrf } from './http/csrf.ts';
import { answerDirectly } from './http/direct.ts';
import { createHealth } from './http/health.ts';
import { createI18n } from './http/i18n.ts';
import { createLimits } from './http/limits.ts';
import { createMetrics } from './http/metrics.ts';
import { createRender, staticFiles } from './http/render.ts';
import { selfFetch } from './http/self-fetch.ts';
import { createKoa, type Listener, listen } from './http/server.ts';
import { createJobs } from './jobs.ts';
import { createLogger, type Logger } from './log.ts';
import { createPages } from './login/pages.ts';
import { disableSandboxClients } from './oidc/clients.ts';
import { createOidc } from './oidc/provider.ts';
import { createRoutes } from './routers.ts';
import { assertSameSecret, createSeal } from './seal.ts';
import { countSetAside } from './segments/aside-store.ts';
import { handleSegmentJobs } from './segments/jobs.ts';
import { startEvaluating } from './segments/worker.ts';
import { findByIdentity } from './subjects/subjects.ts';

export type Address = { name: string; url: string };
type RunningSandbox = { addresses: Address[]; stop(): Promise<void> };
export type App = {
  /** Listens and works. @throws the listen error of node when a port is taken. */
  start(): Promise<{ addresses: Address[]; firstAdminUrl?: string }>;
  /** Answers what is in flight and lets running jobs end. Idempotent. */
  stop(): Promise<void>;
};

/** `config.databaseUrl` must be set and the schema migrated. */
export async function createApp(config: Config, overrides: { clock?: Clock; log?: Logger } = {}): Promise<App> {
  const url = config.databaseUrl;
  if (!url) throw new Error('createApp needs a database');
  const clock = overrides.clock ?? systemClock;
  const log = overrides.log ?? createLogger({ level: config.logLevel });
  const { publicUrl } = config;
  const https = publicUrl.startsWith('https:');

  const db = createDatabase({ url, pool: config.databasePool });
  const seal = createSeal(config.secret);
  await assertSameSecret(db, seal);
  const jobs = createJobs({ url, log, work: config.roles.worker });
  const limits = createLimits({ db, seal });
  const captcha = createProofOfWork({ seal, limits, clock });
  const isSomebodys = async (identity: Identity) => (await findByIdentity({ db, seal }, identity)) !== undefined;
  const { smsRegions, privateOrigins } = config;
  const services = { db, clock, log, seal, limits, captcha, smsRegions, privateOrigins, isSomebodys };
  const connectors = createConnectors(services);

  const i18n = createI18n({ https });
  const csrf = createCsrf({ seal, publicUrl });
  const render = createRender({ i18n, csrf });
  const pages = createPages({ render, i18n });
  const oidc = await createOidc({ db, seal, clock, log, config, limits, connectors, jobs, pages });
  handleEventJobs({ db, clock, log, jobs, config });
  handleSegmentJobs({ db, clock, jobs });
  handleApiJobs({ db, jobs });
  handleNotices({ db, seal, log, connectors, publicUrl, jobs });
  handleRemovals({ db, seal, log, jobs });

  const ending = new AbortController();
  let evaluating: { stop(): Promise<void> } | undefined;
  const koa = createKoa({ log, trustProxy: config.trustProxy, https, errorPage: pages.error });
  const health = createHealth({ db });
  const metrics =
    config.metricsPort === undefined ? undefined : createMetrics({ clock, countSetAside: () => countSetAside(db) });
  let listener: Listener | undefined;
  const fetchSelf = selfFetch({ publicUrl, host: config.host, port: () => listener?.port ?? config.port });
  const foundation = { db, seal, clock, log, config, limits, connectors, jobs };
  const { direct, routers } = createRoutes({
    ...foundation,
    oidc,
    csrf,
    render,
    i18n,
    fetchSelf,
    metrics,
    ending: ending.signal,
  });
  koa.use(staticFiles);
  for (const router of [health.router, ...(config.roles.web ? routers : [])])
    koa.use(router.routes()).use(router.allowedMethods());
  if (config.roles.web) koa.use(oidc.middleware);

  let metricsListener: Listener | undefined;
  let sandbox: RunningSandbox | undefined;
  let stopping: Promise<void> | undefined;
  return {
    async start() {
      // What the sandbox seeded has public secrets: it is dead before the first request can be made.
      if (!config.sandbox)
        await Promise.all([connectors.disableSandbox(), disableSandboxClients(db), disableSandboxWriteKeys(db)]);
      await seedAccountClient({ db, seal }, publicUrl);
      await seedAdminClient({ db, seal }, publicUrl);
      listener = await listen(koa, {
        port: config.port,
        host: config.host,
        direct: config.roles.web ? answerDirectly(direct, { log, trustProxy: config.trustProxy, https }) : undefined,
        observe: metrics?.observe,
      });
      if (metrics && config.metricsPort !== undefined) {
        const inside = createKoa({ log, trustProxy: false, https: false });
        inside.use(metrics.router.routes());
        metricsListener = await listen(inside, { port: config.metricsPort, host: config.host });
      }
      if (config.sandbox) {
        // The only way in: production never loads what can sign anybody in as anybody.
        const { startSandbox } = await import('./sandbox/start.ts');
        sandbox = await startSandbox({ config, db, seal, clock, log, connectors });
      }
      await jobs.start();
      if (config.roles.worker) evaluating = startEvaluating({ db, clock, log });
      health.setReady(true);
      const firstAdminUrl = await firstAdminLink({ db, seal }, publicUrl);
      const addresses = [{ name: 'Heyi', url: publicUrl }, ...(sandbox?.addresses ?? [])];
      return { addresses, ...(firstAdminUrl && { firstAdminUrl }) };
    },
    stop() {
      stopping ??= (async () => {
        health.setReady(false);
        ending.abort();
        await Promise.all([listener?.stop(), metricsListener?.stop(), sandbox?.stop()]);
        await Promise.all([jobs.stop(), evaluating?.stop()]);
        await db.destroy();
      })();
      return stopping;
    },
  };
}
