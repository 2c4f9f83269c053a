import { describe, expect, it } from 'vitest';
import { createConnectors } from '../../src/connectors/registry.ts';
import { createDatabase } from '../../src/database.ts';
import { testDatabase } from '../helpers/database.ts';
import { asking, codeOf, errorOf, testServices } from './services.ts';

const { db, url } = await testDatabase();
const services = testServices(db);
const connectors = createConnectors(services);
const smtp = {
  host: 'mail.example.com',
  port: 465,
  secure: true,
  user: 'u',
  password: 'p4ss-w0rd',
  from: 'a@example.com',
};
const app = { appid: 'wxabcdef0123456789', secret: 'the-app-secret', open_platform: 'main' };
const appId = `wechat-miniprogram:${app.appid}`;

describe('configured connectors', () => {
  it('what is not set up says so', async () => {
    expect(await connectors.forms()).toEqual([]);
    expect(await codeOf(connectors.start('sms', asking('13800138000')))).toBe('connector_not_configured');
    expect(await codeOf(connectors.start('carrier-pigeon', asking('x')))).toBe('connector_not_configured');
    expect(await codeOf(connectors.start('wechat-miniprogram', asking('x')))).toBe('connector_not_configured');
    expect(await codeOf(connectors.exchange('wx0000000000000000', { login_code: 'x' }))).toBe(
      'connector_not_configured',
    );
  });
  it('are kept sealed', async () => {
    await connectors.configure({ id: 'email', connector: 'email', settings: smtp });
    const row = await db('connectors').where({ id: 'email' }).first();
    expect(JSON.stringify(row)).not.toMatch(/p4ss-w0rd|mail\.example/);
  });
  it('are seen by every process at once', async () => {
    const other = createDatabase({ url, pool: 1 });
    const elsewhere = createConnectors(testServices(other));
    expect(await elsewhere.forms()).toEqual([{ name: 'email', field: 'email' }]);
    await db('connectors').where({ id: 'email' }).update({ is_enabled: false });
    expect(await elsewhere.forms()).toEqual([]);
    await connectors.configure({ id: 'email', connector: 'email', settings: smtp });
    expect(await elsewhere.forms()).toEqual([{ name: 'email', field: 'email' }]);
    await other.destroy();
  });
  it('have the id their kind asks for', async () => {
    const misnamed = connectors.configure({ id: 'email:2', connector: 'email', settings: smtp });
    expect((await errorOf(misnamed)).fields).toEqual({ id: 'must be email' });
    const other = connectors.configure({
      id: 'wechat-miniprogram:wx1',
      connector: 'wechat-miniprogram',
      settings: app,
    });
    expect((await errorOf(other)).fields).toEqual({ id: `must be ${appId}` });
  });
  it('of an unknown kind are refused', async () => {
    const refused = await errorOf(connectors.configure({ id: 'fax', connector: 'fax', settings: {} }));
    expect(refused.fields?.connector).toContain('wechat-miniprogram');
  });
  it('that a newer version cannot read any more count as not set up, and the operator is told', async () => {
    const settings_sealed = services.seal.seal(JSON.stringify({ host: 7 }), 'connectors');
    await db('connectors').where({ id: 'email' }).update({ settings_sealed });
    expect(await codeOf(connectors.start('email', asking('a@example.com')))).toBe('connector_not_configured');
    expect(services.logged()).toMatch(/"level":"error".*settings\.host/);
  });
});

describe('the sandbox', () => {
  it('sets up what nobody has set up, and is switched off by a start without it', async () => {
    await connectors.configure({ id: appId, connector: 'wechat-miniprogram', settings: app, source: 'sandbox' });
    await connectors.disableSandbox();
    expect(await codeOf(connectors.exchange(app.appid, { login_code: 'x' }))).toBe('connector_not_configured');
  });
  it('never replaces what an operator has set', async () => {
    await connectors.configure({ id: 'email', connector: 'email', settings: smtp });
    const fake = { ...smtp, host: 'localhost' };
    await connectors.configure({ id: 'email', connector: 'email', settings: fake, source: 'sandbox' });
    const row = await db('connectors').where({ id: 'email' }).first();
    expect(services.seal.open(row?.settings_sealed ?? '', 'connectors')).toContain('mail.example.com');
    await connectors.disableSandbox();
    expect(await connectors.forms()).toEqual([{ name: 'email', field: 'email' }]);
  });
});
