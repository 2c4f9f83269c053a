import { describe, expect, it } from 'vitest';
import { signTc3 } from '../../src/connectors/sms/tc3.ts';
import { sendByTencent } from '../../src/connectors/sms/tencent.ts';
import { testDatabase } from '../helpers/database.ts';
import { closedPort, fakeServer, tencentBehaviour, tencentError, tencentKey, tencentStatus } from './fakes.ts';
import { testServices } from './services.ts';

const { db } = await testDatabase();

describe('TC3-HMAC-SHA256', () => {
  const payload = '{"Limit": 1, "Filters": [{"Values": ["\\u672a\\u547d\\u540d"], "Name": "instance-name"}]}';
  const headers = { 'content-type': 'application/json; charset=utf-8', host: 'cvm.tencentcloudapi.com' };
  const request = { service: 'cvm', path: '/', timestamp: 1_551_113_065, headers, body: payload };

  it("gives the signature of the vendor's published example", () => {
    const key = { secret_id: 'AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE', secret_key: 'Gu5t9xGARNpq86cd98joQYCN3EXAMPLE' };
    const signed = signTc3(request, key);
    expect(signed.canonical_hash).toBe('5ffe6a04c0664d6b969fab9a13bdab201d63ee709638e2749d62a09ca18d7031');
    expect(signed.signature).toBe('72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168');
    expect(signed.authorization).toBe(
      `TC3-HMAC-SHA256 Credential=${key.secret_id}/2019-02-25/cvm/tc3_request, SignedHeaders=content-type;host, Signature=${signed.signature}`,
    );
  });
  it('and of the newer one, which signs the action, in lower case, with the key as the page prints it', () => {
    const signed = signTc3(
      { ...request, headers: { ...headers, 'x-tc-action': 'DescribeInstances' } },
      { secret_id: 'x', secret_key: 'Gu5t9xGARNpq86cd98joQYCN3*******' },
    );
    expect(signed.canonical_hash).toBe('7019a55be8395899b900fb5564e4200d984910f34794a27cb3fb7d10ff6a1e84');
    expect(signed.signature).toBe('be4f67d323c78ab9acb7395e43c0dbcf822a9cfac32fea2449a7bc7726b770a3');
  });
  it('signs SendSms as the vendor’s SDK does', () => {
    const body =
      '{"PhoneNumberSet":["+8613800138000"],"SmsSdkAppId":"1400006666","SignName":"腾讯云","TemplateId":"1110","TemplateParamSet":["123456","5"],"SessionContext":"req-1"}';
    const signed = signTc3(
      {
        service: 'sms',
        path: '/',
        timestamp: 1_782_864_000,
        headers: { ...headers, host: 'sms.tencentcloudapi.com' },
        body,
      },
      { secret_id: 'AKIDtestSecretId', secret_key: 'testSecretKey0123456789' },
    );
    expect(signed.canonical_hash).toBe('e481c72a158d995beeb5db79735f9e66ff36be7f32534a191f4c9dc8564f85f9');
    expect(signed.signature).toBe('9bc6d6036370c855870d9d49be574917ae45bbb8e6311157f3f80c5250e546d6');
  });
});

describe('SendSms', async () => {
  const tencent = await fakeServer(() => 'hang');
  const settings = {
    provider: 'tencent' as const,
    ...tencentKey,
    sms_sdk_app_id: '1400006666',
    sign_name: '合一',
    template_id: '1110',
    template_has_minutes: false,
    region: 'ap-guangzhou' as const,
    base_url: `${tencent.base}/sms.tencentcloudapi.com/`,
  };
  const message = { phone: '+8613800138000', code: '135790', otp_id: 'c0ffee00-0000-4000-8000-000000000000' };
  const send = (services = testServices(db), changes = {}) =>
    sendByTencent(services, { ...settings, ...changes }, message);

  it('sends number, code and message id, signed, with the content type that was signed', async () => {
    const sent: object[] = [];
    tencent.behave(tencentBehaviour(sent));
    expect(await send()).toEqual({ result: 'sent', provider: 'tencent', message_id: '5000:1' });
    expect(sent).toEqual([
      {
        PhoneNumberSet: ['+8613800138000'],
        SmsSdkAppId: '1400006666',
        SignName: '合一',
        TemplateId: '1110',
        TemplateParamSet: ['135790'],
        SessionContext: message.otp_id,
      },
    ]);
    expect(tencent.seen.at(-1)?.headers).toMatchObject({
      'content-type': 'application/json; charset=utf-8',
      'x-tc-action': 'SendSms',
      'x-tc-version': '2021-01-11',
      'x-tc-region': 'ap-guangzhou',
    });
    expect(tencent.seen.at(-1)?.url.search).toBe('');
  });
  it('fills the second variable of a template that has one, and signs no message abroad', async () => {
    const sent: { TemplateParamSet?: string[]; SignName?: string }[] = [];
    tencent.behave(tencentBehaviour(sent));
    await send(testServices(db), { template_has_minutes: true });
    expect(sent[0]?.TemplateParamSet).toEqual(['135790', '5']);
    await sendByTencent(testServices(db), settings, { ...message, phone: '+85291234567' });
    expect(sent[1]).not.toHaveProperty('SignName');
  });

  it.each([
    ['InvalidParameterValue.IncorrectPhoneNumber', 'phone_invalid', undefined],
    ['UnsupportedOperation.ChineseMainlandTemplateToGlobalPhone', 'phone_region_refused', undefined],
    ['FailedOperation.PhoneNumberInBlacklist', 'send_refused', undefined],
    ['LimitExceeded.PhoneNumberThirtySecondLimit', 'code_too_soon', 60],
    ['LimitExceeded.PhoneNumberOneHourLimit', 'too_many_requests', 3600],
    ['LimitExceeded.PhoneNumberDailyLimit', 'too_many_requests', 86_400],
    ['FailedOperation.InsufficientBalanceInSmsPackage', 'upstream_unavailable', 60],
    ['FailedOperation.TemplateParamSetNotMatchApprovedTemplate', 'upstream_unavailable', 60],
    ['LimitExceeded.AppDailyLimit', 'upstream_unavailable', 60],
    ['Something.New', 'upstream_unavailable', 60],
  ])('%s becomes %s, as the fault of the number and as that of the request', async (code, error, retryAfterSeconds) => {
    for (const answer of [tencentStatus(code), tencentError(code)]) {
      tencent.behave(tencentBehaviour([], () => answer));
      expect(await send()).toMatchObject({ result: 'failed', error: { code: error, retryAfterSeconds } });
    }
  });

  it('tells the operator of a wrong key, by code and never with the key', async () => {
    const services = testServices(db);
    tencent.behave(tencentBehaviour([]));
    expect(await send(services, { secret_key: 'another-secret' })).toMatchObject({ result: 'failed' });
    expect(services.logged()).toMatch(/"level":"error".*AuthFailure\.SignatureFailure/);
    expect(services.logged()).not.toContain('another-secret');
    expect(services.logged()).not.toContain('13800138000');
  });

  it('B11: a broken connection is not repeated: there is nothing by which the gateway would know the second request', async () => {
    const calls = tencent.seen.length;
    tencent.behave(() => 'reset');
    expect(await send()).toMatchObject({ result: 'unknown', error: { code: 'upstream_unavailable' } });
    expect(tencent.seen.length).toBe(calls + 1);
  });
  it.each(['InternalError.Timeout', 'InternalError.SendAndRecvFail', 'InternalError.UnknownError'])(
    'B11: %s may have been sent',
    async (code) => {
      tencent.behave(tencentBehaviour([], () => tencentError(code)));
      expect(await send()).toMatchObject({ result: 'unknown', error: { code: 'upstream_unavailable' } });
    },
  );
  it('B11: no connection is certainly nothing sent', async () => {
    expect(await send(testServices(db), { base_url: `http://127.0.0.1:${await closedPort()}` })).toMatchObject({
      result: 'failed',
      error: { code: 'upstream_unavailable' },
    });
  });
  it.each([
    ['an error page', { status: 502, type: 'text/html', body: '<html>Bad gateway</html>' }, 'unknown'],
    ['truncated JSON', { body: '{"Response":{"Sen' }, 'unknown'],
    ['an answer without a result', { body: { Response: { RequestId: 'R' } } }, 'unknown'],
    [
      'an answer for another number too',
      { body: { Response: { SendStatusSet: [{ Code: 'Ok' }, { Code: 'Ok' }] } } },
      'unknown',
    ],
    ['a refusal that is no JSON', { status: 403, type: 'text/html', body: 'no' }, 'failed'],
  ])('survives %s', async (_what, answer, result) => {
    tencent.behave(() => answer);
    expect(await send()).toMatchObject({ result, error: { code: 'upstream_unavailable' } });
  });
});
