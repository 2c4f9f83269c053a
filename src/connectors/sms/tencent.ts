/**
 * Tencent Cloud SMS (腾讯云短信), action SendSms of version 2021-01-11.
 *
 * It has nothing that would make a repeated request harmless, so none is repeated: a connection that broke says `unknown`
 * (threat B11). Faults of the request and of the number come in two places, both with HTTP 200.
 */
import { z } from 'zod';
import { fail } from '../../errors.ts';
import { type ConnectorServices, secret } from '../contract.ts';
import { codeTtl, type Delivery } from '../one-time-code.ts';
import { callUpstream, upstreamTimeout } from '../upstream.ts';
import { baseUrl, type SmsMessage, signName } from './message.ts';
import { type Outcome, type Provider, readOutcome, toDelivery } from './outcome.ts';
import { signTc3 } from './tc3.ts';

export const tencentSettings = z.object({
  provider: z.literal('tencent'),
  secret_id: z.string().min(1).max(128).meta(secret).describe('of a CAM user that may do nothing but send'),
  secret_key: z.string().min(1).max(128).meta(secret),
  sms_sdk_app_id: z
    .string()
    .regex(/^\d{6,20}$/, 'is the SdkAppID, such as 1400006666')
    .describe('SdkAppID of the SMS application'),
  sign_name: signName,
  template_id: z
    .string()
    .regex(/^\d{1,20}$/, 'is the number of the template')
    .describe('an approved template whose first variable {1} is the code'),
  template_has_minutes: z
    .boolean()
    .default(false)
    .describe('whether the template has a second variable {2}, the minutes until the code ends'),
  notice_template_id: z
    .string()
    .regex(/^\d{1,20}$/, 'is the number of the template')
    .optional()
    .describe('an approved template that tells what changed on an account: {1} is what, {2} when'),
  region: z
    .enum(['ap-guangzhou', 'ap-beijing', 'ap-nanjing'], 'is one of ap-guangzhou, ap-beijing, ap-nanjing')
    .default('ap-guangzhou')
    .describe('region of the account'),
  base_url: baseUrl('https://sms.tencentcloudapi.com'),
});
export type TencentSettings = z.infer<typeof tencentSettings>;

type Services = Pick<ConnectorServices, 'clock' | 'log'>;

export async function sendByTencent(
  services: Services,
  settings: TencentSettings,
  message: SmsMessage,
): Promise<Delivery> {
  const signal = AbortSignal.timeout(upstreamTimeout);
  const answer = await callUpstream({ ...signedRequest(services, settings, message), signal });
  return toDelivery(services, tencent, readOutcome(answer, readBody));
}

function signedRequest({ clock }: Services, settings: TencentSettings, message: SmsMessage) {
  const url = new URL(settings.base_url);
  const { phone, otp_id } = message;
  const body = JSON.stringify({
    PhoneNumberSet: [phone],
    SmsSdkAppId: settings.sms_sdk_app_id,
    // Messages abroad have no signature.
    ...(phone.startsWith('+86') && { SignName: settings.sign_name }),
    TemplateId: 'code' in message ? settings.template_id : (settings.notice_template_id ?? ''),
    TemplateParamSet: variablesOf(settings, message),
    SessionContext: otp_id,
  });
  const signed = { 'content-type': 'application/json; charset=utf-8', host: url.host };
  const timestamp = Math.floor(clock.now().getTime() / 1000);
  const { authorization } = signTc3({ service: 'sms', path: url.pathname, timestamp, headers: signed, body }, settings);
  const headers = {
    ...signed,
    authorization,
    'x-tc-action': 'SendSms',
    'x-tc-version': '2021-01-11',
    'x-tc-timestamp': String(timestamp),
    'x-tc-region': settings.region,
  };
  return { base: settings.base_url, url, method: 'POST' as const, headers, body };
}

function variablesOf({ template_has_minutes }: TencentSettings, message: SmsMessage): string[] {
  if (!('code' in message)) return [message.notice.what, message.notice.at];
  return template_has_minutes ? [message.code, String(codeTtl / 60)] : [message.code];
}

const answerBody = z.object({
  Response: z.object({
    RequestId: z.string().optional(),
    Error: z.object({ Code: z.string() }).optional(),
    SendStatusSet: z.array(z.object({ Code: z.string(), SerialNo: z.string().optional() })).optional(),
  }),
});

/** An answer that names neither a fault nor our one number says nothing. */
function readBody(body: unknown): Outcome | undefined {
  const response = answerBody.safeParse(body).data?.Response;
  const status = response?.SendStatusSet?.length === 1 ? response.SendStatusSet[0] : undefined;
  const code = response?.Error?.Code ?? status?.Code;
  if (!code) return undefined;
  return {
    code,
    ...(response?.RequestId && { request_id: response.RequestId }),
    ...(status?.SerialNo && { message_id: status.SerialNo }),
    maybe_sent: lostWithin.test(code),
  };
}

/** It lost the message somewhere inside, and does not know either. */
const lostWithin = /^InternalError\.(OtherError|SendAndRecvFail|Timeout|UnknownError)$/;

const tencent: Provider = {
  name: 'tencent',
  accepted: 'Ok',
  passing: /^(InternalError.*|RequestLimitExceeded.*)$/,
  personal({ code }) {
    switch (code) {
      case 'InvalidParameterValue.IncorrectPhoneNumber':
        return fail('phone_invalid');
      case 'UnsupportedOperation.ChineseMainlandTemplateToGlobalPhone':
      case 'UnsupportedOperation.GlobalTemplateToChineseMainlandPhone':
      case 'UnsupportedOperation.UnsupportedRegion':
        return fail('phone_region_refused');
      case 'FailedOperation.PhoneNumberInBlacklist':
        return fail('send_refused');
      case 'LimitExceeded.PhoneNumberThirtySecondLimit':
      case 'LimitExceeded.DeliveryFrequencyLimit':
        return fail('code_too_soon', { retryAfterSeconds: 60 });
      case 'LimitExceeded.PhoneNumberOneHourLimit':
        return fail('too_many_requests', { retryAfterSeconds: 3600 });
      case 'LimitExceeded.PhoneNumberDailyLimit':
      case 'LimitExceeded.PhoneNumberSameContentDailyLimit':
        return fail('too_many_requests', { retryAfterSeconds: 86_400 });
      default:
        return undefined;
    }
  },
};
