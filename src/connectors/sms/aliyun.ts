/**
 * Alibaba Cloud SMS (阿里云短信服务), action SendSms of version 2017-05-25.
 *
 * Parameters travel in the signed form body: a query string would leave number and code in the access logs on the way. The host
 * and path that are signed are those of base_url, as they go over the wire.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { z } from 'zod';
import { type ErrorCode, fail } from '../../errors.ts';
import { type ConnectorServices, secret } from '../contract.ts';
import type { Delivery } from '../one-time-code.ts';
import { callUpstream, isSafeBase, type UpstreamAnswer, upstreamTimeout } from '../upstream.ts';
import { encodeForm, sha256, signAcs3 } from './acs3.ts';
import type { SmsMessage } from './gateway.ts';

export const aliyunSettings = z.object({
  provider: z.literal('aliyun'),
  access_key_id: z.string().min(1).max(128).describe('of a RAM user that may do nothing but send'),
  access_key_secret: z.string().min(1).max(128).meta(secret),
  sign_name: z
    .string()
    .min(1)
    .max(64)
    .regex(/^[^【】]+$/, 'is written without 【】')
    .describe('the approved signature, without 【】'),
  template_code: z
    .string()
    .regex(/^SMS_\w+$/, 'looks like SMS_123456789')
    .describe('an approved template with one variable, called code'),
  base_url: z
    .string()
    .default('https://dysmsapi.aliyuncs.com')
    .refine(isSafeBase, 'must be an https address (http only on this machine)')
    .describe("another region's address"),
});
export type AliyunSettings = z.infer<typeof aliyunSettings>;

type Services = Pick<ConnectorServices, 'clock' | 'log'>;

export async function sendByAliyun(
  services: Services,
  settings: AliyunSettings,
  message: SmsMessage,
): Promise<Delivery> {
  const signal = AbortSignal.timeout(upstreamTimeout);
  const first = await attempt(services, settings, message, crypto.randomUUID(), signal);
  // The one fault that Alibaba documents as "try again"; a refused request needs a fresh nonce.
  if (first.code !== 'isp.SYSTEM_ERROR') return delivered(services, first);
  await wait(200);
  return delivered(services, await attempt(services, settings, message, crypto.randomUUID(), signal));
}

/** `maybe_sent`: no OK was read, and yet a message may be on its way. */
type Outcome = { code: string; text?: string; request_id?: string; maybe_sent: boolean };

async function attempt(
  services: Services,
  settings: AliyunSettings,
  message: SmsMessage,
  nonce: string,
  signal: AbortSignal,
): Promise<Outcome> {
  const request = signedRequest(services, settings, message, nonce);
  const answer = await callUpstream({ ...request, signal });
  // A connection that broke: the same request again, with the same nonce. If the first one had arrived, the gateway refuses the
  // nonce, and that says the message is on its way: never two messages for one code (threat B11).
  if (answer.ok || !answer.arrived || answer.reason === 'TIMEOUT') return read(answer);
  const again = read(await callUpstream({ ...request, signal }));
  if (again.code === 'SignatureNonceUsed') return { code: 'OK', maybe_sent: true };
  return { ...again, maybe_sent: again.maybe_sent || again.request_id === undefined };
}

function signedRequest(
  { clock }: Services,
  settings: AliyunSettings,
  { phone, code, otp_id }: SmsMessage,
  nonce: string,
) {
  const url = new URL(settings.base_url);
  const body = encodeForm({
    // Mainland numbers as eleven digits, others as country code and number without +.
    PhoneNumbers: phone.replace(/^\+(86)?/, ''),
    SignName: settings.sign_name,
    TemplateCode: settings.template_code,
    TemplateParam: JSON.stringify({ code }),
    OutId: otp_id,
  });
  const headers = {
    host: url.host,
    'content-type': 'application/x-www-form-urlencoded',
    'x-acs-action': 'SendSms',
    'x-acs-version': '2017-05-25',
    'x-acs-date': clock
      .now()
      .toISOString()
      .replace(/\.\d+Z$/, 'Z'),
    'x-acs-signature-nonce': nonce,
    'x-acs-content-sha256': sha256(body),
  };
  const { authorization } = signAcs3({ method: 'POST', path: url.pathname, query: {}, headers, body }, settings);
  return { base: settings.base_url, url, method: 'POST' as const, headers: { ...headers, authorization }, body };
}

/** Business faults come with HTTP 200, faults of the gateway with 4xx; both name a `Code`. */
function read(answer: UpstreamAnswer): Outcome {
  if (!answer.ok) return { code: answer.reason, maybe_sent: answer.arrived };
  try {
    const { Code, Message, RequestId } = JSON.parse(answer.text);
    if (typeof Code === 'string') {
      return { code: Code, text: String(Message ?? ''), request_id: String(RequestId ?? ''), maybe_sent: false };
    }
  } catch {
    // Not JSON: an error page of something on the way.
  }
  return { code: `HTTP_${answer.status}`, maybe_sent: answer.status < 400 || answer.status >= 500 };
}

/** What the person can do something about. Everything else is the operator's, and the person may try again. */
const personal: Record<string, ErrorCode> = {
  'isv.MOBILE_NUMBER_ILLEGAL': 'phone_invalid',
  'isv.DOMESTIC_NUMBER_NOT_SUPPORTED': 'phone_region_refused',
  'isv.CUSTOMER_REFUSED': 'send_refused',
};

const passing =
  /^(isp\.SYSTEM_ERROR|ServiceUnavailable|InternalError|Throttling.*|SignatureNonceUsed|TIMEOUT|NETWORK|HTTP_.*|E[A-Z_]+|UND_ERR.*|ANSWER_TOO_LARGE|CIRCUIT_OPEN)$/;

function delivered({ log }: Services, { code, text, request_id, maybe_sent }: Outcome): Delivery {
  if (code === 'OK') return { result: 'sent' };
  const result = maybe_sent ? 'unknown' : 'failed';
  if (code === 'isv.BUSINESS_LIMIT_CONTROL') return { result, error: flowControl(text ?? '') };
  const mine = personal[code];
  if (mine) return { result, error: fail(mine) };
  // Alibaba's own text may quote the number or a parameter, so the log gets its code and request id only.
  const entry = { connector: 'sms', provider: 'aliyun', fault: code, request_id };
  if (passing.test(code)) log.warn(entry, 'sms: the provider does not answer as it should');
  else log.error(entry, 'sms: check the account, signature, template and keys of this connector');
  return { result, error: fail('upstream_unavailable', { retryAfterSeconds: passing.test(code) ? 5 : 60 }) };
}

/** 「触发分钟级流控Permits:1」, 小时级, 天级: the provider's own limits for one number. */
function flowControl(text: string) {
  if (text.includes('小时')) return fail('too_many_requests', { retryAfterSeconds: 3600 });
  if (text.includes('天')) return fail('too_many_requests', { retryAfterSeconds: 86_400 });
  return fail('code_too_soon', { retryAfterSeconds: 60 });
}
