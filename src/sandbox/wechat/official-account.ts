/** What an official account's server asks: a QR code with a parameter, its picture, and who a follower is. */
import { z } from 'zod';
import type { Context } from '../../http/server.ts';
import { breakable } from '../faults.ts';
import { type Parts, query, type SandboxRouter } from '../parts.ts';
import { qrPicture } from '../qr-picture.ts';
import type { WechatApp } from '../state.ts';
import { type Answer, faultAnswer } from './answers.ts';
import { readPosted } from './body.ts';
import { appOfToken } from './credentials.ts';
import { ticketText } from './made-codes.ts';

const base = '/api.weixin.qq.com/cgi-bin';
const longest = 2_592_000;

export function mountOfficialAccount(router: SandboxRouter, parts: Parts): void {
  const { faults, respond } = parts;
  const broken = (target: 'qrcode_create' | 'user_info' | 'showqrcode') =>
    breakable(faults, target, (ctx, fault) => respond(ctx, faultAnswer(fault)));
  router.get(`${base}/qrcode/create`, (ctx) => respond(ctx, 43002));
  router.post(`${base}/qrcode/create`, broken('qrcode_create'), async (ctx) =>
    respond(ctx, await createQrCode(parts, ctx)),
  );
  router.get(`${base}/user/info`, broken('user_info'), (ctx) => respond(ctx, userInfo(parts, ctx)));
  router.get('/mp.weixin.qq.com/cgi-bin/showqrcode', broken('showqrcode'), (ctx) => showQrCode(parts, ctx));
}

function officialAccount(parts: Parts, ctx: Context): WechatApp | { errcode: number } {
  const app = appOfToken(parts, ctx);
  if ('errcode' in app) return app;
  return app.kind === 'official_account' ? app : { errcode: 48001 };
}

const qrCodeBody = z.object({
  action_name: z.string().default(''),
  expire_seconds: z.number().optional(),
  action_info: z
    .object({ scene: z.object({ scene_id: z.number().optional(), scene_str: z.string().optional() }).default({}) })
    .default({ scene: {} }),
});

/** A scene that is a number: 32 bits for a code that expires, 1 to 100000 for a permanent one. */
const greatest: Record<string, number> = { QR_SCENE: 0xffff_ffff, QR_LIMIT_SCENE: 100_000 };

async function createQrCode(parts: Parts, ctx: Context): Promise<Answer> {
  const app = officialAccount(parts, ctx);
  if ('errcode' in app) return app;
  const body = await readPosted(ctx, qrCodeBody);
  if ('errcode' in body) return body;
  const { action_name, action_info } = body;
  if (!/^QR_(LIMIT_)?(STR_)?SCENE$/.test(action_name)) return 40052;
  const scene = sceneOf(action_name, action_info.scene);
  if (scene === undefined) return 40053;
  const isPermanent = action_name.includes('LIMIT');
  const seconds = body.expire_seconds ?? 60;
  if (!isPermanent && !(Number.isInteger(seconds) && seconds > 0 && seconds <= longest)) return 40097;
  const ticket = `gQ${ticketText(58)}==`;
  const key = `02${ticketText(16)}`;
  const url = `http://${ctx.host}/weixin.qq.com/q/${key}`;
  const expires_at = isPermanent ? null : parts.clock.now().getTime() + seconds * 1000;
  parts.made.keep({ kind: 'account', appid: app.appid, ticket, key, scene, expires_at, url });
  return { ticket, ...(!isPermanent && { expire_seconds: seconds }), url };
}

function sceneOf(
  action_name: string,
  { scene_id, scene_str }: { scene_id?: number | undefined; scene_str?: string | undefined },
): number | string | undefined {
  const most = greatest[action_name];
  if (most === undefined) return scene_str && [...scene_str].length <= 64 ? scene_str : undefined;
  return scene_id && Number.isInteger(scene_id) && scene_id > 0 && scene_id <= most ? scene_id : undefined;
}

/** An unknown ticket is a 404, the one refusal here that is no JSON. */
function showQrCode({ made }: Parts, ctx: Context): void {
  const code = made.account(query(ctx, 'ticket') ?? '');
  if (!code || code === 'expired') {
    ctx.status = 404;
    ctx.body = '';
    return;
  }
  ctx.type = 'image/png';
  ctx.body = qrPicture(code.url, 430);
}

function userInfo(parts: Parts, ctx: Context): Answer {
  const { state } = parts;
  const app = officialAccount(parts, ctx);
  if ('errcode' in app) return app;
  const openid = query(ctx, 'openid');
  if (!openid) return 41009;
  const person = state.personOf(app, openid);
  if (!person) return 40003;
  const follower = state.follower(app, person);
  // Of who does not follow, WeChat tells nothing but that.
  if (!follower) return { subscribe: 0, openid, tagid_list: [] };
  const unionid = state.unionid(app, person);
  const { scene, followed_at } = follower;
  return {
    subscribe: 1,
    openid,
    // Since the end of 2021 neither nickname nor picture comes with it.
    nickname: '',
    sex: 0,
    language: query(ctx, 'lang') ?? 'zh_CN',
    city: '',
    province: '',
    country: '',
    headimgurl: '',
    subscribe_time: Math.floor(Date.parse(followed_at) / 1000),
    ...(unionid && { unionid }),
    remark: '',
    groupid: 0,
    tagid_list: [],
    subscribe_scene: scene === null ? 'ADD_SCENE_SEARCH' : 'ADD_SCENE_QR_CODE',
    qr_scene: typeof scene === 'number' ? scene : 0,
    qr_scene_str: typeof scene === 'string' ? scene : '',
  };
}
