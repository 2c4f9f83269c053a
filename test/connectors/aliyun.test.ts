import { describe, expect, it } from 'vitest';
import { encodeForm, signAcs3 } from '../../src/connectors/sms/acs3.ts';
import { sendByAliyun } from '../../src/connectors/sms/aliyun.ts';
import { testDatabase } from '../helpers/database.ts';
import { aliyunBehaviour, aliyunKey, closedPort, fakeServer } from './fakes.ts';
import { testServices } from './services.ts';

const { db } = await testDatabase();
const emptyHash = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

describe('ACS3-HMAC-SHA256', () => {
  const sendSms = {
    PhoneNumbers: '13800138000',
    SignName: '阿里云',
    TemplateCode: 'SMS_15305',
    TemplateParam: '{"code":"123456"}',
  };
  const headers = {
    host: 'dysmsapi.aliyuncs.com',
    'x-acs-action': 'SendSms',
    'x-acs-date': '2026-07-01T00:00:00Z',
    'x-acs-signature-nonce': 'd410180a5abf7fe235dd9b74aca91fc0',
    'x-acs-version': '2017-05-25',
  };
  const key = { access_key_id: 'testId', access_key_secret: 'testSecret' };

  it("gives the signature of the vendor's published example", () => {
    const signed = signAcs3(
      {
        method: 'POST',
        path: '/',
        query: { RegionId: 'cn-shanghai', ImageId: 'win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd' },
        headers: {
          host: 'ecs.cn-shanghai.aliyuncs.com',
          'x-acs-action': 'RunInstances',
          'x-acs-content-sha256': emptyHash,
          'x-acs-date': '2023-10-26T10:22:32Z',
          'x-acs-signature-nonce': '3156853299f313e23d1673dc12e1703d',
          'x-acs-version': '2014-05-26',
        },
        body: '',
      },
      { access_key_id: 'YourAccessKeyId', access_key_secret: 'YourAccessKeySecret' },
    );
    expect(signed.canonical_hash).toBe('7ea06492da5221eba5297e897ce16e55f964061054b7695beedaac1145b1e259');
    expect(signed.signature).toBe('06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0');
    expect(signed.authorization).toBe(
      `ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,Signature=${signed.signature}`,
    );
  });
  it('signs SendSms with its parameters in the query', () => {
    const signed = signAcs3(
      {
        method: 'POST',
        path: '/',
        query: sendSms,
        headers: { ...headers, 'x-acs-content-sha256': emptyHash },
        body: '',
      },
      key,
    );
    expect(signed.canonical_hash).toBe('45900cae8a4341be07fea9e907e1d967aefcb283c9c0bfd32b0c6a52d1b856c9');
    expect(signed.signature).toBe('3c721448b2f5ddb775ba06fea88f5fb3957e72d6e98934662063f1f12d250e6e');
  });
  it('signs SendSms with its parameters in the form body', () => {
    const signed = signAcs3(
      {
        method: 'POST',
        path: '/',
        query: {},
        headers: {
          ...headers,
          'content-type': 'application/x-www-form-urlencoded',
          'x-acs-content-sha256': '2b46727f466fdebcc6a54ab1ff866461f7f8b7b93ea30ff17798c1001f711881',
        },
        body: encodeForm(sendSms),
      },
      key,
    );
    expect(signed.signature).toBe('d0d4831c018e9627a26c27dac579e32bb9a7fd086eca328a6bd838182b929099');
  });
  it('escapes what encodeURIComponent leaves, and keeps the tilde (RFC 3986)', () => {
    expect(encodeForm({ b: "!'()* ~", a: '1' })).toBe('a=1&b=%21%27%28%29%2A%20~');
  });
});

describe('SendSms', async () => {
  const aliyun = await fakeServer(() => 'hang');
  const settings = {
    provider: 'aliyun' as const,
    ...aliyunKey,
    sign_name: '合一',
    template_code: 'SMS_1',
    base_url: `${aliyun.base}/dysmsapi.aliyuncs.com/`,
  };
  const message = { phone: '+8613800138000', code: '135790', otp_id: 'c0ffee00-0000-4000-8000-000000000000' };
  const send = (services = testServices(db), sms = message) => sendByAliyun(services, settings, sms);

  it('sends number and code, signed, in the body and nowhere else', async () => {
    const sent: { phone: string; code: string }[] = [];
    aliyun.behave(aliyunBehaviour(sent));
    expect(await send()).toMatchObject({ result: 'sent', provider: 'aliyun' });
    expect(sent).toEqual([{ phone: '13800138000', code: '135790' }]);
    expect(aliyun.seen.at(-1)?.url.search).toBe('');
    expect(Object.keys(Object.fromEntries(new URLSearchParams(aliyun.seen.at(-1)?.body))).sort()).toEqual([
      'OutId',
      'PhoneNumbers',
      'SignName',
      'TemplateCode',
      'TemplateParam',
    ]);
  });

  it('writes a foreign number without its plus sign', async () => {
    const sent: { phone: string; code: string }[] = [];
    aliyun.behave(aliyunBehaviour(sent));
    await send(testServices(db), { ...message, phone: '+85291234567' });
    expect(sent[0]?.phone).toBe('85291234567');
  });

  it.each([
    ['isv.BUSINESS_LIMIT_CONTROL', '触发分钟级流控Permits:1', 'code_too_soon', 60],
    ['isv.BUSINESS_LIMIT_CONTROL', '触发小时级流控Permits:5', 'too_many_requests', 3600],
    ['isv.BUSINESS_LIMIT_CONTROL', '触发天级流控Permits:10', 'too_many_requests', 86_400],
    ['isv.MOBILE_NUMBER_ILLEGAL', '', 'phone_invalid', undefined],
    ['isv.DOMESTIC_NUMBER_NOT_SUPPORTED', '', 'phone_region_refused', undefined],
    ['isv.CUSTOMER_REFUSED', '', 'send_refused', undefined],
    ['isv.AMOUNT_NOT_ENOUGH', '账户余额不足', 'upstream_unavailable', 60],
    ['isv.SMS_SIGNATURE_ILLEGAL', '', 'upstream_unavailable', 60],
    ['isp.RAM_PERMISSION_DENY', '', 'upstream_unavailable', 60],
    ['isv.SOMETHING_NEW', '', 'upstream_unavailable', 60],
  ])('%s (%s) becomes %s', async (Code, Message, code, retryAfterSeconds) => {
    aliyun.behave(aliyunBehaviour([], () => ({ Code, Message, RequestId: 'R' })));
    expect(await send()).toMatchObject({ result: 'failed', error: { code, retryAfterSeconds } });
  });

  it('tells the operator, by code, what only the operator can mend', async () => {
    const services = testServices(db);
    aliyun.behave(
      aliyunBehaviour([], () => ({ Code: 'isv.OUT_OF_SERVICE', Message: '13800138000 停机', RequestId: 'R' })),
    );
    await send(services);
    expect(services.logged()).toMatch(/"level":"error".*isv\.OUT_OF_SERVICE/);
    expect(services.logged()).not.toContain('停机');
  });

  it('tells the operator of a wrong key', async () => {
    const services = testServices(db);
    aliyun.behave(aliyunBehaviour([]));
    const wrong = { ...settings, access_key_secret: 'another-secret' };
    expect(await sendByAliyun(services, wrong, message)).toMatchObject({ error: { code: 'upstream_unavailable' } });
    expect(services.logged()).toMatch(/"level":"error".*SignatureDoesNotMatch/);
    expect(services.logged()).not.toContain('another-secret');
  });

  it('repeats once after isp.SYSTEM_ERROR', async () => {
    const answers: object[] = [{ Code: 'isp.SYSTEM_ERROR', Message: '', RequestId: 'R' }];
    const sent: { phone: string; code: string }[] = [];
    const normal = aliyunBehaviour(sent);
    aliyun.behave((seen) => {
      const fault = answers.shift();
      return fault ? { body: fault } : normal(seen);
    });
    expect(await send()).toMatchObject({ result: 'sent', provider: 'aliyun' });
    expect(sent).toHaveLength(1);
  });

  it('B11: repeats a request whose connection broke with the same nonce, so one code is never two messages', async () => {
    const sent: { phone: string; code: string }[] = [];
    const normal = aliyunBehaviour(sent);
    let breaks = 1;
    aliyun.behave(async (seen) => {
      const answer = await normal(seen);
      return breaks-- > 0 ? 'reset' : answer;
    });
    expect(await send()).toMatchObject({ result: 'sent', provider: 'aliyun' });
    expect(sent).toHaveLength(1);
  });

  it('B11: says that it does not know when the connection breaks and stays broken', async () => {
    aliyun.behave(() => 'reset');
    expect(await send()).toMatchObject({ result: 'unknown', error: { code: 'upstream_unavailable' } });
  });

  it('B11: says that nothing was sent when there was no connection', async () => {
    const gone = { ...settings, base_url: `http://127.0.0.1:${await closedPort()}` };
    expect(await sendByAliyun(testServices(db), gone, message)).toMatchObject({
      result: 'failed',
      error: { code: 'upstream_unavailable' },
    });
  });

  it.each([
    ['an error page', { status: 502, type: 'text/html', body: '<html>Bad gateway</html>' }, 'unknown'],
    ['truncated JSON', { body: '{"Code":"O' }, 'unknown'],
    ['a refusal that is no JSON', { status: 403, type: 'text/html', body: 'no' }, 'failed'],
    ['two megabytes', { body: 'x'.repeat(2_000_000) }, 'unknown'],
  ])('survives %s', async (_what, answer, result) => {
    aliyun.behave(() => answer);
    expect(await send()).toMatchObject({ result, error: { code: 'upstream_unavailable' } });
  });

  it('B11: gives up on a silent provider within five seconds', async () => {
    aliyun.behave(() => 'hang');
    const start = performance.now();
    expect(await send()).toMatchObject({ result: 'unknown', error: { code: 'upstream_unavailable' } });
    expect(performance.now() - start).toBeLessThan(6_000);
  });
});
