import { createHash, createHmac, randomUUID } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { sandboxSms } from '../../src/sandbox/sandbox.ts';
import { encode, type SignedRequest, verifyAcs3, verifyRpc, verifyTc3 } from '../../src/sandbox/sms/signatures.ts';
import { hour, minute, startWorld } from './world.ts';

const world = await startWorld();
const { call, url, pass } = world;
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const empty = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

function acs3(changes: Partial<SignedRequest> & { headers: Record<string, string> }): SignedRequest {
  return { method: 'POST', paths: ['/'], query: '', body: Buffer.alloc(0), ...changes };
}

describe('the ACS3 verifier, on published examples', () => {
  const signed = 'host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version';
  const runInstances = acs3({
    query: 'ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai',
    headers: {
      host: 'ecs.cn-shanghai.aliyuncs.com',
      'x-acs-action': 'RunInstances',
      'x-acs-content-sha256': empty,
      'x-acs-date': '2023-10-26T10:22:32Z',
      'x-acs-signature-nonce': '3156853299f313e23d1673dc12e1703d',
      'x-acs-version': '2014-05-26',
      authorization: `ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=${signed},Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0`,
    },
  });
  const fields =
    'PhoneNumbers=13800138000&SignName=%E9%98%BF%E9%87%8C%E4%BA%91&TemplateCode=SMS_15305&TemplateParam=%7B%22code%22%3A%22123456%22%7D';
  const sms = {
    host: 'dysmsapi.aliyuncs.com',
    'x-acs-action': 'SendSms',
    'x-acs-date': '2026-07-01T00:00:00Z',
    'x-acs-signature-nonce': 'd410180a5abf7fe235dd9b74aca91fc0',
    'x-acs-version': '2017-05-25',
  };
  const inQuery = acs3({
    query: fields,
    headers: {
      ...sms,
      'x-acs-content-sha256': empty,
      authorization: `ACS3-HMAC-SHA256 Credential=testId,SignedHeaders=${signed},Signature=3c721448b2f5ddb775ba06fea88f5fb3957e72d6e98934662063f1f12d250e6e`,
    },
  });
  const inForm = acs3({
    body: Buffer.from(fields),
    headers: {
      ...sms,
      'content-type': 'application/x-www-form-urlencoded',
      'x-acs-content-sha256': '2b46727f466fdebcc6a54ab1ff866461f7f8b7b93ea30ff17798c1001f711881',
      authorization: `ACS3-HMAC-SHA256 Credential=testId,SignedHeaders=content-type;${signed},Signature=d0d4831c018e9627a26c27dac579e32bb9a7fd086eca328a6bd838182b929099`,
    },
  });
  const testSecret = () => 'testSecret';

  test('accepts the vendor’s RunInstances and the SendSms examples', () => {
    expect(verifyAcs3(runInstances, () => 'YourAccessKeySecret')).toEqual({ key_id: 'YourAccessKeyId' });
    expect(verifyAcs3(inQuery, testSecret)).toEqual({ key_id: 'testId' });
    expect(verifyAcs3(inForm, testSecret)).toEqual({ key_id: 'testId' });
  });

  test.each<[string, SignedRequest]>([
    ['another query', { ...inQuery, query: fields.replace('138000', '138001') }],
    ['another body', { ...inForm, body: Buffer.from('PhoneNumbers=1') }],
    ['another host', { ...inQuery, headers: { ...inQuery.headers, host: 'evil.example' } }],
    ['another method', { ...inQuery, method: 'GET' }],
    ['another path', { ...inQuery, paths: ['/x'] }],
    ['an x-acs header that is not signed', { ...inQuery, headers: { ...inQuery.headers, 'x-acs-extra': '1' } }],
  ])('refuses %s', (_, request) => {
    expect(verifyAcs3(request, testSecret)).toEqual({ fault: 'mismatch' });
  });

  test('refuses a wrong secret, an unknown key and no signature at all', () => {
    expect(verifyAcs3(inQuery, () => 'wrong')).toEqual({ fault: 'mismatch' });
    expect(verifyAcs3(inQuery, () => undefined)).toEqual({ fault: 'unknown_key' });
    expect(verifyAcs3({ ...inQuery, headers: {} }, testSecret)).toEqual({ fault: 'missing' });
  });
});

describe('the RPC verifier, on the vendor’s example', () => {
  const query =
    'AccessKeyId=testId&Action=SendSms&Format=XML&OutId=123&PhoneNumbers=15300000001&RegionId=cn-hangzhou&SignName=%E9%98%BF%E9%87%8C%E4%BA%91%E7%9F%AD%E4%BF%A1%E6%B5%8B%E8%AF%95%E4%B8%93%E7%94%A8&SignatureMethod=HMAC-SHA1&SignatureNonce=45e25e9b-0a6f-4070-8c85-2956eda1b466&SignatureVersion=1.0&TemplateCode=SMS_71390007&TemplateParam=%7B%22customer%22%3A%22test%22%7D&Timestamp=2017-07-12T02%3A42%3A19Z&Version=2017-05-25';
  const signedWith = (Signature: string) =>
    new URLSearchParams([...new URLSearchParams(query), ['Signature', Signature]]);

  test('accepts it and refuses a change', () => {
    expect(verifyRpc('GET', signedWith('zJDF+Lrzhj/ThnlvIToysFRq6t4='), () => 'testSecret')).toEqual({
      key_id: 'testId',
    });
    expect(verifyRpc('POST', signedWith('zJDF+Lrzhj/ThnlvIToysFRq6t4='), () => 'testSecret')).toEqual({
      fault: 'mismatch',
    });
  });
});

describe('the TC3 verifier, on published examples', () => {
  const payload =
    '{"PhoneNumberSet":["+8613800138000"],"SmsSdkAppId":"1400006666","SignName":"腾讯云","TemplateId":"1110","TemplateParamSet":["123456","5"],"SessionContext":"req-1"}';
  const sms: SignedRequest = acs3({
    body: Buffer.from(payload),
    headers: {
      host: 'sms.tencentcloudapi.com',
      'content-type': 'application/json; charset=utf-8',
      'x-tc-timestamp': '1782864000',
      authorization:
        'TC3-HMAC-SHA256 Credential=AKIDtestSecretId/2026-07-01/sms/tc3_request, SignedHeaders=content-type;host, Signature=9bc6d6036370c855870d9d49be574917ae45bbb8e6311157f3f80c5250e546d6',
    },
  });
  const cvm: SignedRequest = acs3({
    body: Buffer.from('{"Limit": 1, "Filters": [{"Values": ["\\u672a\\u547d\\u540d"], "Name": "instance-name"}]}'),
    headers: {
      host: 'cvm.tencentcloudapi.com',
      'content-type': 'application/json; charset=utf-8',
      'x-tc-timestamp': '1551113065',
      authorization:
        'TC3-HMAC-SHA256 Credential=AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE/2019-02-25/cvm/tc3_request, SignedHeaders=content-type;host, Signature=72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168',
    },
  });

  test('accepts both', () => {
    expect(verifyTc3(sms, 'sms', () => 'testSecretKey0123456789')).toEqual({ key_id: 'AKIDtestSecretId' });
    expect(verifyTc3(cvm, 'cvm', () => 'Gu5t9xGARNpq86cd98joQYCN3EXAMPLE')).toHaveProperty('key_id');
  });

  test('refuses another body, another service, another day and a wrong secret', () => {
    const secret = () => 'testSecretKey0123456789';
    expect(verifyTc3({ ...sms, body: Buffer.from('{}') }, 'sms', secret)).toEqual({ fault: 'mismatch' });
    expect(verifyTc3(sms, 'cvm', secret)).toEqual({ fault: 'mismatch' });
    const later = { ...sms, headers: { ...sms.headers, 'x-tc-timestamp': '1782950400' } };
    expect(verifyTc3(later, 'sms', secret)).toEqual({ fault: 'mismatch' });
    expect(verifyTc3(sms, 'sms', () => 'wrong')).toEqual({ fault: 'mismatch' });
  });
});

const { access_key_id, access_key_secret, sign_name, template_code } = sandboxSms.aliyun;
type Sending = { fields?: Record<string, string>; headers?: Record<string, string>; secret?: string; path?: string };

/** A client of its own, written from the vendor's description: the product's client is tested with its connector. */
async function sendAliyun(
  to: string,
  { fields = {}, headers = {}, secret = access_key_secret, path = '/' }: Sending = {},
) {
  const body = new URLSearchParams({
    PhoneNumbers: to,
    SignName: sign_name,
    TemplateCode: template_code,
    TemplateParam: '{"code":"482913"}',
    ...fields,
  }).toString();
  const signed: Record<string, string> = {
    'content-type': 'application/x-www-form-urlencoded',
    host: new URL(url).host,
    'x-acs-action': 'SendSms',
    'x-acs-content-sha256': sha256(body),
    'x-acs-date': world.now().toISOString().replace(/\.\d+/, ''),
    'x-acs-signature-nonce': randomUUID(),
    'x-acs-version': '2017-05-25',
    ...headers,
  };
  const names = Object.keys(signed).sort();
  const canonical = [
    'POST',
    path,
    '',
    names.map((name) => `${name}:${signed[name]}\n`).join(''),
    names.join(';'),
    sha256(body),
  ];
  const toSign = `ACS3-HMAC-SHA256\n${sha256(canonical.join('\n'))}`;
  const signature = createHmac('sha256', secret).update(toSign).digest('hex');
  const authorization = `ACS3-HMAC-SHA256 Credential=${access_key_id},SignedHeaders=${names.join(';')},Signature=${signature}`;
  const { host: _, ...sent } = signed;
  return call('POST', '/dysmsapi.aliyuncs.com/', body, { ...sent, authorization });
}
const inbox = async (to: string) =>
  (await call('GET', `/inbox?to=${encodeURIComponent(to)}`)).body.messages as Record<string, string>[];

describe('Aliyun SendSms', () => {
  test('accepts a message and puts text and code into the inbox', async () => {
    const answer = await sendAliyun('13800138000');
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({
      Code: 'OK',
      Message: 'OK',
      RequestId: expect.any(String),
      BizId: expect.stringMatching(/^\d{18}\^0$/),
    });
    expect(await inbox('+8613800138000')).toEqual([
      {
        to: '+8613800138000',
        channel: 'sms',
        text: expect.stringContaining('482913'),
        code: '482913',
        received_at: expect.any(String),
        state: 'accepted',
      },
    ]);
  });

  test('accepts a signature over the path with the vendor’s host in it', async () => {
    expect((await sendAliyun('13800138001', { path: '/dysmsapi.aliyuncs.com/' })).body.Code).toBe('OK');
    expect((await sendAliyun('13800138001', { path: '/elsewhere' })).body.Code).toBe('SignatureDoesNotMatch');
  });

  test('accepts the older RPC style', async () => {
    const parameters: Record<string, string> = {
      AccessKeyId: access_key_id,
      Action: 'SendSms',
      Version: '2017-05-25',
      SignatureNonce: randomUUID(),
      Timestamp: world.now().toISOString().replace(/\.\d+/, ''),
      PhoneNumbers: '+8613800138002',
      SignName: sign_name,
      TemplateCode: template_code,
      TemplateParam: '{"code":"111222"}',
    };
    const query = Object.keys(parameters)
      .sort()
      .map((name) => `${encode(name)}=${encode(parameters[name] ?? '')}`)
      .join('&');
    const signature = createHmac('sha1', `${access_key_secret}&`)
      .update(`GET&%2F&${encode(query)}`)
      .digest('base64');
    expect((await call('GET', `/dysmsapi.aliyuncs.com/?${query}&Signature=${encode(signature)}`)).body.Code).toBe('OK');
    expect((await inbox('+8613800138002'))[0]?.code).toBe('111222');
  });

  test.each<[string, Sending, number, string]>([
    ['a wrong secret', { secret: 'wrong' }, 400, 'SignatureDoesNotMatch'],
    ['a date 16 minutes ago', { headers: { 'x-acs-date': '2020-01-01T00:00:00Z' } }, 400, 'InvalidTimeStamp.Expired'],
    ['another version', { headers: { 'x-acs-version': '2016-01-01' } }, 400, 'InvalidVersion'],
    ['another action', { headers: { 'x-acs-action': 'QuerySms' } }, 404, 'InvalidAction.NotFound'],
    ['a number that is none', { fields: { PhoneNumbers: '12345' } }, 200, 'isv.MOBILE_NUMBER_ILLEGAL'],
    ['a signature in brackets', { fields: { SignName: '【合一】' } }, 200, 'isv.SMS_SIGNATURE_ILLEGAL'],
    ['a template that is none', { fields: { TemplateCode: 'x' } }, 200, 'isv.SMS_TEMPLATE_ILLEGAL'],
    ['parameters that are not JSON', { fields: { TemplateParam: 'code=1' } }, 200, 'isv.INVALID_JSON_PARAM'],
    ['no code among the parameters', { fields: { TemplateParam: '{}' } }, 200, 'isv.TEMPLATE_MISSING_PARAMETERS'],
    [
      'a code with Chinese characters',
      { fields: { TemplateParam: '{"code":"一二三"}' } },
      200,
      'isv.TEMPLATE_PARAMS_ILLEGAL',
    ],
  ])('refuses %s', async (_, sending, status, code) => {
    const answer = await sendAliyun('13800138003', sending);
    expect([answer.status, answer.body.Code]).toEqual([status, code]);
    expect(answer.body.BizId).toBeUndefined();
    expect(await inbox('+8613800138003')).toEqual([]);
  });

  test('refuses a date just outside the 15 minutes and takes one just inside', async () => {
    const dated = (ago: number) => ({
      'x-acs-date': new Date(world.now().getTime() - ago).toISOString().replace(/\.\d+/, ''),
    });
    expect((await sendAliyun('13800138004', { headers: dated(14 * minute) })).body.Code).toBe('OK');
    expect((await sendAliyun('13800138004', { headers: dated(16 * minute) })).body.Code).toBe(
      'InvalidTimeStamp.Expired',
    );
    expect((await sendAliyun('13800138004', { headers: dated(-16 * minute) })).body.Code).toBe(
      'InvalidTimeStamp.Expired',
    );
  });

  test('takes a nonce once', async () => {
    const headers = { 'x-acs-signature-nonce': 'once' };
    expect((await sendAliyun('13800138005', { headers })).body.Code).toBe('OK');
    expect((await sendAliyun('13800138005', { headers })).body.Code).toBe('SignatureNonceUsed');
  });

  test('plays the vendor’s flow control only when it is switched on', async () => {
    const to = '13800138006';
    const send = async () => (await sendAliyun(to)).body;
    for (let n = 0; n < 12; n++) expect((await send()).Code).toBe('OK');
    await call('PUT', '/faults', { target: 'aliyun_sms', limits: 'vendor' });
    expect((await send()).Code).toBe('OK');
    expect(await send()).toMatchObject({ Code: 'isv.BUSINESS_LIMIT_CONTROL', Message: '触发分钟级流控Permits:1' });
    for (let n = 0; n < 4; n++) {
      pass(minute);
      expect((await send()).Code).toBe('OK');
    }
    pass(minute);
    expect((await send()).Message).toBe('触发小时级流控Permits:5');
    pass(hour);
    for (let n = 0; n < 5; n++) {
      pass(minute);
      expect((await send()).Code).toBe('OK');
    }
    pass(hour);
    expect((await send()).Message).toBe('触发天级流控Permits:10');
    expect((await sendAliyun('13800138007')).body.Code).toBe('OK');
    await call('DELETE', '/faults?target=aliyun_sms');
    expect((await send()).Code).toBe('OK');
  });
});

describe('Tencent SendSms', () => {
  const { secret_id, secret_key, sms_sdk_app_id, template_id } = sandboxSms.tencent;

  async function send(
    changes: Record<string, unknown> = {},
    headers: Record<string, string> = {},
    key: string = secret_key,
  ) {
    const body = JSON.stringify({
      PhoneNumberSet: ['+8613700137000'],
      SmsSdkAppId: sms_sdk_app_id,
      SignName: '合一',
      TemplateId: template_id,
      TemplateParamSet: ['654321', '5'],
      ...changes,
    });
    const timestamp = headers['x-tc-timestamp'] ?? String(Math.floor(world.now().getTime() / 1000));
    const date = new Date(Number(timestamp) * 1000).toISOString().slice(0, 10);
    const type = 'application/json; charset=utf-8';
    const canonical = `POST\n/\n\ncontent-type:${type}\nhost:${new URL(url).host}\n\ncontent-type;host\n${sha256(body)}`;
    const toSign = `TC3-HMAC-SHA256\n${timestamp}\n${date}/sms/tc3_request\n${sha256(canonical)}`;
    const hmac = (secret: string | Buffer, text: string) => createHmac('sha256', secret).update(text).digest();
    const signature = hmac(hmac(hmac(hmac(`TC3${key}`, date), 'sms'), 'tc3_request'), toSign).toString('hex');
    const answer = await call('POST', '/sms.tencentcloudapi.com/', body, {
      'content-type': type,
      'x-tc-action': 'SendSms',
      'x-tc-version': '2021-01-11',
      'x-tc-region': 'ap-guangzhou',
      'x-tc-timestamp': timestamp,
      authorization: `TC3-HMAC-SHA256 Credential=${secret_id}/${date}/sms/tc3_request, SignedHeaders=content-type;host, Signature=${signature}`,
      ...headers,
    });
    expect(answer.status).toBe(200);
    return answer.body.Response as { Error?: { Code: string }; SendStatusSet?: Record<string, unknown>[] };
  }

  test('accepts, answers for each number and fills the inbox', async () => {
    const { SendStatusSet } = await send({ PhoneNumberSet: ['+8613700137000', 'nonsense'], SessionContext: 'req-1' });
    expect(SendStatusSet).toEqual([
      expect.objectContaining({
        PhoneNumber: '+8613700137000',
        Code: 'Ok',
        Message: 'send success',
        Fee: 1,
        SessionContext: 'req-1',
      }),
      expect.objectContaining({ PhoneNumber: 'nonsense', Code: 'InvalidParameterValue.IncorrectPhoneNumber', Fee: 0 }),
    ]);
    expect((await inbox('+8613700137000'))[0]).toMatchObject({
      code: '654321',
      text: expect.stringContaining('【合一】'),
    });
  });

  test.each<[string, () => ReturnType<typeof send>, string]>([
    ['a wrong key', () => send({}, {}, 'wrong'), 'AuthFailure.SignatureFailure'],
    [
      'a timestamp out of its 5 minutes',
      () => send({}, { 'x-tc-timestamp': '1782864000' }),
      'AuthFailure.SignatureExpire',
    ],
    ['another action', () => send({}, { 'x-tc-action': 'Other' }), 'InvalidAction'],
    ['no region', () => send({}, { 'x-tc-region': '' }), 'MissingParameter'],
    ['no numbers', () => send({ PhoneNumberSet: [] }), 'MissingParameter.EmptyPhoneNumberSet'],
    ['an unknown app', () => send({ SmsSdkAppId: '1' }), 'UnauthorizedOperation.SmsSdkAppIdVerifyFail'],
  ])('refuses %s with HTTP 200', async (_, attempt, code) => {
    expect((await attempt()).Error?.Code).toBe(code);
  });

  test('refuses a code that is not up to six digits', async () => {
    const { SendStatusSet } = await send({ TemplateParamSet: ['abc'] });
    expect(SendStatusSet?.[0]?.Code).toBe('InvalidParameterValue.TemplateParameterFormatError');
  });
});
