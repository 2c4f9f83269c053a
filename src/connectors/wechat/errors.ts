/** What WeChat's errcodes mean: to the person in front of the mini-program, and to the operator. One table for all APIs. */
import { type AppError, type ErrorCode, fail } from '../../errors.ts';
import type { Logger } from '../../log.ts';
import { isWechatError, type WechatError } from './client.ts';

const codeInvalid = [40029, 40163, 41008, 42003, 40003];
const refused = [40226, 50002];
/** Wrong or frozen appid or secret, address not on the white list, API not granted, administrator's confirmation missing. */
const misconfigured = [
  40001, 40002, 40013, 40125, 40164, 40243, 41002, 41004, 48001, 50004, 50007, 89503, 89506, 89507,
  // Codes and links: a page that is not in the version people have, an app that may not make links or is not released.
  40097, 40165, 40212, 41030, 85079, 85088, 85096, 85402, 85407, 85408,
];

/** The app token is void: fetch another one and repeat the call once. */
export const tokenVoid = new Set([40001, 40014, 42001]);

/** Seconds after which trying again makes sense. 45011 is a limit a minute, 45009 one a day. */
const patience: Record<number, number> = { 45009: 600, 45011: 60 };

/** What cannot be a code is not sent: WeChat counts and charges by the call. */
export function acceptable(code: string): string {
  if (!/^[\x21-\x7e]{1,512}$/.test(code)) throw fail('wechat_code_invalid');
  return code;
}

/** Turns a WechatError into what a client may see and logs what the operator has to know; other errors pass unchanged. */
export function explain(
  error: unknown,
  { log, appid, connector }: { log: Logger; appid: string; connector: string },
): unknown {
  if (!isWechatError(error)) return error;
  const entry = { connector, appid, api: error.api, errcode: error.errcode };
  const code = meaning(error);
  if (code === 'wechat_misconfigured')
    log.error(entry, `${error.message}: check this app's appid, secret and white list`);
  else if (code === 'upstream_unavailable') log.warn(entry, error.message);
  else log.info(entry, error.message);
  return failWith(code, error);
}

function meaning({ api, errcode }: WechatError): ErrorCode {
  if (errcode === undefined) return 'upstream_unavailable';
  // Here 40013 does not mean a wrong appid (the app token was just given for it) but the phone code of another app (threat C3).
  if (errcode === 40013 && api.endsWith('getuserphonenumber')) return 'wechat_code_invalid';
  if (codeInvalid.includes(errcode)) return 'wechat_code_invalid';
  if (refused.includes(errcode)) return 'wechat_refused';
  return misconfigured.includes(errcode) ? 'wechat_misconfigured' : 'upstream_unavailable';
}

function failWith(code: ErrorCode, cause: WechatError): AppError {
  const retryAfterSeconds =
    code === 'upstream_unavailable'
      ? (patience[cause.errcode ?? 0] ?? 5)
      : code === 'wechat_misconfigured'
        ? 60
        : undefined;
  return fail(code, { cause, ...(retryAfterSeconds ? { retryAfterSeconds } : {}) });
}
