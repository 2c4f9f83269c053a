/** Tencent Cloud SMS at /sms.tencentcloudapi.com/: SendSms with TC3. HTTP 200 always; faults of the request and of each number apart. */
import { randomInt, randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { Context } from '../../http/server.ts';
import { sandboxSms } from '../constants.ts';
import { breakable } from '../faults.ts';
import type { Parts, SandboxRouter } from '../parts.ts';
import { toE164 } from '../phone.ts';
import type { Rule } from '../rate.ts';
import { readSigned } from './request.ts';
import { type SignedRequest, verifyTc3 } from './signatures.ts';

const prefix = '/sms.tencentcloudapi.com';
const fiveMinutes = 300;

const flow: Rule[] = [
  { name: 'LimitExceeded.PhoneNumberThirtySecondLimit', uses: 1, ms: 30_000 },
  { name: 'LimitExceeded.PhoneNumberOneHourLimit', uses: 5, ms: 3_600_000 },
  { name: 'LimitExceeded.PhoneNumberDailyLimit', uses: 10, ms: 86_400_000 },
];

const bodySchema = z.object({
  PhoneNumberSet: z.array(z.string()),
  SmsSdkAppId: z.string(),
  TemplateId: z.string(),
  SignName: z.string().default(''),
  TemplateParamSet: z.array(z.string()).default([]),
  SessionContext: z.string().default(''),
});
type Sending = z.infer<typeof bodySchema>;
type Fault = { Code: string; Message: string };

export function mountTencentSms(router: SandboxRouter, parts: Parts): void {
  const broken = breakable(parts.faults, 'tencent_sms', (ctx, { errcode, errmsg }) =>
    answer(ctx, { Error: { Code: String(errcode), Message: errmsg ?? String(errcode) } }),
  );
  router.all(prefix, broken, async (ctx) => {
    const request = await readSigned(ctx, prefix);
    const fault = refusalOf(request, parts);
    if (fault) return answer(ctx, { Error: fault });
    const sending = readSending(request.body);
    answer(
      ctx,
      'Code' in sending
        ? { Error: sending }
        : { SendStatusSet: sending.PhoneNumberSet.map((number) => send(parts, sending, number)) },
    );
  });
}

function answer(ctx: Context, response: Record<string, unknown>): void {
  ctx.set('Content-Type', 'application/json');
  ctx.body = JSON.stringify({ Response: { ...response, RequestId: randomUUID() } });
}

function refusalOf(request: SignedRequest, { clock }: Parts): Fault | undefined {
  const { headers } = request;
  const { secret_id, secret_key } = sandboxSms.tencent;
  const verdict = verifyTc3(request, 'sms', (id) => (id === secret_id ? secret_key : undefined));
  if ('fault' in verdict) {
    const codes = { missing: 'SignatureFailure', unknown_key: 'SecretIdNotFound', mismatch: 'SignatureFailure' };
    return { Code: `AuthFailure.${codes[verdict.fault]}`, Message: 'The provided credentials could not be validated.' };
  }
  if (Math.abs(clock.now().getTime() / 1000 - Number(headers['x-tc-timestamp'])) > fiveMinutes)
    return {
      Code: 'AuthFailure.SignatureExpire',
      Message: 'Signature expired: the timestamp is more than 5 minutes away.',
    };
  if (headers['x-tc-action'] !== 'SendSms')
    return { Code: 'InvalidAction', Message: 'The action is invalid or not found.' };
  if (headers['x-tc-version'] !== '2021-01-11')
    return { Code: 'NoSuchVersion', Message: 'The version does not exist.' };
  if (!headers['x-tc-region'])
    return { Code: 'MissingParameter', Message: 'The request is missing a required parameter `Region`.' };
  return undefined;
}

function readSending(bytes: Buffer): Sending | Fault {
  let body: z.ZodSafeParseResult<Sending>;
  try {
    body = bodySchema.safeParse(JSON.parse(bytes.toString('utf8')));
  } catch {
    return { Code: 'FailedOperation.JsonParseFail', Message: 'The body is not JSON.' };
  }
  if (!body.success) return { Code: 'InvalidParameter', Message: z.prettifyError(body.error) };
  if (body.data.PhoneNumberSet.length === 0)
    return { Code: 'MissingParameter.EmptyPhoneNumberSet', Message: 'PhoneNumberSet is empty.' };
  if (body.data.PhoneNumberSet.length > 200)
    return { Code: 'LimitExceeded.PhoneNumberCountLimit', Message: 'At most 200 numbers a call.' };
  if (body.data.SmsSdkAppId !== sandboxSms.tencent.sms_sdk_app_id)
    return { Code: 'UnauthorizedOperation.SmsSdkAppIdVerifyFail', Message: 'SmsSdkAppId verify fail.' };
  return body.data;
}

function send({ inbox, rate, faults, smsReports }: Parts, sending: Sending, number: string) {
  const { SignName, TemplateParamSet, SessionContext } = sending;
  const to = toE164(number);
  const code = TemplateParamSet[0] ?? '';
  const refused = (Code: string) => ({
    SerialNo: '',
    PhoneNumber: number,
    Fee: 0,
    SessionContext,
    Code,
    Message: Code,
    IsoCode: '',
  });
  if (!to) return refused('InvalidParameterValue.IncorrectPhoneNumber');
  const isDomestic = to.startsWith('+86');
  if (isDomestic && SignName === '') return refused('FailedOperation.SignatureIncorrectOrUnapproved');
  if (!/^\d{1,6}$/.test(code)) return refused('InvalidParameterValue.TemplateParameterFormatError');
  const exceeded = faults.limited('tencent_sms') ? rate(`tencent_sms ${to}`, flow) : undefined;
  if (exceeded) return refused(exceeded.name);
  const text = `【${SignName}】您的验证码为 ${code}，请勿泄露给他人。`;
  const message = inbox.add({ to, channel: 'sms', text, code, state: 'accepted' });
  const serial = Array.from({ length: 28 }, () => randomInt(10)).join('');
  smsReports.later('tencent', message, { id: `5000:${serial}`, out_id: '' });
  return {
    SerialNo: `5000:${serial}`,
    PhoneNumber: to,
    Fee: 1,
    SessionContext,
    Code: 'Ok',
    Message: 'send success',
    IsoCode: isDomestic ? 'CN' : '',
  };
}
