/** Two SMS providers: who sends when, and that one code is never two messages. */
import { beforeEach, describe, expect, it } from 'vitest';
import { listInstances } from '../../src/connectors/operators.ts';
import { createConnectors } from '../../src/connectors/registry.ts';
import { testDatabase } from '../helpers/database.ts';
import {
  aliyunAt,
  aliyunBehaviour,
  aliyunKey,
  closedPort,
  fakeServer,
  tencentAt,
  tencentBehaviour,
  tencentKey,
  tencentStatus,
} from './fakes.ts';
import { asking, codeOf, newPerson, testServices } from './services.ts';

const { db } = await testDatabase();
const services = testServices(db);
const connectors = createConnectors(services);
const byAliyun: { phone: string; code: string }[] = [];
const byTencent: { TemplateParamSet?: string[] }[] = [];
const aliyun = await fakeServer(aliyunBehaviour(byAliyun));
const tencent = await fakeServer(tencentBehaviour(byTencent));

const first = aliyunAt(aliyun.base);
const second = tencentAt(tencent.base);
const configure = (settings: object) => connectors.configure({ id: 'sms', connector: 'sms', settings });
const ask = (phone = newPerson().phone) => connectors.start('sms', asking(phone));
const fault = (Code: string) => aliyunBehaviour([], () => ({ Code, Message: '', RequestId: 'R' }));

beforeEach(async () => {
  byAliyun.length = 0;
  byTencent.length = 0;
  aliyun.behave(aliyunBehaviour(byAliyun));
  tencent.behave(tencentBehaviour(byTencent));
  await configure({ ...first, fallback: second });
});

describe('the second provider', () => {
  it('is not asked while the first one sends', async () => {
    await ask();
    expect([byAliyun.length, byTencent.length]).toEqual([1, 0]);
  });
  it.each(['isv.AMOUNT_NOT_ENOUGH', 'isv.SMS_SIGNATURE_ILLEGAL', 'isp.RAM_PERMISSION_DENY', 'isv.DAY_LIMIT_CONTROL'])(
    'sends when the first one refuses with %s, and its code signs in',
    async (code) => {
      aliyun.behave(fault(code));
      const { phone } = newPerson();
      const { otp_id } = await ask(phone);
      const typed = byTencent[0]?.TemplateParamSet?.[0] ?? '';
      const proof = await connectors.verify('sms', { otp_id, code: typed, purpose: 'login', binding: 'browser-1' });
      expect(proof.identities).toEqual([{ kind: 'phone', issuer: '', external_id: phone }]);
    },
  );
  it('sends when the first one cannot be reached', async () => {
    await configure({ ...first, base_url: `http://127.0.0.1:${await closedPort()}`, fallback: second });
    await ask();
    expect(byTencent).toHaveLength(1);
  });
  it('the log says which one sent, and no number', async () => {
    aliyun.behave(fault('isv.OUT_OF_SERVICE'));
    const { phone } = newPerson();
    await ask(phone);
    const lines = services.logged().trim().split('\n');
    expect(lines.at(-1)).toMatch(/"result":"sent","provider":"tencent"/);
    expect(services.logged()).not.toContain(phone.slice(3));
  });
  it('can itself fail: the person is told, nothing is counted', async () => {
    aliyun.behave(fault('isv.OUT_OF_SERVICE'));
    tencent.behave(tencentBehaviour([], () => tencentStatus('FailedOperation.InsufficientBalanceInSmsPackage')));
    const { phone } = newPerson();
    for (let n = 0; n < 7; n++) expect(await codeOf(ask(phone))).toBe('upstream_unavailable');
  });
  it('takes over from one that has been silent for long, without anybody waiting for it', {
    timeout: 20_000,
  }, async () => {
    const silent = await fakeServer(() => 'hang');
    await configure({ ...first, base_url: silent.base, fallback: second });
    const waiting = await Promise.all(Array.from({ length: 10 }, () => codeOf(ask())));
    expect(new Set(waiting)).toEqual(new Set(['upstream_unavailable']));
    expect(byTencent).toHaveLength(0);
    const startedAt = performance.now();
    await ask();
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    expect([silent.seen.length, byTencent.length]).toEqual([10, 1]);
  });
  it('may stand first, and two accounts of one provider may stand behind each other', async () => {
    await configure({ ...second, fallback: first });
    await ask();
    expect(byTencent).toHaveLength(1);
    await configure({ ...first, access_key_secret: 'wrong', fallback: first });
    await ask();
    expect(byAliyun).toHaveLength(1);
  });
});

describe('B11: one code is never two messages', () => {
  it.each([
    ['a broken connection', () => 'reset' as const],
    ['an error page of a gateway', () => ({ status: 502, type: 'text/html', body: '<html>' })],
    ['an answer that is cut off', () => ({ body: '{"Code":"O' })],
    ['silence', () => 'hang' as const],
  ])('after %s the second provider is not asked', async (_what, behaviour) => {
    aliyun.behave(behaviour);
    expect(await codeOf(ask())).toBe('upstream_unavailable');
    expect(tencent.seen.length && byTencent.length).toBe(0);
  });
  it.each([
    ['isv.MOBILE_NUMBER_ILLEGAL', 'phone_invalid'],
    ['isv.CUSTOMER_REFUSED', 'send_refused'],
    ['isv.BUSINESS_LIMIT_CONTROL', 'code_too_soon'],
  ])('nor for %s: that is the number, whoever sends', async (code, error) => {
    aliyun.behave(fault(code));
    expect(await codeOf(ask())).toBe(error);
    expect(byTencent).toHaveLength(0);
  });
});

describe('the settings', () => {
  it('one provider alone, as an older version stored it, stays valid and gets the caps of today', async () => {
    const stored = services.seal.seal(JSON.stringify({ ...first, sends_per_minute: 300 }), 'connectors');
    await db('connectors').where({ id: 'sms' }).update({ settings_sealed: stored });
    await ask();
    expect(byAliyun).toHaveLength(1);
    expect((await listInstances(services))[0]?.settings).toMatchObject({ provider: 'aliyun', sends_per_day: 20_000 });
  });
  it('secrets of the second provider are shown as little as those of the first', async () => {
    const [shown] = await listInstances(services);
    expect(shown?.settings).toMatchObject({
      provider: 'aliyun',
      fallback: { provider: 'tencent', template_id: '1110' },
      sends_per_day: 20_000,
    });
    for (const value of [tencentKey.secret_id, tencentKey.secret_key, aliyunKey.access_key_secret])
      expect(JSON.stringify(shown)).not.toContain(value);
  });
  it.each([
    ['a misspelt name inside', { fallback: { ...second, regoin: 'ap-beijing' } }, 'settings.fallback'],
    ['a provider that is none', { fallback: { ...second, provider: 'pigeon' } }, 'settings.fallback.provider'],
    [
      'a secret that is missing inside',
      { fallback: { ...second, secret_key: undefined } },
      'settings.fallback.secret_key',
    ],
    ['a budget without a price', { daily_budget: 100 }, 'settings.price_per_message'],
    ['a price of nothing', { price_per_message: 0, daily_budget: 1 }, 'settings.price_per_message'],
  ])('%s is refused by name', async (_what, changes, field) => {
    const refused = await configure({ ...first, ...changes }).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'invalid_fields', fields: { [field]: expect.any(String) } });
    expect(JSON.stringify(refused)).not.toContain(tencentKey.secret_key);
  });
  it('a budget holds for both together: the third message of two cents each is not sent for five', async () => {
    await configure({ ...first, fallback: second, price_per_message: 0.02, daily_budget: 0.05 });
    const captcha = { ...services, captcha: { challenge: async () => ({}), verify: async () => true } };
    const unhurried = createConnectors(captcha);
    const send = () => unhurried.start('sms', { ...asking(newPerson().phone), captcha: 'solved' });
    await send();
    aliyun.behave(fault('isv.OUT_OF_SERVICE'));
    await send();
    expect(await codeOf(send())).toBe('sending_paused');
    expect([byAliyun.length, byTencent.length]).toEqual([1, 1]);
  });
});
