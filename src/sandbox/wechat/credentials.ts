/** The checks that stand in front of WeChat's calls, in WeChat's order. Each gives the app, or the refusal. */
import type { Context } from '../../http/server.ts';
import { type Parts, query } from '../parts.ts';
import type { WechatApp } from '../state.ts';

type Refusal = { errcode: number; errmsg?: string };

export function authenticate(
  { state }: Pick<Parts, 'state'>,
  given: { appid: string | undefined; secret: string | undefined },
): WechatApp | Refusal {
  if (!given.appid) return { errcode: 41002 };
  const app = state.app(given.appid);
  if (!app) return { errcode: 40013 };
  if (!given.secret) return { errcode: 41004 };
  return given.secret === app.secret ? app : { errcode: 40125 };
}

/** Only servers on the list may ask for an app's access token, when there is a list. */
export function authenticateServer(
  parts: Pick<Parts, 'state'>,
  ctx: Context,
  given: { appid: string | undefined; secret: string | undefined },
): WechatApp | Refusal {
  const app = authenticate(parts, given);
  const ip = ctx.state.ip;
  if ('errcode' in app || app.ip_whitelist.length === 0 || app.ip_whitelist.includes(ip)) return app;
  return { errcode: 40164, errmsg: `invalid ip ${ip} ipv6 ::ffff:${ip}, not in whitelist` };
}

/** The app of the access_token in the query. */
export function appOfToken(
  { state, appTokens }: Pick<Parts, 'state' | 'appTokens'>,
  ctx: Context,
): WechatApp | Refusal {
  const checked = appTokens.check(query(ctx, 'access_token'));
  if (typeof checked === 'number') return { errcode: checked };
  return state.app(checked) ?? { errcode: 40001 };
}
