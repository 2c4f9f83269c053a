/**
 * Faults on order: the next calls of one API answer with an error, late, brokenly or not at all, as the real ones do on a bad
 * day. Also the switch between the vendors' rate limits and none.
 *
 * A fault strikes before the API does its work, so no code is used up; `reset: "after"` strikes when the work is done and
 * only the answer is lost.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import type { Context, Middleware } from '../http/server.ts';

/** Every API by the last word of its path (and the one before, where that says nothing); `wechat` stands for all of WeChat's. */
const wechatTargets = [
  'jscode2session',
  'token',
  'stable_token',
  'getuserphonenumber',
  'checksession',
  'access_token',
  'refresh_token',
  'auth',
  'userinfo',
  'qrconnect',
  'authorize',
  'getwxacodeunlimit',
  'generate_urllink',
  'generatescheme',
  'qrcode_create',
  'showqrcode',
  'user_info',
] as const;
export const targets = [...wechatTargets, 'wechat', 'aliyun_sms', 'tencent_sms', 'sms_report', 'smtp'] as const;
export type Target = (typeof targets)[number];

const aliases: Record<string, Target> = {
  create: 'qrcode_create',
  info: 'user_info',
  'api.weixin.qq.com': 'wechat',
  'dysmsapi.aliyuncs.com': 'aliyun_sms',
  'sms.tencentcloudapi.com': 'tencent_sms',
};

/** `sns/jscode2session` and a vendor's host name are understood too. */
export const targetSchema = z.preprocess((value) => {
  const word = typeof value === 'string' ? value.replace(/\/+$/, '').replace(/^.*\//, '') : value;
  return typeof word === 'string' ? (aliases[word] ?? word) : word;
}, z.enum(targets));

export const faultSchema = z
  .strictObject({
    target: targetSchema,
    errcode: z.union([z.number().int(), z.string().min(1)]).optional(),
    errmsg: z.string().optional(),
    status: z.number().int().min(200).max(599).optional(),
    body: z.union([z.string(), z.record(z.string(), z.unknown())]).optional(),
    delay_ms: z.number().int().min(0).max(120_000).optional(),
    reset: z.union([z.boolean(), z.literal('after')]).optional(),
    times: z.number().int().min(1).optional(),
    limits: z.enum(['vendor', 'off']).optional(),
  })
  .refine((fault) => Object.keys(fault).some((key) => key !== 'target' && key !== 'times'), {
    message: 'say what goes wrong: errcode, status, body, delay_ms or reset (or limits: "vendor" | "off")',
  });
export type Fault = z.infer<typeof faultSchema>;

export type Faults = {
  /** One fault a target: a new one takes the old one's place. */
  put(fault: Fault): void;
  remove(target?: Target): void;
  list(): Fault[];
  /** The fault that strikes this call, counted down. */
  strike(target: Target): Fault | undefined;
  /** Whether the vendor's own rate limits are to be played. */
  limited(target: Target): boolean;
};

/**
 * SMS flow control (1 a minute, 5 an hour, 10 a day for one number) starts switched off: whoever plays the demo or runs tests
 * uses one number all afternoon. `PUT /faults {"target": "aliyun_sms", "limits": "vendor"}` plays it. WeChat's limits are on.
 */
const unlimited: ReadonlySet<Target> = new Set<Target>(['aliyun_sms', 'tencent_sms']);

export function createFaults(): Faults {
  const faults = new Map<Target, Fault>();
  const limits = new Map<Target, 'vendor' | 'off'>();
  const find = <Value>(entries: Map<Target, Value>, target: Target) =>
    entries.get(target) ?? ((wechatTargets as readonly Target[]).includes(target) ? entries.get('wechat') : undefined);
  return {
    put(fault) {
      if (fault.limits) limits.set(fault.target, fault.limits);
      if (strikes(fault)) faults.set(fault.target, fault);
    },
    remove(target) {
      for (const entries of [faults, limits]) {
        if (target) entries.delete(target);
        else entries.clear();
      }
    },
    list() {
      const switched = [...limits].filter(([target]) => !faults.has(target));
      return [
        ...[...faults.values()].map((fault) => ({ ...fault, limits: limits.get(fault.target) })),
        ...switched.map(([target, limits]) => ({ target, limits })),
      ];
    },
    strike(target) {
      const fault = find(faults, target);
      if (fault?.times === 1) faults.delete(fault.target);
      else if (fault?.times) faults.set(fault.target, { ...fault, times: fault.times - 1 });
      return fault;
    },
    limited(target) {
      const switched = find(limits, target);
      return switched ? switched === 'vendor' : !unlimited.has(target);
    },
  };
}

function strikes({ errcode, status, body, delay_ms, reset }: Fault): boolean {
  return [errcode, status, body, delay_ms].some((effect) => effect !== undefined) || Boolean(reset);
}

/** In front of an API's handler. `answerError` writes the vendor's form of an error. */
export function breakable(
  faults: Faults,
  target: Target,
  answerError: (ctx: Context, fault: Fault) => void,
): Middleware {
  return async (ctx, next) => {
    const fault = faults.strike(target);
    if (!fault) return next();
    if (fault.delay_ms) await pause(fault.delay_ms);
    if (fault.reset === true) return reset(ctx);
    if (fault.body !== undefined) return answerBody(ctx, fault.body, fault.status ?? 200);
    if (fault.errcode !== undefined) {
      ctx.status = fault.status ?? 200;
      return answerError(ctx, fault);
    }
    if (fault.status !== undefined) return answerBody(ctx, gatewayPage(fault.status), fault.status);
    await next();
    if (fault.reset === 'after') reset(ctx);
  };
}

function reset(ctx: Context): void {
  ctx.respond = false;
  ctx.req.socket.resetAndDestroy();
}

function answerBody(ctx: Context, body: NonNullable<Fault['body']>, status: number): void {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  ctx.status = status;
  ctx.set('Content-Type', text.startsWith('<') ? 'text/html' : 'text/plain');
  ctx.body = text;
}

function gatewayPage(status: number): string {
  return `<html>\r\n<head><title>${status}</title></head>\r\n<body>\r\n<center><h1>${status}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n`;
}
