/** wxa/getwxacodeunlimit: the picture of a mini-program code, and what its address says. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { projectRoot } from '../../config.ts';
import type { Context } from '../../http/server.ts';
import { sandboxApps } from '../constants.ts';
import { breakable } from '../faults.ts';
import type { Parts, SandboxRouter } from '../parts.ts';
import { qrPicture } from '../qr-picture.ts';
import type { WechatApp } from '../state.ts';
import { type Answer, faultAnswer } from './answers.ts';
import { readPosted } from './body.ts';
import { appOfToken } from './credentials.ts';

const path = '/api.weixin.qq.com/wxa/getwxacodeunlimit';
const perMinute = [{ name: 'minute', uses: 5000, ms: 60_000 }];

export function mountMiniProgramCodes(router: SandboxRouter, parts: Parts): void {
  const { faults, respond } = parts;
  const broken = breakable(faults, 'getwxacodeunlimit', (ctx, fault) => respond(ctx, faultAnswer(fault)));
  router.get(path, (ctx) => respond(ctx, 43002));
  router.post(path, broken, async (ctx) => {
    const answer = await picture(parts, ctx);
    if (!Buffer.isBuffer(answer)) return respond(ctx, answer);
    ctx.type = 'image/png';
    ctx.body = answer;
  });
}

export const environments = ['release', 'trial', 'develop'];

const codeBody = z.object({
  scene: z.string().default(''),
  page: z.string().default(''),
  check_path: z.boolean().default(true),
  env_version: z.string().default('release'),
  width: z.number().default(430),
  auto_color: z.boolean().optional(),
  is_hyaline: z.boolean().optional(),
  line_color: z.record(z.string(), z.unknown()).optional(),
});

async function picture(parts: Parts, ctx: Context): Promise<Buffer | Answer> {
  const app = appOfToken(parts, ctx);
  if ('errcode' in app) return app;
  if (app.kind !== 'miniprogram') return 48001;
  const body = await readPosted(ctx, codeBody);
  if ('errcode' in body) return body;
  const { scene, page, check_path, env_version, width } = body;
  if (!/^[\w!#$&'()*+,/:;=?@.~-]{1,32}$/.test(scene)) return 40129;
  if (check_path && !isPage(app, page)) return 41030;
  if (!isPath(page) || !environments.includes(env_version)) return 40097;
  if (!Number.isInteger(width) || width < 280 || width > 1280) return 40097;
  if (parts.faults.limited('getwxacodeunlimit') && parts.rate(`getwxacodeunlimit ${app.appid}`, perMinute))
    return 45009;
  const code = { appid: app.appid, page, scene, env_version };
  const url = `http://${ctx.host}/weixin.qq.com/wxacode?${new URLSearchParams(code)}`;
  parts.made.keep({ kind: 'wxacode', ...code, url });
  return qrPicture(url, width);
}

/** No leading slash and no query; empty means the home page. */
function isPath(page: string): boolean {
  return !/^\/|\?/.test(page);
}

/** In the released version, which is known of the demo alone: of any other app every page is taken for released. */
export function isPage(app: WechatApp, page: string): boolean {
  if (app.appid !== sandboxApps.miniprogram.appid || page === '') return isPath(page);
  return releasedPages().includes(page);
}

const manifest = z.object({ pages: z.array(z.string()) });

export function releasedPages(): string[] {
  return manifest.parse(JSON.parse(readFileSync(join(projectRoot, 'views/demo/miniprogram/app.json'), 'utf8'))).pages;
}
