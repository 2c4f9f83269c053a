/**
 * Calls to WeChat's server APIs. Owns time-outs, retries, tolerant reading and the error type; which errcode means what to a person
 * is errors.ts, the app's access token access-token.ts.
 *
 * WeChat answers errors with HTTP 200 and `errcode`, JSON as text/plain, and puts appsecret and js_code into query strings: what
 * an error says is built here from parts that are known to hold none of them (threat C14).
 *
 * Retried are, at most twice and within one five-second budget:
 * - `-1` (busy): WeChat says that it did nothing;
 * - a connection that was never made;
 * - a connection that broke or was silent, only when the call is `repeatable`. Those that take a single-use code are not: the
 *   code may be spent, and a second try would turn "try again" into "used code". The mini-program takes a new code instead.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { callUpstream, circuitOpen, upstreamTimeout } from '../upstream.ts';

export type WechatApp = { appid: string; secret: string; base_url: string };

export type WechatCall = {
  /** Path of the API, also its name in errors: `sns/jscode2session`. */
  api: string;
  base_url: string;
  query?: Record<string, string>;
  body?: Record<string, unknown>;
  /** True when doing it twice does no harm. */
  repeatable: boolean;
  /** The answer is a picture, and JSON when something is wrong; told apart by the first bytes, since the type lies. */
  picture?: true;
  /** Where two calls make one sign-in, they share one budget. */
  signal?: AbortSignal;
};

export type WechatError = Error & {
  name: 'WechatError';
  api: string;
  /** What WeChat said; undefined when there was no answer that could be read. */
  errcode: number | undefined;
  /** `refused`: WeChat answered with errcode. `unreadable`: an answer that is no JSON. `unreachable`: none in time. */
  kind: 'refused' | 'unreadable' | 'unreachable';
};

const backoff = [150, 500];
const busy = -1;

/** @throws WechatError */
export async function callWechat(call: WechatCall): Promise<Record<string, unknown>> {
  const signal = call.signal ?? AbortSignal.timeout(upstreamTimeout);
  for (let attempt = 0; ; attempt++) {
    const outcome = await attemptCall(call, signal);
    const pause = backoff[attempt];
    if ('answer' in outcome) return outcome.answer;
    if (!outcome.again || pause === undefined || signal.aborted) throw outcome.error;
    // Jitter, so that all processes do not come back in the same instant.
    await wait(pause * (0.5 + Math.random()));
  }
}

type Outcome = { answer: Record<string, unknown> } | { error: WechatError; again: boolean };

async function attemptCall(call: WechatCall, signal: AbortSignal): Promise<Outcome> {
  const url = new URL(`${call.base_url.replace(/\/+$/, '')}/${call.api}`);
  for (const [name, value] of Object.entries(call.query ?? {})) url.searchParams.set(name, value);
  const body = call.body && JSON.stringify(call.body);
  const reply = await callUpstream({
    base: call.base_url,
    url,
    method: body ? 'POST' : 'GET',
    headers: body ? { 'content-type': 'application/json' } : {},
    ...(body ? { body } : {}),
    signal,
  });
  if (!reply.ok) {
    const error = wechatError(call, 'unreachable', `did not answer (${reply.reason})`);
    const hopeless = reply.reason === circuitOpen || reply.reason === 'TIMEOUT';
    return { error, again: !hopeless && (call.repeatable || !reply.arrived) };
  }
  const type = call.picture && reply.status < 400 ? pictureType(reply.bytes) : undefined;
  if (type) return { answer: { type, bytes: reply.bytes } };
  const answer = parseObject(reply.text);
  if (!answer || (reply.status >= 400 && answer.errcode === undefined)) {
    const error = wechatError(call, 'unreadable', `answered HTTP ${reply.status} without JSON`);
    return { error, again: call.repeatable };
  }
  // Old gateways send the number as a string.
  const errcode = answer.errcode === undefined ? 0 : Number(answer.errcode);
  if (errcode === 0) return { answer };
  const error = wechatError(call, 'refused', `answered ${errcode} ${sayable(call, answer.errmsg)}`, errcode);
  return { error, again: errcode === busy };
}

function pictureType(bytes: Buffer): string | undefined {
  if (bytes.subarray(0, 3).equals(Buffer.from([0xff, 0xd8, 0xff]))) return 'image/jpeg';
  return bytes.subarray(0, 4).equals(Buffer.from([0x89, 0x50, 0x4e, 0x47])) ? 'image/png' : undefined;
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

function wechatError(call: WechatCall, kind: WechatError['kind'], what: string, errcode?: number): WechatError {
  return Object.assign(new Error(`WeChat ${call.api} ${what}`), {
    name: 'WechatError' as const,
    api: call.api,
    errcode,
    kind,
  });
}

/** The text of WeChat (it names the address to put on the white list, and the trace id support asks for), without what we sent. */
function sayable(call: WechatCall, errmsg: unknown): string {
  const sent = [...Object.values(call.query ?? {}), ...Object.values(call.body ?? {})];
  return sent
    .filter((value) => typeof value === 'string' && value.length >= 6)
    .reduce<string>((text, value) => text.replaceAll(String(value), '…'), String(errmsg ?? ''))
    .slice(0, 200);
}

export function isWechatError(error: unknown): error is WechatError {
  return error instanceof Error && error.name === 'WechatError';
}
