/**
 * Aliyun Dysms at /dysmsapi.aliyuncs.com/: SendSms in both signature styles. Gateway faults are 4xx, business faults HTTP 200
 * with a Code, and an accepted message lands in the inbox.
 */
import { randomInt, randomUUID } from 'node:crypto';
import type { Context } from '../../http/server.ts';
import { sandboxSms } from '../constants.ts';
import { breakable } from '../faults.ts';
import type { Parts, SandboxRouter } from '../parts.ts';
import { toE164 } from '../phone.ts';
import type { Rule } from '../rate.ts';
import { readSigned } from './request.ts';
import { type SignedRequest, type Verdict, verifyAcs3, verifyRpc } from './signatures.ts';

const prefix = '/dysmsapi.aliyuncs.com';
const quarterHour = 900_000;

const flow: Rule[] = [
  { name: '触发分钟级流控Permits:1', uses: 1, ms: 60_000 },
  { name: '触发小时级流控Permits:5', uses: 5, ms: 3_600_000 },
  { name: '触发天级流控Permits:10', uses: 10, ms: 86_400_000 },
];

export function mountAliyunSms(router: SandboxRouter, parts: Parts): void {
  const nonces = createNonces(parts);
  const broken = breakable(parts.faults, 'aliyun_sms', (ctx, { errcode, errmsg }) =>
    answer(ctx, { Code: String(errcode), Message: errmsg ?? String(errcode) }),
  );
  router.all(prefix, broken, async (ctx) => {
    const request = await readSigned(ctx, prefix);
    const call = readCall(request);
    const fault = refusalOf(call, request, { parts, nonces });
    if (fault) {
      ctx.status = fault.status;
      return answer(ctx, { Code: fault.Code, Message: fault.Message, HostId: ctx.host, Recommend: '' });
    }
    answer(ctx, send(parts, call.parameters));
  });
}

function answer(ctx: Context, body: Record<string, string>): void {
  ctx.set('Content-Type', 'application/json;charset=utf-8');
  ctx.body = JSON.stringify({ ...body, RequestId: randomUUID().toUpperCase() });
}

type Call = {
  style: 'acs3' | 'rpc';
  parameters: URLSearchParams;
  action: string;
  version: string;
  date: string;
  nonce: string;
};

/** Parameters may stand in the query or in a form; what names the call is in headers (ACS3) or among them (RPC). */
function readCall({ query, headers, body }: SignedRequest): Call {
  const isForm = headers['content-type']?.startsWith('application/x-www-form-urlencoded');
  const parameters = new URLSearchParams([
    ...new URLSearchParams(query),
    ...(isForm ? new URLSearchParams(body.toString()) : []),
  ]);
  const style = parameters.has('Signature') && !headers.authorization ? 'rpc' : 'acs3';
  const named = (header: string, parameter: string) =>
    (style === 'rpc' ? parameters.get(parameter) : headers[header]) ?? '';
  return {
    style,
    parameters,
    action: named('x-acs-action', 'Action'),
    version: named('x-acs-version', 'Version'),
    date: named('x-acs-date', 'Timestamp'),
    nonce: named('x-acs-signature-nonce', 'SignatureNonce'),
  };
}

type Nonces = { isFresh(nonce: string): boolean };

/** A nonce counts as used for as long as its date would still be accepted. */
function createNonces({ clock }: Pick<Parts, 'clock'>): Nonces {
  const seen = new Map<string, number>();
  return {
    isFresh(nonce) {
      const now = clock.now().getTime();
      for (const [old, at] of seen) if (now - at > 2 * quarterHour) seen.delete(old);
      if (seen.has(nonce)) return false;
      seen.set(nonce, now);
      return true;
    },
  };
}

type Refusal = { status: number; Code: string; Message: string };

const signatureRefusals: Record<Extract<Verdict, { fault: string }>['fault'], Refusal> = {
  missing: {
    status: 400,
    Code: 'IncompleteSignature',
    Message: 'The request signature does not conform to Aliyun standards.',
  },
  unknown_key: { status: 404, Code: 'InvalidAccessKeyId.NotFound', Message: 'Specified access key is not found.' },
  mismatch: {
    status: 400,
    Code: 'SignatureDoesNotMatch',
    Message: 'Specified signature is not matched with our calculation.',
  },
};

function refusalOf(
  call: Call,
  request: SignedRequest,
  { parts, nonces }: { parts: Parts; nonces: Nonces },
): Refusal | undefined {
  const { access_key_id, access_key_secret } = sandboxSms.aliyun;
  const secretOf = (id: string) => (id === access_key_id ? access_key_secret : undefined);
  const verdict =
    call.style === 'rpc' ? verifyRpc(request.method, call.parameters, secretOf) : verifyAcs3(request, secretOf);
  if ('fault' in verdict) return signatureRefusals[verdict.fault];
  const at = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(call.date) ? new Date(call.date).getTime() : Number.NaN;
  if (!(Math.abs(parts.clock.now().getTime() - at) <= quarterHour))
    return { status: 400, Code: 'InvalidTimeStamp.Expired', Message: 'Specified time stamp or date value is expired.' };
  if (!call.nonce || !nonces.isFresh(call.nonce))
    return { status: 400, Code: 'SignatureNonceUsed', Message: 'Specified signature nonce was used already.' };
  if (call.version !== '2017-05-25')
    return { status: 400, Code: 'InvalidVersion', Message: 'Specified parameter Version is not valid.' };
  if (call.action !== 'SendSms')
    return {
      status: 404,
      Code: 'InvalidAction.NotFound',
      Message: 'Specified api is not found, please check your url and method.',
    };
  return undefined;
}

const business = (code: string, message: string) => ({ Code: `isv.${code}`, Message: message });

function send({ inbox, rate, faults, smsReports }: Parts, parameters: URLSearchParams): Record<string, string> {
  const given = (name: string) => parameters.get(name) ?? '';
  const numbers = given('PhoneNumbers').split(',').filter(Boolean);
  if (numbers.length > 1000) return business('MOBILE_COUNT_OVER_LIMIT', '手机号码数量超过限制');
  const recipients = numbers.map(toE164);
  if (recipients.length === 0 || recipients.includes(undefined)) return business('MOBILE_NUMBER_ILLEGAL', '非法手机号');
  const sign = given('SignName');
  // Any signature and template of the right shape counts as approved; a refused one is a fault to be ordered.
  if (sign === '' || /[【】]/.test(sign)) return business('SMS_SIGNATURE_ILLEGAL', '短信签名不合法');
  if (!/^SMS_\w+$/.test(given('TemplateCode'))) return business('SMS_TEMPLATE_ILLEGAL', '短信模板不合法');
  const code = readCode(given('TemplateParam'));
  if (typeof code !== 'string') return code;
  const serial = Array.from({ length: 18 }, () => randomInt(10)).join('');
  for (const to of recipients) {
    const exceeded = to && faults.limited('aliyun_sms') ? rate(`aliyun_sms ${sign} ${to}`, flow) : undefined;
    if (exceeded) return business('BUSINESS_LIMIT_CONTROL', exceeded.name);
    if (!to) continue;
    const text = `【${sign}】您的验证码为 ${code}，请勿泄露给他人。`;
    const message = inbox.add({ to, channel: 'sms', text, code, state: 'accepted' });
    smsReports.later('aliyun', message, { id: `${serial}^0`, out_id: given('OutId') });
  }
  return { Code: 'OK', Message: 'OK', BizId: `${serial}^0` };
}

/** The sandbox's templates are verification templates: one variable, `code`, letters and digits only. */
function readCode(text: string): string | { Code: string; Message: string } {
  if (text === '') return business('TEMPLATE_MISSING_PARAMETERS', '模板缺少变量');
  let parameters: unknown;
  try {
    parameters = JSON.parse(text);
  } catch {
    return business('INVALID_JSON_PARAM', '参数格式错误，不是合法的 JSON');
  }
  const code =
    typeof parameters === 'object' && parameters !== null && 'code' in parameters ? parameters.code : undefined;
  if (code === undefined) return business('TEMPLATE_MISSING_PARAMETERS', '模板缺少变量');
  if (!/^[A-Za-z0-9]{1,20}$/.test(String(code))) return business('TEMPLATE_PARAMS_ILLEGAL', '模板变量里包含非法字符');
  return String(code);
}
