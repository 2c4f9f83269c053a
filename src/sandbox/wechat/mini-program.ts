/** What a mini-program's server asks: who took this login code, which number this phone code stands for, is this key alive. */
import { z } from 'zod';
import type { Context } from '../../http/server.ts';
import { breakable } from '../faults.ts';
import { type Parts, query, type SandboxRouter } from '../parts.ts';
import { splitE164 } from '../phone.ts';
import { type Answer, faultAnswer } from './answers.ts';
import { readPosted } from './body.ts';
import { appOfToken, authenticate } from './credentials.ts';

const base = '/api.weixin.qq.com';
const perMinute = [{ name: 'minute', uses: 100, ms: 60_000 }];

export function mountMiniProgram(router: SandboxRouter, parts: Parts): void {
  const { faults, respond } = parts;
  const broken = (target: 'jscode2session' | 'checksession' | 'getuserphonenumber') =>
    breakable(faults, target, (ctx, fault) => respond(ctx, faultAnswer(fault)));
  const phone = `${base}/wxa/business/getuserphonenumber`;
  router.get(`${base}/sns/jscode2session`, broken('jscode2session'), (ctx) => respond(ctx, codeToSession(parts, ctx)));
  router.get(`${base}/wxa/checksession`, broken('checksession'), (ctx) => respond(ctx, checkSession(parts, ctx)));
  router.get(phone, (ctx) => respond(ctx, 43002));
  router.post(phone, broken('getuserphonenumber'), async (ctx) => respond(ctx, await phoneNumber(parts, ctx)));
}

function codeToSession(parts: Parts, ctx: Context): Answer {
  const { state, codes, sessions, rate, faults } = parts;
  const app = authenticate(parts, { appid: query(ctx, 'appid'), secret: query(ctx, 'secret') });
  if ('errcode' in app) return app;
  const text = query(ctx, 'js_code');
  if (!text) return 41008;
  if (query(ctx, 'grant_type') !== 'authorization_code') return 40002;
  const code = codes.find(text, { kind: 'login', appid: app.appid });
  if (code === 'used') return 40163;
  const person = code === 'unknown' ? undefined : state.person(code.person_id);
  if (!person || person.closed) return 40029;
  const openid = state.openid(app, person);
  if (faults.limited('jscode2session') && rate(`jscode2session ${openid}`, perMinute)) return 45011;
  if (person.blocked) return 40226;
  codes.use(text);
  state.authorise(app, person);
  const unionid = state.unionid(app, person);
  return { session_key: sessions.key(openid), openid, ...(unionid && { unionid }) };
}

function checkSession(parts: Parts, ctx: Context): Answer {
  const { state, sessions } = parts;
  const app = appOfToken(parts, ctx);
  if ('errcode' in app) return app;
  const openid = query(ctx, 'openid');
  if (!openid) return 41009;
  if (!state.people().some((person) => state.openid(app, person) === openid)) return 40003;
  if (query(ctx, 'sig_method') !== 'hmac_sha256') return 87008;
  const outcome = sessions.check(openid, query(ctx, 'signature') ?? '');
  if (outcome === 'ok') return { errcode: 0, errmsg: 'ok' };
  return outcome === 'unknown' ? 87007 : 87009;
}

const phoneBody = z.object({ code: z.string().optional(), openid: z.string().optional() });

async function phoneNumber(parts: Parts, ctx: Context): Promise<Answer> {
  const { state, codes, clock } = parts;
  const app = appOfToken(parts, ctx);
  if ('errcode' in app) return app;
  const body = await readPosted(ctx, phoneBody);
  if ('errcode' in body) return body;
  if (!body.code) return 41008;
  const code = codes.find(body.code, { kind: 'phone' });
  // The vendor's page lists no 40163 here: a used phone code is an invalid one.
  if (code === 'used' || code === 'unknown') return 40029;
  if (code.appid !== app.appid) return 40013;
  const person = state.person(code.person_id);
  if (!person || person.closed || !code.phone) return 40029;
  // That a foreign openid is refused is documented, with which errcode is not: the code is then not this person's, 40029.
  if (body.openid && !/^o[\w-]{27}$/.test(body.openid)) return 40003;
  if (body.openid && body.openid !== state.openid(app, person)) return 40029;
  codes.use(body.code);
  const { countryCode, purePhoneNumber } = splitE164(code.phone);
  const phoneNumber = countryCode === '86' ? purePhoneNumber : `${countryCode}${purePhoneNumber}`;
  const watermark = { timestamp: Math.floor(clock.now().getTime() / 1000), appid: app.appid };
  return { errcode: 0, errmsg: 'ok', phone_info: { phoneNumber, purePhoneNumber, countryCode, watermark } };
}
