/** An app's access token: cgi-bin/token and cgi-bin/stable_token. */
import { z } from 'zod';
import type { Context } from '../../http/server.ts';
import { breakable } from '../faults.ts';
import { type Parts, query, type SandboxRouter } from '../parts.ts';
import { type Answer, faultAnswer } from './answers.ts';
import { readPosted } from './body.ts';
import { authenticateServer } from './credentials.ts';

const base = '/api.weixin.qq.com/cgi-bin';

export function mountCgiBin(router: SandboxRouter, parts: Parts): void {
  const { faults, respond } = parts;
  const broken = (target: 'token' | 'stable_token') =>
    breakable(faults, target, (ctx, fault) => respond(ctx, faultAnswer(fault)));
  router.get(`${base}/token`, broken('token'), (ctx) => respond(ctx, token(parts, ctx)));
  router.get(`${base}/stable_token`, (ctx) => respond(ctx, 43002));
  router.post(`${base}/stable_token`, broken('stable_token'), async (ctx) =>
    respond(ctx, await stableToken(parts, ctx)),
  );
}

function token(parts: Parts, ctx: Context): Answer {
  if (query(ctx, 'grant_type') !== 'client_credential') return 40002;
  const app = authenticateServer(parts, ctx, { appid: query(ctx, 'appid'), secret: query(ctx, 'secret') });
  return 'errcode' in app ? app : parts.appTokens.plain(app.appid);
}

const stableBody = z.object({
  grant_type: z.string().optional(),
  appid: z.string().optional(),
  secret: z.string().optional(),
  force_refresh: z.boolean().default(false),
});

async function stableToken(parts: Parts, ctx: Context): Promise<Answer> {
  const body = await readPosted(ctx, stableBody);
  if ('errcode' in body) return body;
  if (body.grant_type !== 'client_credential') return 40002;
  const app = authenticateServer(parts, ctx, { appid: body.appid, secret: body.secret });
  if ('errcode' in app) return app;
  const limited = parts.faults.limited('stable_token');
  const given = parts.appTokens.stable(app.appid, { force: body.force_refresh, limited });
  return given === 'quota_reached' ? 45009 : given;
}
