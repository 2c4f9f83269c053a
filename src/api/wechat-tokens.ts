/**
 * The access token of a WeChat app for the company's other systems. WeChat has one for an app, and whoever fetches another by
 * cgi-bin/token voids it for all others: the one place that keeps it hands it out, and says what is truly left of it.
 */
import { z } from 'zod';
import { recordAudit } from '../audit/audit.ts';
import { replaceRefused, sharedToken } from '../connectors/wechat/access-token.ts';
import { type ConfiguredApp, wechatApp } from '../connectors/wechat/apps.ts';
import { explain } from '../connectors/wechat/errors.ts';
import { AppError, fail } from '../errors.ts';
import type { Limit } from '../http/limits.ts';
import { type ApiServices, actorOf, route } from './services.ts';

const params = z.object({ appid: z.string().regex(/^\w{1,64}$/) });
const shared = { tag: 'WeChat', scopes: ['wechat:token'], params };
const errors = ['too_many_requests', 'wechat_misconfigured', 'upstream_unavailable'] as const;

/** A system that asks before each call of its own is well under it; one in a loop is not. */
const perClient: Limit = { name: 'wechat_token_client', points: 600, seconds: 60 };
const perReport: Limit = { name: 'wechat_token_report', points: 10, seconds: 600 };
/** Systems ask all the time: who asks is recorded, not each time. */
const recorded: Limit = { name: 'wechat_token_recorded', points: 1, seconds: 3600 };

export const wechatTokenRoutes = [
  route({
    ...shared,
    method: 'get',
    path: '/wechat/{appid}/access-token',
    id: 'readWechatAccessToken',
    summary: 'The access token of this app, shared by everybody who needs one',
    description:
      'Ask each time, or keep it for no longer than `expires_in` seconds. Never fetch one from WeChat by `cgi-bin/token` beside it.',
    answer: z
      .object({ access_token: z.string(), expires_in: z.int().meta({ description: 'Seconds that are left.' }) })
      .meta({ id: 'WechatAccessToken' }),
    errors: [...errors],
    async handle(services, request) {
      const { caller, params } = request;
      await services.limits.spend(perClient, caller.client_id);
      const app = await appOf(services, params.appid);
      const { token, expires_in } = await explained(services, app, () => sharedToken(services, app));
      if (await isFirstInHour(services, `${caller.client_id} ${app.appid}`)) {
        const details = { appid: app.appid };
        await recordAudit(services.db, { ...actorOf(request), action: 'wechat_token.read', details });
      }
      return { access_token: token, expires_in };
    },
  }),
  route({
    ...shared,
    method: 'post',
    path: '/wechat/{appid}/access-token/report',
    id: 'reportWechatAccessToken',
    summary: 'WeChat refused this token (40001, 40014, 42001)',
    description:
      'WeChat is asked which one is good. `is_replaced`: there is another one now, read it. Otherwise the token stands, and the refusal had another reason. A new one is never forced: WeChat allows that twenty times a day.',
    body: z.strictObject({ access_token: z.string().min(1).max(1024) }),
    answer: z.object({ is_replaced: z.boolean() }).meta({ id: 'WechatAccessTokenReport' }),
    errors: [...errors],
    async handle(services, { params, body }) {
      const app = await appOf(services, params.appid);
      // Of the app, whoever reports: a swarm that lost its token together asks WeChat a few times.
      await services.limits.spend(perReport, app.appid);
      const is_replaced = await explained(services, app, () => replaceRefused(services, app, body.access_token));
      services.log.info({ appid: app.appid, is_replaced }, 'wechat: app token was reported as refused');
      return { is_replaced };
    },
  }),
];

/** A website app has no token of its own. @throws not_found */
async function appOf(services: ApiServices, appid: string): Promise<ConfiguredApp> {
  const app = await wechatApp(services, appid);
  if (!app || app.connector === 'wechat-web') throw fail('not_found');
  return app;
}

async function explained<T>({ log }: ApiServices, { appid, connector }: ConfiguredApp, call: () => Promise<T>) {
  try {
    return await call();
  } catch (error) {
    throw explain(error, { log, appid, connector });
  }
}

async function isFirstInHour({ limits }: ApiServices, key: string): Promise<boolean> {
  try {
    await limits.spend(recorded, key);
    return true;
  } catch (error) {
    if (error instanceof AppError && error.code === 'too_many_requests') return false;
    throw error;
  }
}
