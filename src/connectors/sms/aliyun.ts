/**
 * Alibaba Cloud SMS (阿里云短信服务), action SendSms of version 2017-05-25.
 *
 * Parameters travel in the signed form body: a query string would leave number and code in the access logs on the way. The host
 * and path that are signed are those of base_url, as they go over the wire.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { z } from 'zod';
import { fail } from '../../errors.ts';
import { type ConnectorServices, secret } from '../contract.ts';
import type { Delivery } from '../one-time-code.ts';
import { callUpstream, upstreamTimeout } from '../upstream.ts';
import { encodeForm, sha256, signAcs3 } from './acs3.ts';
import { baseUrl, type SmsMessage, signName } from './message.ts';
import { type Outcome, type Provider, readOutcome, toDelivery } from './outcome.ts';

export const aliyunSettings = z.object({
  provider: z.literal('aliyun'),
  access_key_id: z.string().min(1).max(128).describe('of a RAM user that may do nothing but send'),
  access_key_secret: z.string().min(1).max(128).meta(secret),
  sign_name: signName,
  template_code: z
    .string()
    .regex(/^SMS_\w+$/, 'looks like SMS_123456789')
    .describe('an approved template with one variable, called code'),
  notice_template_code: z
    .string()
    .regex(/^SMS_\w+$/, 'looks like SMS_123456789')
    .optional()
    .describe('an approved template with two variables, called what and at: tells what changed on an account'),
  base_url: baseUrl('https://dysmsapi.aliyuncs.com'),
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
  if (first.code !== 'isp.SYSTEM_ERROR') return toDelivery(services, aliyun, first);
  await wait(200);
  return toDelivery(services, aliyun, await attempt(services, settings, message, crypto.randomUUID(), signal));
}

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
  if (answer.ok || !answer.arrived || answer.reason === 'TIMEOUT') return readOutcome(answer, readBody);
  const again = readOutcome(await callUpstream({ ...request, signal }), readBody);
  if (again.code === 'SignatureNonceUsed') return { code: 'OK', maybe_sent: true };
  return { ...again, maybe_sent: again.maybe_sent || again.request_id === undefined };
}

function signedRequest({ clock }: Services, settings: AliyunSettings, message: SmsMessage, nonce: string) {
  const url = new URL(settings.base_url);
  const { phone, otp_id } = message;
  const isCode = 'code' in message;
  const body = encodeForm({
    // Mainland numbers as eleven digits, others as country code and number without +.
    PhoneNumbers: phone.replace(/^\+(86)?/, ''),
    SignName: settings.sign_name,
    TemplateCode: isCode ? settings.template_code : (settings.notice_template_code ?? ''),
    TemplateParam: JSON.stringify(isCode ? { code: message.code } : message.notice),
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
const answerBody = z.object({
  Code: z.string(),
  Message: z.coerce.string().optional(),
  RequestId: z.string().optional(),
  BizId: z.string().optional(),
});

function readBody(body: unknown): Outcome | undefined {
  const answer = answerBody.safeParse(body).data;
  if (!answer) return undefined;
  const { Code, Message = '', RequestId = '', BizId } = answer;
  return { code: Code, text: Message, request_id: RequestId, ...(BizId && { message_id: BizId }), maybe_sent: false };
}

const aliyun: Provider = {
  name: 'aliyun',
  accepted: 'OK',
  passing: /^(isp\.SYSTEM_ERROR|ServiceUnavailable|InternalError|Throttling.*|SignatureNonceUsed)$/,
  personal({ code, text }) {
    switch (code) {
      case 'isv.BUSINESS_LIMIT_CONTROL':
        return flowControl(text ?? '');
      case 'isv.MOBILE_NUMBER_ILLEGAL':
        return fail('phone_invalid');
      case 'isv.DOMESTIC_NUMBER_NOT_SUPPORTED':
        return fail('phone_region_refused');
      case 'isv.CUSTOMER_REFUSED':
        return fail('send_refused');
      default:
        return undefined;
    }
  },
};

/** 「触发分钟级流控Permits:1」, 小时级, 天级: the provider's own limits for one number. */
function flowControl(text: string) {
  if (text.includes('小时')) return fail('too_many_requests', { retryAfterSeconds: 3600 });
  if (text.includes('天')) return fail('too_many_requests', { retryAfterSeconds: 86_400 });
  return fail('code_too_soon', { retryAfterSeconds: 60 });
}
