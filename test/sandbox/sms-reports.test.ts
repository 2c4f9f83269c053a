import { afterAll, describe, expect, test } from 'vitest';
import { createConnectors } from '../../src/connectors/registry.ts';
import { reportRoutes } from '../../src/connectors/report-routes.ts';
import { createKoa, listen } from '../../src/http/server.ts';
import { sandboxAddresses, sandboxSms } from '../../src/sandbox/sandbox.ts';
import { asking, newPerson, testServices } from '../connectors/services.ts';
import { runningApp } from '../helpers/app.ts';
import { testDatabase } from '../helpers/database.ts';
import { startWorld } from './world.ts';

const { url, call } = await startWorld();
const { db } = await testDatabase();
const services = testServices(db);
const connectors = createConnectors(services);
const koa = createKoa({ log: services.log, trustProxy: false, https: false });
koa.use(reportRoutes({ connectors }).routes());
const heyi = await listen(koa, { port: 0, host: '127.0.0.1' });
afterAll(() => heyi.stop());

const base = sandboxAddresses(url);
const { report_token } = sandboxSms;
const gateways = {
  aliyun: { provider: 'aliyun', ...sandboxSms.aliyun, base_url: base.aliyun_sms, report_token },
  tencent: { provider: 'tencent', ...sandboxSms.tencent, base_url: base.tencent_sms, report_token },
};
const address = (vendor: string) => `http://127.0.0.1:${heyi.port}/sms/${vendor}/report/${report_token}`;

async function send() {
  const { phone } = newPerson();
  const { otp_id } = await connectors.start('sms', asking(phone));
  const state = async () => {
    const { messages } = (await call('GET', `/inbox?to=${encodeURIComponent(phone)}`)).body;
    return (messages as { state: string }[])[0]?.state;
  };
  return { otp_id, state };
}
const soon = (look: () => Promise<unknown>) => expect.poll(look, { timeout: 5_000, interval: 50 });

describe.each(['aliyun', 'tencent'] as const)('reports of %s', (vendor) => {
  test('tell Heyi what became of a message, and the inbox shows it', async () => {
    await connectors.configure({ id: 'sms', connector: 'sms', settings: gateways[vendor] });
    expect((await call('PUT', '/sms-reports', { [vendor]: address(vendor) })).body).toMatchObject({
      [vendor]: address(vendor),
    });
    const good = await send();
    expect(await good.state()).toBe('accepted');
    await soon(() => connectors.delivery('sms', good.otp_id)).toBe('delivered');
    expect(await good.state()).toBe('delivered');

    await call('PUT', '/faults', { target: 'sms_report', errcode: 'MBBLACK', times: 1 });
    const bad = await send();
    await soon(() => connectors.delivery('sms', bad.otp_id)).toBe('failed');
    expect(await bad.state()).toBe('failed');
  });
});

test('without an address nothing is told, and the message is delivered all the same', async () => {
  await call('PUT', '/sms-reports', { aliyun: null, tencent: null });
  const { otp_id, state } = await send();
  await soon(state).toBe('delivered');
  expect(await connectors.delivery('sms', otp_id)).toBeUndefined();
});

test('an address that is none is refused', async () => {
  expect((await call('PUT', '/sms-reports', { aliyun: 'nowhere' })).status).toBe(400);
});

test('as npm start wires it, the seeded gateway reports to Heyi by itself', async () => {
  const app = await runningApp();
  const answer = await fetch(`${app.config.publicUrl}/otp`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ client_id: 'demo-miniprogram', channel: 'sms', to: '13800138000' }),
  });
  expect(answer.status).toBe(200);
  await soon(() => app.db('sms_deliveries').select('provider', 'state')).toEqual([
    { provider: 'aliyun', state: 'delivered' },
  ]);
});
