/**
 * The outside world, simulated for a developer's machine: WeChat, two SMS gateways, a mailbox, and the people who use them.
 * The real clients speak to it by base address alone. It owns its state (state.ts) and nothing in our database; the demo
 * website and mini-program are in demo/.
 */

import Router from '@koa/router';
import { StartupError } from '../errors.ts';
import { createKoa, type Listener, listen } from '../http/server.ts';
import type { Logger } from '../log.ts';
import { mountActPages } from './act-pages.ts';
import { mountActs } from './acts-controls.ts';
import { mountControls } from './controls.ts';
import { crossOriginControls, localHost, localOrigin } from './guard.ts';
import { type Smtp, startSmtp } from './mail/smtp.ts';
import { mountPages, pageOfError } from './pages.ts';
import { createParts, type PartsOptions } from './parts.ts';
import { mountAliyunSms } from './sms/aliyun.ts';
import { mountSmsReports } from './sms/reports.ts';
import { mountTencentSms } from './sms/tencent.ts';
import { mountCgiBin } from './wechat/cgi-bin.ts';
import { mountLinks } from './wechat/links.ts';
import { mountMiniProgram } from './wechat/mini-program.ts';
import { mountMiniProgramCodes } from './wechat/mini-program-codes.ts';
import { mountOfficialAccount } from './wechat/official-account.ts';
import { mountSnsOauth } from './wechat/sns-oauth.ts';

export { sandboxAddresses, sandboxApps, sandboxOpenPlatform, sandboxSms } from './constants.ts';

export type Sandbox = {
  /** Listens on loopback only. @throws the listen error of node (EADDRINUSE, …) */
  start(): Promise<{ url: string; smtpPort: number }>;
  stop(): Promise<void>;
};
/** `dataDir` is where sandbox.json lives; `heyiUrl` where the seeded apps push to; `demoUrl` where the demo's phone is. */
export type SandboxOptions = PartsOptions & {
  /** 0 takes a free one. */
  port: number;
  log: Logger;
  production?: boolean;
};

/** @throws StartupError in production, and when sandbox.json is damaged */
export function createSandbox({ port, log, production = false, ...options }: SandboxOptions): Sandbox {
  if (production) throw new StartupError('The sandbox MUST NOT run in production: it signs anybody in as anybody.');
  const parts = createParts(options);
  const router: Router = new Router();
  mountMiniProgram(router, parts);
  mountMiniProgramCodes(router, parts);
  mountLinks(router, parts);
  mountOfficialAccount(router, parts);
  mountCgiBin(router, parts);
  mountSnsOauth(router, parts);
  mountAliyunSms(router, parts);
  mountTencentSms(router, parts);
  mountSmsReports(router, parts);
  mountControls(router, parts);
  mountActs(router, parts);
  mountPages(router, parts);
  mountActPages(router, parts);
  // WeChat's own answer to a path it does not know.
  router.all('/api.weixin.qq.com/*rest', (ctx) => parts.respond(ctx, 40066));

  const koa = createKoa({ log, trustProxy: false, https: false, errorPage: pageOfError });
  koa.use(localHost).use(localOrigin).use(crossOriginControls).use(router.routes());
  let http: Listener | undefined;
  let smtp: Smtp | undefined;
  return {
    async start() {
      http = await listen(koa, { port, host: '127.0.0.1' });
      parts.state.save();
      smtp = await startSmtp({ ...parts, log });
      return { url: `http://localhost:${http.port}`, smtpPort: smtp.port };
    },
    async stop() {
      await Promise.all([http?.stop(), smtp?.stop(), parts.pushes.stop(), parts.smsReports.stop()]);
      http = smtp = undefined;
    },
  };
}
