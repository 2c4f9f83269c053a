/** sns/*: from the code of an authorise page to a person's openid, unionid and profile (website and official account). */
import { randomBytes } from 'node:crypto';
import type { Context } from '../../http/server.ts';
import { breakable } from '../faults.ts';
import { type Parts, query, type SandboxRouter } from '../parts.ts';
import { type Answer, faultAnswer } from './answers.ts';
import { authenticate } from './credentials.ts';

const base = '/api.weixin.qq.com/sns';

export function mountSnsOauth(router: SandboxRouter, parts: Parts): void {
  const { faults, respond } = parts;
  const broken = (target: 'access_token' | 'refresh_token' | 'auth' | 'userinfo') =>
    breakable(faults, target, (ctx, fault) => respond(ctx, faultAnswer(fault)));
  router.get(`${base}/oauth2/access_token`, broken('access_token'), (ctx) => respond(ctx, exchange(parts, ctx)));
  router.get(`${base}/oauth2/refresh_token`, broken('refresh_token'), (ctx) => respond(ctx, refresh(parts, ctx)));
  router.get(`${base}/auth`, broken('auth'), (ctx) => respond(ctx, check(parts, ctx)));
  router.get(`${base}/userinfo`, broken('userinfo'), (ctx) => respond(ctx, userInfo(parts, ctx)));
}

function exchange(parts: Parts, ctx: Context): Answer {
  const { state, codes, userTokens } = parts;
  const app = authenticate(parts, { appid: query(ctx, 'appid'), secret: query(ctx, 'secret') });
  if ('errcode' in app) return app;
  const text = query(ctx, 'code');
  if (!text) return 41008;
  if (query(ctx, 'grant_type') !== 'authorization_code') return 40002;
  const kind = app.kind === 'website' ? 'qrconnect' : 'official';
  const code = codes.find(text, { kind, appid: app.appid });
  if (code === 'used') return 40163;
  const person = code === 'unknown' ? undefined : state.person(code.person_id);
  if (code === 'unknown' || !person || person.closed) return 40029;
  codes.use(text);
  const scope = code.scope ?? '';
  if (code.snapshot) return snapshotTokens(parts, { appid: app.appid, person_id: person.person_id, scope });
  state.authorise(app, person);
  const openid = state.openid(app, person);
  const tokens = userTokens.issue({ appid: app.appid, person_id: person.person_id, openid, scope });
  // The silent scope tells who, by this account's own name for them, and nothing more; some accounts saw it otherwise.
  const isSilent = scope === 'snsapi_base' && !app.unionid_with_base;
  const unionid = isSilent ? undefined : state.unionid(app, person);
  return { ...tokens, ...(unionid && { unionid }) };
}

/** Of a visitor of a snapshot page everything is made up, for this visit alone. */
function snapshotTokens({ userTokens }: Parts, given: { appid: string; person_id: string; scope: string }): Answer {
  const [openid, unionid] = [madeUpId(), madeUpId()];
  const tokens = userTokens.issue({ ...given, openid, fake_unionid: unionid });
  return { ...tokens, is_snapshotuser: 1, ...(given.scope !== 'snsapi_base' && { unionid }) };
}

function madeUpId(): string {
  return `o${randomBytes(21).toString('base64url').slice(0, 27)}`;
}

function refresh({ state, userTokens }: Parts, ctx: Context): Answer {
  const appid = query(ctx, 'appid');
  if (!appid) return 41002;
  if (!state.app(appid)) return 40013;
  const text = query(ctx, 'refresh_token');
  if (!text) return 41003;
  if (query(ctx, 'grant_type') !== 'refresh_token') return 40002;
  return userTokens.refresh(text, appid);
}

function check({ userTokens }: Parts, ctx: Context): Answer {
  const grant = userTokens.check(query(ctx, 'access_token'), query(ctx, 'openid'));
  if (typeof grant === 'number') return grant;
  return { errcode: 0, errmsg: 'ok' };
}

function userInfo({ state, userTokens }: Parts, ctx: Context): Answer {
  const grant = userTokens.check(query(ctx, 'access_token'), query(ctx, 'openid'));
  if (typeof grant === 'number') return grant;
  if (grant.scope === 'snsapi_base') return 48001;
  const app = state.app(grant.appid);
  const person = state.person(grant.person_id);
  if (!app || !person) return 40003;
  // Since 2021 WeChat leaves sex and place blank; a person without a picture has an empty headimgurl.
  const blank = { sex: 0, language: '', city: '', province: '', country: '', headimgurl: '', privilege: [] };
  const { openid, fake_unionid } = grant;
  if (fake_unionid) return { openid, nickname: '微信用户', ...blank, unionid: fake_unionid };
  const unionid = state.unionid(app, person);
  return { openid, nickname: person.nickname, ...blank, ...(unionid && { unionid }) };
}
