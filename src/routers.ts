/** What is mounted, in the order in which it is asked, and which parts each of it is given. */
import { meRoutes } from './account/me-routes.ts';
import { accountRoutes } from './account/routes.ts';
import { adminRoutes } from './admin/routes.ts';
import { apiRoutes } from './api/routes.ts';
import type { Clock } from './clock.ts';
import type { Config } from './config.ts';
import type { Connectors } from './connectors/contract.ts';
import { reportRoutes } from './connectors/report-routes.ts';
import { verificationFileRouter } from './connectors/verification-files.ts';
import type { Database } from './database.ts';
import { eventsRoutes } from './events/routes.ts';
import type { Csrf } from './http/csrf.ts';
import type { Routes } from './http/direct.ts';
import type { I18n } from './http/i18n.ts';
import type { Limits } from './http/limits.ts';
import type { Metrics } from './http/metrics.ts';
import type { Render } from './http/render.ts';
import type { Jobs } from './jobs.ts';
import type { Logger } from './log.ts';
import { loginRoutes } from './login/routes.ts';
import type { Oidc } from './oidc/provider.ts';
import type { Seal } from './seal.ts';
import { keyOf } from './subjects/identity-key.ts';
import { wechatPushRoutes } from './wechat-push/routes.ts';

type Parts = {
  db: Database;
  seal: Seal;
  clock: Clock;
  log: Logger;
  config: Config;
  limits: Limits;
  connectors: Connectors;
  jobs: Jobs;
  oidc: Oidc;
  csrf: Csrf;
  render: Render;
  i18n: I18n;
  /** Calls this server itself, as its own client. */
  fetchSelf: typeof fetch;
  metrics: Metrics | undefined;
  /** Aborted when this process stops. */
  ending: AbortSignal;
};

export function createRoutes(parts: Parts): Routes {
  const { db, seal, clock, log, config, limits, connectors, jobs, oidc, csrf, render, i18n, fetchSelf } = parts;
  const { metrics, ending } = parts;
  const { publicUrl } = config;
  const foundation = { db, seal, clock, log };
  const pages = { csrf, render, i18n, jobs };
  const authenticate = oidc.readAccessToken;
  const { direct, routers } = eventsRoutes({
    ...foundation,
    publicUrl,
    keyOf: (identity) => keyOf(seal, identity),
    readToken: oidc.readAccessToken,
    readIdToken: oidc.readIdToken,
  });
  const others = [
    reportRoutes({ connectors }),
    meRoutes({
      db,
      clock,
      seal,
      log,
      limits,
      connectors,
      publicUrl,
      authenticate,
      cors: oidc.cors,
      clientOf: oidc.loginClient,
    }),
    apiRoutes({ ...foundation, jobs, limits, authenticate, translate: i18n.translator('en') }),
    loginRoutes({ ...foundation, ...pages, config, limits, connectors, oidc, ending }),
    verificationFileRouter({ db }),
    wechatPushRoutes({ ...foundation, jobs, i18n, countForward: (outcome) => metrics?.countForward(outcome) }),
    accountRoutes({ ...foundation, ...pages, limits, connectors, oidc, publicUrl, fetchSelf }),
    adminRoutes({ ...foundation, ...pages, oidc, publicUrl, fetchSelf }),
  ];
  return { direct, routers: [...routers, ...others] };
}
