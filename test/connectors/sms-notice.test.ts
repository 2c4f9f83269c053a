/** What happened to an account, told by text message: what leaves the house, and who sends it. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { Notice } from '../../src/connectors/contract.ts';
import { createConnectors } from '../../src/connectors/registry.ts';
import { testDatabase } from '../helpers/database.ts';
import { aliyunAt, aliyunBehaviour, fakeServer, tencentAt, tencentBehaviour } from './fakes.ts';
import { codeOf, testServices } from './services.ts';

const { db } = await testDatabase();
const services = testServices(db);
const connectors = createConnectors(services);
const byTencent: { TemplateId?: string; TemplateParamSet?: string[] }[] = [];
const aliyun = await fakeServer(aliyunBehaviour([]));
const tencent = await fakeServer(tencentBehaviour(byTencent));
const first = aliyunAt(aliyun.base);
const second = tencentAt(tencent.base);
const configure = (settings: object) => connectors.configure({ id: 'sms', connector: 'sms', settings });
const notice: Notice = {
  to: '+8613800138000',
  id: 'n1',
  locale: 'zh-CN',
  what: 'identity_linked',
  kind: 'email',
  hint: 'a***@example.com',
  at: new Date('2026-11-26T11:00:00Z'),
  url: 'https://id.example.com/account',
};
const out = (code: string) => aliyunBehaviour([], () => ({ Code: code, Message: '', RequestId: 'R' }));

beforeEach(() => {
  byTencent.length = 0;
  aliyun.seen.length = 0;
  aliyun.behave(aliyunBehaviour([]));
});

describe('a notice by text message', () => {
  it('is what happened and when, in the template for it, and nothing else of the person', async () => {
    await configure({ ...first, notice_template_code: 'SMS_2' });
    expect(await connectors.notify('sms', notice)).toBe(true);
    const form = new URLSearchParams(aliyun.seen.at(-1)?.body);
    expect(form.get('TemplateCode')).toBe('SMS_2');
    expect(JSON.parse(form.get('TemplateParam') ?? '')).toEqual({
      what: '添加了邮箱登录方式',
      at: '2026年11月26日 19:00',
    });
    expect(form.toString()).not.toContain('example');
  });

  it('is not sent without a template for it, and never in that of the code', async () => {
    await configure({ ...first, fallback: { ...second, notice_template_id: '2220' } });
    expect(await connectors.notify('sms', notice)).toBe(false);
    expect(aliyun.seen).toEqual([]);
  });

  it('goes by the second provider when the first certainly did not send, if that has a template too', async () => {
    aliyun.behave(out('isv.AMOUNT_NOT_ENOUGH'));
    await configure({ ...first, notice_template_code: 'SMS_2', fallback: { ...second, notice_template_id: '2220' } });
    expect(await connectors.notify('sms', { ...notice, what: 'merged', kind: undefined, locale: 'en' })).toBe(true);
    expect(byTencent).toMatchObject([
      { TemplateId: '2220', TemplateParamSet: ['two accounts were joined', '26 November 2026 at 19:00'] },
    ]);
    await configure({ ...first, notice_template_code: 'SMS_2', fallback: second });
    expect(await codeOf(connectors.notify('sms', notice))).toBe('upstream_unavailable');
    expect(byTencent).toHaveLength(1);
  });

  it('says whether trying again makes sense', async () => {
    await configure({ ...first, notice_template_code: 'SMS_2' });
    aliyun.behave(out('isv.MOBILE_NUMBER_ILLEGAL'));
    expect(await codeOf(connectors.notify('sms', notice))).toBe('phone_invalid');
  });
});
