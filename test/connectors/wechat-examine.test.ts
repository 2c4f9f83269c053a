/** What `heyi doctor` says of the WeChat apps, with the sandbox as WeChat on its bad days. */
import { afterEach, describe, expect, it } from 'vitest';
import { createConnectors } from '../../src/connectors/registry.ts';
import { examineApps } from '../../src/connectors/wechat/examine.ts';
import { runningApp } from '../helpers/app.ts';
import { testServices } from './services.ts';

const { config, db, seal } = await runningApp();
const clock = { now: () => new Date() };
const publicUrl = 'https://id.example.com';
const examine = (place = {}) => examineApps({ db, seal }, { clock, publicUrl, ...place });
const [mini, web, official] = [1, 2, 3].map((n) => `wxsandbox000000000${n}`);
const about = async (topic: string, place = {}) => (await examine(place)).find(({ check }) => check.endsWith(topic));

const fault = (body: object) =>
  fetch(`${config.sandboxUrl}/faults`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
afterEach(() => fetch(`${config.sandboxUrl}/faults`, { method: 'DELETE' }));

describe('the WeChat apps', () => {
  it('that are set up well have nothing to mend', async () => {
    const findings = await examine();
    expect(findings.filter(({ state }) => state !== 'ok')).toEqual([]);
    expect(findings.map(({ check }) => check)).toEqual(
      expect.arrayContaining([
        `wechat-miniprogram:${mini} credentials`,
        `wechat-web:${web} credentials`,
        `wechat-official:${official} push`,
      ]),
    );
    expect(await about(`${web} domain`)).toMatchObject({
      found: expect.stringContaining('授权回调域 = id.example.com'),
    });
    expect(await about(`${mini} domain`)).toMatchObject({
      found: expect.stringContaining(`request 合法域名 = ${publicUrl}`),
    });
  });

  it('40164: the address that belongs on the white list is named', async () => {
    const errmsg = 'invalid ip 203.0.113.9 ipv6 ::ffff:203.0.113.9, not in whitelist rid: 65d56510-389d87bb-729c2f46';
    await fault({ target: 'stable_token', errcode: 40164, errmsg });
    expect(await about(`${mini} credentials`)).toMatchObject({
      state: 'fail',
      advice: expect.stringContaining('put 203.0.113.9 on'),
    });
  });

  it.each([
    ['stable_token', mini, 40125, 'the secret is wrong'],
    ['stable_token', official, 40013, 'the appid is wrong'],
    ['access_token', web, 40125, 'the secret is wrong'],
  ])('%s of %s answers %s: %s', async (target, appid, errcode, sentence) => {
    await fault({ target, errcode });
    const found = await about(`${appid} credentials`);
    expect(found).toMatchObject({ state: 'fail', advice: expect.stringContaining(sentence) });
    expect(JSON.stringify(found)).not.toContain('sandboxsecret');
  });

  it('WeChat that does not answer', async () => {
    await fault({ target: 'wechat', reset: true });
    expect(await about(`${mini} credentials`)).toMatchObject({
      state: 'warn',
      found: expect.stringContaining('did not answer'),
    });
  });

  it('a clock that is apart, and an address without https', async () => {
    const late = { now: () => new Date(Date.now() + 180_000) };
    expect(await about(`${mini} clock`, { clock: late })).toMatchObject({ state: 'fail', advice: expect.any(String) });
    expect(await about(`${web} domain`, { publicUrl: 'http://id.example.com' })).toMatchObject({ state: 'warn' });
  });

  it('without push settings, without encryption, without an open platform', async () => {
    const appid = 'wx00000000000000c1';
    const connectors = createConnectors({ ...testServices(db), seal });
    const base_url = `${config.sandboxUrl}/api.weixin.qq.com`;
    const configure = (more: object) =>
      connectors.configure({
        id: `wechat-miniprogram:${appid}`,
        connector: 'wechat-miniprogram',
        settings: { appid, secret: 'x', base_url, ...more },
      });
    await configure({});
    expect(await about(`${appid} credentials`)).toMatchObject({ state: 'fail' });
    expect(await about(`${appid} unionid`)).toMatchObject({ state: 'warn' });
    expect(await about(`${appid} push`)).toMatchObject({
      state: 'warn',
      advice: expect.stringContaining(`${publicUrl}/wechat/${appid}/push`),
    });
    await configure({ push_token: 'abc123' });
    expect(await about(`${appid} push`)).toMatchObject({ state: 'warn', advice: expect.stringContaining('安全模式') });
  });
});
