/** wxa/generate_urllink and wxa/generatescheme: an address outside WeChat that opens a mini-program. */
import { z } from 'zod';
import type { Context } from '../../http/server.ts';
import { breakable } from '../faults.ts';
import type { Parts, SandboxRouter } from '../parts.ts';
import type { WechatApp } from '../state.ts';
import { type Answer, faultAnswer } from './answers.ts';
import { readPosted } from './body.ts';
import { appOfToken } from './credentials.ts';
import { ticketText } from './made-codes.ts';
import { environments, isPage } from './mini-program-codes.ts';

const base = '/api.weixin.qq.com/wxa';
const perSecond = [{ name: 'second', uses: 100, ms: 1000 }];
const day = 86_400_000;

export function mountLinks(router: SandboxRouter, parts: Parts): void {
  const { faults, respond } = parts;
  for (const [name, generate] of [
    ['generate_urllink', urlLink],
    ['generatescheme', scheme],
  ] as const) {
    const broken = breakable(faults, name, (ctx, fault) => respond(ctx, faultAnswer(fault)));
    router.get(`${base}/${name}`, (ctx) => respond(ctx, 43002));
    router.post(`${base}/${name}`, broken, async (ctx) => respond(ctx, await generate(parts, ctx)));
  }
}

const expiry = {
  expire_type: z.union([z.literal(0), z.literal(1)]).default(0),
  expire_time: z.number().optional(),
  expire_interval: z.number().optional(),
};
const goal = {
  path: z.string().default(''),
  query: z.string().default(''),
  env_version: z.string().default('release'),
};
const linkBody = z.object({ ...goal, ...expiry });
const schemeBody = z.object({
  jump_wxa: z.object(goal).default({ path: '', query: '', env_version: 'release' }),
  ...expiry,
});

async function urlLink(parts: Parts, ctx: Context): Promise<Answer> {
  const app = miniProgram(parts, ctx);
  if ('errcode' in app) return app;
  const body = await readPosted(ctx, linkBody);
  if ('errcode' in body) return body;
  const refusal = check(parts, app, { ...body, api: 'generate_urllink' });
  if (refusal) return refusal;
  const ticket = ticketText(9);
  const url_link = `http://${ctx.host}/wxaurl.cn/${ticket}`;
  keep(parts, app, { kind: 'link', ticket, url: url_link, body });
  return { errcode: 0, errmsg: 'ok', url_link };
}

async function scheme(parts: Parts, ctx: Context): Promise<Answer> {
  const app = miniProgram(parts, ctx);
  if ('errcode' in app) return app;
  const body = await readPosted(ctx, schemeBody);
  if ('errcode' in body) return body;
  const link = { ...body, ...body.jump_wxa };
  const refusal = check(parts, app, { ...link, api: 'generatescheme' });
  if (refusal) return refusal;
  const ticket = ticketText(24);
  const openlink = `weixin://dl/business/?t=${ticket}`;
  keep(parts, app, { kind: 'scheme', ticket, url: openlink, body: link });
  return { errcode: 0, errmsg: 'ok', openlink };
}

function miniProgram(parts: Parts, ctx: Context): WechatApp | { errcode: number } {
  const app = appOfToken(parts, ctx);
  if ('errcode' in app) return app;
  return app.kind === 'miniprogram' ? app : { errcode: 48001 };
}

type Goal = z.infer<typeof linkBody>;

function check(
  parts: Parts,
  app: WechatApp,
  { api, path, query, env_version, ...expiry }: Goal & { api: 'generate_urllink' | 'generatescheme' },
): number | undefined {
  // The vendor's own examples write the path with a slash here.
  if (path.includes('?') || !isPage(app, withoutSlash(path))) return 40165;
  if (query.length > 1024 || !/^[\w!#$&'()*+,/:;=?@.~%-]*$/.test(query)) return 40212;
  if (!environments.includes(env_version)) return 85402;
  if (expiresAt(parts, expiry) === undefined) return 85401;
  if (parts.faults.limited(api) && parts.rate(`${api} ${app.appid}`, perSecond)) return 44990;
  return undefined;
}

/** Undefined outside 1 minute to 30 days, and when nothing says when. */
function expiresAt(
  { clock }: Pick<Parts, 'clock'>,
  { expire_type, expire_time, expire_interval }: Omit<Goal, 'path' | 'query' | 'env_version'>,
): number | undefined {
  const now = clock.now().getTime();
  const at = expire_type === 1 ? now + (expire_interval ?? 0) * day : (expire_time ?? 0) * 1000;
  return at - now >= 60_000 && at - now <= 30 * day ? at : undefined;
}

function keep(
  parts: Parts,
  { appid }: WechatApp,
  { kind, ticket, url, body }: { kind: 'link' | 'scheme'; ticket: string; url: string; body: Goal },
): void {
  const expires_at = expiresAt(parts, body) ?? 0;
  parts.made.keep({ kind, appid, ticket, path: withoutSlash(body.path), query: body.query, expires_at, url });
}

function withoutSlash(path: string): string {
  return path.replace(/^\//, '');
}
