/** Reports of the providers, as they push them over HTTP. */
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { createConnectors } from '../../src/connectors/registry.ts';
import { reportRoutes } from '../../src/connectors/report-routes.ts';
import { countDeliveries } from '../../src/connectors/sms/deliveries.ts';
import { createKoa, listen } from '../../src/http/server.ts';
import { testDatabase } from '../helpers/database.ts';
import { aliyunAt, aliyunBehaviour, fakeServer, tencentAt, tencentBehaviour } from './fakes.ts';
import { asking, codeOf, newPerson, testServices } from './services.ts';

const { db } = await testDatabase();
const services = testServices(db);
const connectors = createConnectors(services);
const aliyun = await fakeServer(aliyunBehaviour([]));
const tencent = await fakeServer(tencentBehaviour([]));
const koa = createKoa({ log: services.log, trustProxy: false, https: false });
const router = reportRoutes({ connectors });
koa.use(router.routes()).use(router.allowedMethods());
const server = await listen(koa, { port: 0, host: '127.0.0.1' });
afterAll(() => server.stop());

const report_token = 'only-the-providers-know-this-address-0123';
const first = { ...aliyunAt(aliyun.base), report_token };
const second = tencentAt(tencent.base);
const configure = (settings: object) => connectors.configure({ id: 'sms', connector: 'sms', settings });

async function push(provider: string, body: unknown, token = report_token) {
  const answer = await fetch(`http://127.0.0.1:${server.port}/sms/${provider}/report/${token}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json;charset=utf-8' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  return { status: answer.status, body: await answer.json() };
}
const fromAliyun = (changes: object) => ({
  phone_number: '13900000001',
  send_time: '2026-11-26 11:12:13',
  report_time: '2026-11-26 11:12:15',
  success: true,
  err_code: 'DELIVERED',
  err_msg: '用户接收成功',
  sms_size: '1',
  biz_id: 'unknown^0',
  out_id: '',
  ...changes,
});
const fromTencent = (changes: object) => ({
  user_receive_time: '2026-11-26 11:12:13',
  nationcode: '86',
  mobile: '13900000001',
  report_status: 'SUCCESS',
  errmsg: 'DELIVRD',
  description: '用户短信送达成功',
  sid: 'unknown',
  ...changes,
});
const sent = async () => (await connectors.start('sms', asking(newPerson().phone))).otp_id;
const rowOf = (otp_id: string) => db('sms_deliveries').where({ otp_id }).first();

beforeEach(() => configure(first));

describe('a report', () => {
  it('by Aliyun, in a list with others, says that the message arrived', async () => {
    const otp_id = await sent();
    expect(await connectors.delivery('sms', otp_id)).toBeUndefined();
    const answer = await push('aliyun', [fromAliyun({}), fromAliyun({ out_id: otp_id }), fromAliyun({})]);
    expect(answer).toEqual({ status: 200, body: { code: 0, msg: '接收成功' } });
    expect(await connectors.delivery('sms', otp_id)).toBe('delivered');
  });
  it('by Tencent, which knows its own id of the message alone, says that it did not, and the code of the carrier is kept', async () => {
    await configure({ ...second, report_token });
    const otp_id = await sent();
    const { message_id } = (await rowOf(otp_id)) ?? {};
    const failed = fromTencent({ sid: message_id, report_status: 'FAIL', errmsg: 'MBBLACK', description: '黑名单' });
    expect(await push('tencent', [failed])).toEqual({ status: 200, body: { result: 0, errmsg: 'OK' } });
    expect(await connectors.delivery('sms', otp_id)).toBe('failed');
    expect(await rowOf(otp_id)).toMatchObject({ provider: 'tencent', state: 'failed', fault: 'MBBLACK' });
    expect(services.logged()).toMatch(/"provider":"tencent","fault":"MBBLACK"/);
  });
  it('of the second provider is taken at the same token', async () => {
    await configure({ ...first, fallback: second });
    aliyun.behave(aliyunBehaviour([], () => ({ Code: 'isv.OUT_OF_SERVICE', Message: '', RequestId: 'R' })));
    const otp_id = await sent();
    aliyun.behave(aliyunBehaviour([]));
    const { message_id } = (await rowOf(otp_id)) ?? {};
    await push('tencent', [fromTencent({ sid: message_id })]);
    expect(await connectors.delivery('sms', otp_id)).toBe('delivered');
  });
  it('repeated, or overtaken by an older one, does not undo that the message arrived', async () => {
    const otp_id = await sent();
    const failed = fromAliyun({ out_id: otp_id, success: false, err_code: 'UNKNOWN' });
    await push('aliyun', [failed]);
    expect(await connectors.delivery('sms', otp_id)).toBe('failed');
    await push('aliyun', [fromAliyun({ out_id: otp_id })]);
    await push('aliyun', [failed, failed]);
    expect(await connectors.delivery('sms', otp_id)).toBe('delivered');
  });
  it('holds for messages of its own provider alone', async () => {
    const otp_id = await sent();
    const { message_id } = (await rowOf(otp_id)) ?? {};
    await push('tencent', [fromTencent({ sid: message_id, report_status: 'FAIL', errmsg: 'X' })]);
    expect(await connectors.delivery('sms', otp_id)).toBeUndefined();
  });
  it('keeps no number, and no text of the carrier that could hold one', async () => {
    const otp_id = await sent();
    await push('aliyun', [
      fromAliyun({ out_id: otp_id, success: false, err_code: 'to 13900000001: absent', err_msg: '13900000001' }),
    ]);
    expect(await rowOf(otp_id)).toMatchObject({ state: 'failed', fault: 'unreadable' });
    expect(JSON.stringify(await rowOf(otp_id)) + services.logged()).not.toContain('13900000001');
  });
});

describe('a stranger', () => {
  it.each([
    ['a guessed token', 'aliyun', 'x'.repeat(report_token.length)],
    ['a token that is too short', 'aliyun', 'x'],
    ['a provider that is none', 'pigeon', report_token],
    ['a name of every object', 'constructor', report_token],
  ])('with %s finds nothing there, and changes nothing', async (_what, provider, token) => {
    const otp_id = await sent();
    const answer = await push(provider, [fromAliyun({ out_id: otp_id, success: false })], token);
    expect(answer).toMatchObject({ status: 404, body: { error: { code: 'not_found' } } });
    expect(await connectors.delivery('sms', otp_id)).toBeUndefined();
  });
  it('finds nothing where no token is set, nor where no SMS is set up', async () => {
    const { report_token: _, ...silent } = first;
    await configure(silent);
    expect((await push('aliyun', [], 'undefined')).status).toBe(404);
    await db('connectors').where({ id: 'sms' }).delete();
    expect((await push('aliyun', [])).status).toBe(404);
  });
  it('the address is in no log', async () => {
    await push('aliyun', [fromAliyun({})]);
    expect(services.logged()).toContain('/sms/aliyun/report/[redacted]');
    expect(services.logged()).not.toContain(report_token);
  });
  it.each([
    ['no list', '{"success":true}'],
    ['no JSON', '[{'],
    ['nothing', ''],
  ])('who does know the address and sends %s is answered 400', async (_what, body) => {
    expect((await push('aliyun', body)).status).toBe(400);
  });
  it('gets reports that are none passed over, and the good ones among them taken', async () => {
    const otp_id = await sent();
    const odd = [null, 7, 'x', [], {}, fromAliyun({ success: 'yes' }), fromAliyun({ out_id: { $ne: 1 }, biz_id: 5 })];
    const answer = await push('aliyun', [...odd, fromAliyun({ out_id: otp_id })]);
    expect(answer.status).toBe(200);
    expect(await connectors.delivery('sms', otp_id)).toBe('delivered');
  });
  it('a report signs nobody in', async () => {
    const { otp_id } = await connectors.start('sms', asking(newPerson().phone));
    await push('aliyun', [fromAliyun({ out_id: otp_id })]);
    const input = { otp_id, code: '', purpose: 'login' as const, binding: 'browser-1' };
    expect(await codeOf(connectors.verify('sms', input))).toBe('code_wrong');
  });
});

describe('what is kept', () => {
  it('is counted for the operator, and goes after seven days', async () => {
    await db('sms_deliveries').delete();
    const [old, lost] = [await sent(), await sent()];
    await push('aliyun', [fromAliyun({ out_id: lost, success: false, err_code: 'MOBILE_NOT_ON_SERVICE' })]);
    expect(await countDeliveries(db)).toEqual([{ provider: 'aliyun', accepted: 2, delivered: 0, failed: 1 }]);
    await db.raw(`update sms_deliveries set accepted_at = now() - interval '8 days' where otp_id = ?`, [old]);
    await sent();
    expect(await rowOf(old)).toBeUndefined();
    expect(await rowOf(lost)).toBeDefined();
  });
});
