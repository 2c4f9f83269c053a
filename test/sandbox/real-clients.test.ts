/** The product's own connectors, pointed at the sandbox by address alone. */
import { beforeAll, describe, expect, test } from 'vitest';
import { createConnectors } from '../../src/connectors/registry.ts';
import { sandboxAddresses, sandboxApps, sandboxOpenPlatform, sandboxSms } from '../../src/sandbox/sandbox.ts';
import { asking, codeOf, testServices } from '../connectors/services.ts';
import { testDatabase } from '../helpers/database.ts';
import { startWorld } from './world.ts';

const { url, smtpPort, call, code } = await startWorld();
const { db } = await testDatabase();
const connectors = createConnectors(testServices(db));
const { appid, secret } = sandboxApps.miniprogram;

beforeAll(async () => {
  const base = sandboxAddresses(url);
  const source = 'sandbox' as const;
  const aliyun = { provider: 'aliyun', ...sandboxSms.aliyun, base_url: base.aliyun_sms };
  await connectors.configure({ id: 'sms', connector: 'sms', settings: aliyun, source });
  const smtp = { host: '127.0.0.1', port: smtpPort, secure: false, from: 'Heyi <no-reply@heyi.localhost>' };
  await connectors.configure({ id: 'email', connector: 'email', settings: smtp, source });
  await connectors.configure({
    id: `wechat-miniprogram:${appid}`,
    connector: 'wechat-miniprogram',
    settings: { appid, secret, open_platform: sandboxOpenPlatform, base_url: base.wechat_api },
    source,
  });
});

describe('a one-time code', () => {
  test.each([
    ['sms', '+8613800138000', 'phone'],
    ['email', 'xiaoman@example.com', 'email'],
  ])('by %s is found in the inbox and proves the address', async (name, to, kind) => {
    const asked = asking(to);
    const { otp_id } = await connectors.start(name, asked);
    const messages = (await call('GET', `/inbox?to=${encodeURIComponent(to)}`)).body.messages as { code: string }[];
    const proof = await connectors.verify(name, { ...asked, otp_id, code: String(messages[0]?.code) });
    expect(proof.identities).toEqual([{ kind, issuer: '', external_id: to }]);
  });
});

describe('a second SMS provider', () => {
  test('sends what the first one refuses, and its code proves the number', async () => {
    const base = sandboxAddresses(url);
    const tencent = { provider: 'tencent', ...sandboxSms.tencent, base_url: base.tencent_sms };
    const aliyun = { provider: 'aliyun', ...sandboxSms.aliyun, base_url: base.aliyun_sms };
    const source = 'sandbox' as const;
    await connectors.configure({ id: 'sms', connector: 'sms', settings: { ...aliyun, fallback: tencent }, source });
    await call('PUT', '/faults', { target: 'aliyun_sms', errcode: 'isv.OUT_OF_SERVICE' });
    const asked = asking('+8613800138004');
    const { otp_id } = await connectors.start('sms', asked);
    await call('DELETE', '/faults');
    const messages = (await call('GET', '/inbox?to=%2B8613800138004')).body.messages as { code: string }[];
    const proof = await connectors.verify('sms', { ...asked, otp_id, code: String(messages[0]?.code) });
    expect(proof.identities).toEqual([{ kind: 'phone', issuer: '', external_id: '+8613800138004' }]);
  });
});

describe('a mini-program', () => {
  const exchange = async (person: string) => {
    const { identities } = await connectors.exchange(appid, { login_code: await code(person, 'login-code') });
    return Object.fromEntries(identities.map(({ kind, external_id }) => [kind, external_id]));
  };

  test('login code proves openid and unionid, a phone code the number of that person only', async () => {
    const { wechat_openid = '', wechat_unionid } = await exchange('lin-xiaoman');
    expect(wechat_unionid).toMatch(/^o[\w-]{27}$/);
    const phone_code = await code('lin-xiaoman', 'phone-code');
    const foreign = (await exchange('chen-jiahe')).wechat_openid ?? '';
    expect(await codeOf(connectors.exchangePhone(appid, { phone_code, openid: foreign }))).toBe('wechat_code_invalid');
    const proof = await connectors.exchangePhone(appid, { phone_code, openid: wechat_openid });
    expect(proof.identities).toEqual([{ kind: 'phone', issuer: '', external_id: '+8613800138000' }]);
  });

  test('survives a busy WeChat, and says so when it stays away', async () => {
    await call('PUT', '/faults', { target: 'jscode2session', errcode: -1, times: 1 });
    expect((await exchange('lin-xiaoman')).wechat_openid).toBeDefined();
    await call('PUT', '/faults', { target: 'jscode2session', status: 502 });
    const login_code = await code('lin-xiaoman', 'login-code');
    expect(await codeOf(connectors.exchange(appid, { login_code }))).toBe('upstream_unavailable');
    await call('DELETE', '/faults');
  });
});
