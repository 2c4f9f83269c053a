/** How api.weixin.qq.com speaks: HTTP 200 whatever happened, an errcode in the body, and a trace id at the end of errmsg. */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../clock.ts';
import type { Context } from '../../http/server.ts';
import type { Fault } from '../faults.ts';

const texts: Record<number, string> = {
  [-1]: 'system error',
  40001: 'invalid credential, access_token is invalid or not latest',
  40002: 'invalid grant_type',
  40003: 'invalid openid',
  40013: 'invalid appid',
  40014: 'invalid access_token',
  40029: 'invalid code',
  40030: 'invalid refresh_token',
  40052: 'invalid action name',
  40053: 'invalid action info',
  40066: 'invalid url',
  40097: 'invalid args',
  40125: 'invalid appsecret',
  40129: 'invalid scene',
  40163: 'code been used',
  40165: 'invalid weapp pagepath',
  40212: 'invalid query',
  40226: 'code blocked',
  41001: 'access_token missing',
  41002: 'appid missing',
  41003: 'refresh_token missing',
  41004: 'appsecret missing',
  41008: 'missing code',
  41009: 'openid missing',
  41030: 'invalid page',
  42001: 'access_token expired',
  42002: 'refresh_token expired',
  43002: 'require POST method',
  44002: 'empty post data',
  44990: 'reach max api second frequence limit',
  45009: 'reach max api daily quota limit',
  45011: 'api minute-quota reach limit  mustslower  retry next minute',
  47001: 'data format error',
  48001: 'api unauthorized',
  85401: 'time limit between 1min and 30days',
  85402: 'invalid env_version',
  87007: 'session_key is not existd or expired',
  87008: 'invalid sig_method',
  87009: 'invalid signature',
};

/** An errcode, an errcode with a text of its own, or the body of a success. */
export type Answer = number | { errcode: number | string; errmsg?: string } | Record<string, unknown>;
export type Respond = (ctx: Context, answer: Answer) => void;

/**
 * `sns/*` sends JSON as text/plain, the rest as JSON: a client that trusts the content type shall notice here. Every errmsg of
 * a refusal ends with a rid: the second of the answer and two random words, 8 hex digits each.
 */
export function createRespond({ clock }: { clock: Clock }): Respond {
  return (ctx, answer) => {
    const said = typeof answer === 'number' ? { errcode: answer } : answer;
    const type = ctx.path.startsWith('/api.weixin.qq.com/sns/') ? 'text/plain' : 'application/json; encoding=utf-8';
    ctx.set('Content-Type', type);
    ctx.set('Cache-Control', 'no-cache, must-revalidate');
    ctx.body = JSON.stringify(said.errcode ? { ...said, errmsg: errorText(said, clock) } : said);
  };
}

function errorText({ errcode, errmsg }: { errcode?: unknown; errmsg?: unknown }, clock: Clock): string {
  const second = Math.floor(clock.now().getTime() / 1000)
    .toString(16)
    .padStart(8, '0');
  const rid = [second, randomBytes(4).toString('hex'), randomBytes(4).toString('hex')].join('-');
  return `${errmsg ?? texts[Number(errcode)] ?? 'unknown error'}, rid: ${rid}`;
}

/** The answer of an API whose fault was ordered. */
export function faultAnswer({ errcode = -1, errmsg }: Fault): Answer {
  return errmsg === undefined ? { errcode } : { errcode, errmsg };
}
