import { beforeEach, describe, expect, it } from 'vitest';
import { createConnectors } from '../../src/connectors/registry.ts';
import { testDatabase } from '../helpers/database.ts';
import { type Answer, fakeWechat } from './fakes.ts';
import { codeOf, errorOf, outcomes, testServices } from './services.ts';

const { db } = await testDatabase();
const wechat = await fakeWechat();
const other = await fakeWechat('wxtest00000000002');
const services = testServices(db);
const connectors = createConnectors(services);

const configure = (app: typeof wechat, changes = {}) =>
  connectors.configure({
    id: `wechat-miniprogram:${app.appid}`,
    connector: 'wechat-miniprogram',
    settings: { appid: app.appid, secret: app.secret, open_platform: 'company', base_url: app.base, ...changes },
  });

const openid = 'oLi0001';
const exchange = (login_code: string, appid = wechat.appid) => connectors.exchange(appid, { login_code });
const exchangePhone = (phone_code: string, of = openid) =>
  connectors.exchangePhone(wechat.appid, { phone_code, openid: of });

function phoneCode(code: string, phone_info: object = {}): string {
  const watermark = { timestamp: 1_637_744_274, appid: wechat.appid };
  const info = { phoneNumber: '13800138000', purePhoneNumber: '13800138000', countryCode: '86', watermark };
  wechat.phoneCodes.set(code, { openid, phone_info: { ...info, ...phone_info } });
  return code;
}

beforeEach(async () => {
  await configure(wechat);
  await configure(other);
  wechat.behave(wechat.normal);
  await db('wechat_access_tokens').delete();
});

describe('sign-in by the code of wx.login', () => {
  it('proves the openid under its appid, and the unionid under the open-platform account', async () => {
    wechat.loginCodes.set('code-1', { openid, unionid: 'uLi1' });
    expect(await exchange('code-1')).toEqual({
      connector: 'wechat-miniprogram',
      identities: [
        { kind: 'wechat_openid', issuer: wechat.appid, external_id: openid },
        { kind: 'wechat_unionid', issuer: 'company', external_id: 'uLi1' },
      ],
    });
  });
  it('proves the openid alone when the app is not bound', async () => {
    wechat.loginCodes.set('code-2', { openid });
    expect((await exchange('code-2')).identities).toEqual([
      { kind: 'wechat_openid', issuer: wechat.appid, external_id: openid },
    ]);
  });
  it('leaves out a unionid whose open-platform account nobody has named, and says so to the operator', async () => {
    await configure(wechat, { open_platform: null });
    wechat.loginCodes.set('code-3', { openid, unionid: 'uLi1' });
    expect((await exchange('code-3')).identities).toHaveLength(1);
    expect(services.logged()).toContain('open_platform is not set');
  });
  it('C1: refuses a code that was used, is unknown or cannot be one', async () => {
    wechat.loginCodes.set('code-4', { openid });
    await exchange('code-4');
    for (const code of ['code-4', 'unknown', '', 'a b', 'x'.repeat(600), '码']) {
      expect(await codeOf(exchange(code))).toBe('wechat_code_invalid');
    }
  });
  it('C2: one code twice in the same instant succeeds once', async () => {
    wechat.loginCodes.set('code-5', { openid });
    expect(await outcomes([exchange('code-5'), exchange('code-5')])).toEqual({ ok: 1, wechat_code_invalid: 1 });
  });
  it('C3: the code of another app is refused, and an app that is not ours is not asked about', async () => {
    wechat.loginCodes.set('code-6', { openid });
    expect(await codeOf(exchange('code-6', other.appid))).toBe('wechat_code_invalid');
    expect(await codeOf(exchange('code-6', 'wxsomebodyelse'))).toBe('connector_not_configured');
    expect(await exchange('code-6')).toMatchObject({ connector: 'wechat-miniprogram' });
  });
  it('C5: session_key is in no answer and no log line', async () => {
    wechat.loginCodes.set('code-7', { openid });
    expect(JSON.stringify(await exchange('code-7'))).not.toContain('tiihtNczf5v6AKRyjwEUhQ');
    expect(services.logged()).not.toContain('tiihtNczf5v6AKRyjwEUhQ');
  });
  it('C8: the same openid in two apps is two identities', async () => {
    wechat.loginCodes.set('code-8', { openid });
    other.loginCodes.set('code-8', { openid });
    const [here] = (await exchange('code-8')).identities;
    const [there] = (await exchange('code-8', other.appid)).identities;
    expect(here).not.toEqual(there);
  });
  it.each([{ openid: '' }, { openid: 7 }, { unionid: 'u' }, {}, { openid: { $ne: 1 } }])(
    'an answer without an openid (%j) is no answer',
    async (body) => {
      wechat.behave(() => ({ body }));
      expect(await codeOf(exchange('code-9'))).toBe('upstream_unavailable');
    },
  );
});

describe('what the errors of WeChat become', () => {
  it.each([
    [40029, 'wechat_code_invalid', undefined],
    [40163, 'wechat_code_invalid', undefined],
    [40226, 'wechat_refused', undefined],
    [40013, 'wechat_misconfigured', 60],
    [40125, 'wechat_misconfigured', 60],
    [40243, 'wechat_misconfigured', 60],
    [41002, 'wechat_misconfigured', 60],
    [41004, 'wechat_misconfigured', 60],
    [40164, 'wechat_misconfigured', 60],
    [-1, 'upstream_unavailable', 5],
    [45009, 'upstream_unavailable', 600],
    [45011, 'upstream_unavailable', 60],
    [99999, 'upstream_unavailable', 5],
  ])('%s becomes %s', async (errcode, code, retryAfterSeconds) => {
    wechat.behave(() => ({ body: { errcode, errmsg: 'said by WeChat, rid: 1-2-3' } }));
    expect(await errorOf(exchange('some-code'))).toMatchObject({ code, retryAfterSeconds });
  });
  it('tells the operator which app is wrong and which address to put on the white list', async () => {
    const errmsg = 'invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist, rid: 1-2-3';
    wechat.behave(() => ({ body: { errcode: 40164, errmsg } }));
    await codeOf(exchange('some-code'));
    const line = services
      .logged()
      .split('\n')
      .findLast((entry) => entry.includes('40164'));
    expect(JSON.parse(line ?? '{}')).toMatchObject({ level: 'error', appid: wechat.appid, errcode: 40164 });
    expect(line).toContain('203.0.113.7');
  });
});

describe('the phone-number button', () => {
  it('proves the number in its one spelling', async () => {
    expect(await exchangePhone(phoneCode('phone-1'))).toEqual({
      connector: 'wechat-miniprogram',
      identities: [{ kind: 'phone', issuer: '', external_id: '+8613800138000' }],
    });
  });
  it.each([
    [{ countryCode: 86 }, '+8613800138000'],
    [{ countryCode: '+86', purePhoneNumber: 13_800_138_000 }, '+8613800138000'],
    [{ countryCode: '852', purePhoneNumber: '91234567', phoneNumber: '+85291234567' }, '+85291234567'],
  ])('reads %j, of any country', async (info, e164) => {
    const { identities } = await exchangePhone(phoneCode(crypto.randomUUID(), info));
    expect(identities[0]?.external_id).toBe(e164);
  });
  it('C7: is good once, and for the person who tapped it', async () => {
    phoneCode('phone-2');
    expect(await codeOf(exchangePhone('phone-2', 'oSomebodyElse'))).toBe('wechat_code_invalid');
    await exchangePhone('phone-2');
    expect(await codeOf(exchangePhone('phone-2'))).toBe('wechat_code_invalid');
  });
  it('C6: is refused with the watermark of another app', async () => {
    const watermark = { timestamp: 1, appid: other.appid };
    expect(await codeOf(exchangePhone(phoneCode('phone-3', { watermark })))).toBe('wechat_code_invalid');
  });
  it('C3: of another app is refused as a code, not as a wrong setting', async () => {
    wechat.behave((seen) =>
      seen.url.pathname === '/cgi-bin/stable_token' ? wechat.normal(seen) : { body: { errcode: 40013 } },
    );
    expect(await codeOf(exchangePhone('phone-4'))).toBe('wechat_code_invalid');
  });
  it('survives an app token that was voided meanwhile, with the same code', async () => {
    await exchangePhone(phoneCode('phone-5'));
    wechat.token = 'app-token-next';
    expect(await exchangePhone(phoneCode('phone-6'))).toMatchObject({ connector: 'wechat-miniprogram' });
  });
  it('with a wrong secret is the operator to mend', async () => {
    await configure(wechat, { secret: 'not-the-secret' });
    expect(await codeOf(exchangePhone(phoneCode('phone-7')))).toBe('wechat_misconfigured');
    expect(services.logged()).not.toContain('not-the-secret');
  });
  it('C14: is not sent again when the connection broke', async () => {
    await exchangePhone(phoneCode('phone-8'));
    const before = wechat.seen.length;
    wechat.behave(() => 'reset');
    expect(await codeOf(exchangePhone('phone-9'))).toBe('upstream_unavailable');
    expect(wechat.seen.length - before).toBe(1);
  });
  it('is in no log line, nor is the number', async () => {
    expect(services.logged()).not.toMatch(/phone-\d|13800138000/);
  });
});

describe('codes and links that open the mini-program', () => {
  const picture = Buffer.concat([Buffer.from([0xff, 0xd8, 0xff, 0xe0]), Buffer.alloc(500, 7)]);
  const asked = () => JSON.parse(wechat.seen.at(-1)?.body ?? '{}');
  const answering = (answer: Answer) =>
    wechat.behave((seen) => (seen.url.pathname.startsWith('/wxa/') ? answer : wechat.normal(seen)));

  it('a code for scanning is the picture, byte for byte, of the settings’ page and version', async () => {
    answering({ type: 'image/jpeg', body: picture });
    expect(await connectors.scanCode(wechat.appid, { scene: 'ticket-1' })).toEqual({
      type: 'image/jpeg',
      bytes: picture,
    });
    expect(asked()).toEqual({
      scene: 'ticket-1',
      page: 'pages/login/scan',
      env_version: 'release',
      check_path: true,
    });
    await configure(wechat, { scan_page: 'pages/scan', env_version: 'trial' });
    await connectors.scanCode(wechat.appid, { scene: 'ticket-1' });
    expect(asked()).toMatchObject({ page: 'pages/scan', env_version: 'trial', check_path: false });
  });
  it('C14: an error that comes as a picture’s answer is read, whatever its content type says', async () => {
    answering({ type: 'image/jpeg', body: { errcode: 41030, errmsg: 'invalid page' } });
    expect(await codeOf(connectors.scanCode(wechat.appid, { scene: 'ticket-2' }))).toBe('wechat_misconfigured');
    answering({ type: 'text/html', body: '<html>gateway</html>' });
    expect(await codeOf(connectors.scanCode(wechat.appid, { scene: 'ticket-2' }))).toBe('upstream_unavailable');
    expect(services.logged()).not.toContain('ticket-2');
  });
  it('a link carries the query and ends by itself', async () => {
    answering({ body: { errcode: 0, errmsg: 'ok', url_link: 'https://wxaurl.cn/abc' } });
    const link = { path: '', query: 'link=ticket-3', seconds: 300 };
    expect(await connectors.appLink(wechat.appid, link)).toBe('https://wxaurl.cn/abc');
    const { expire_time, ...rest } = asked();
    expect(rest).toEqual({ path: '', query: 'link=ticket-3', env_version: 'release', expire_type: 0 });
    expect(Math.abs(expire_time - Date.now() / 1000 - 300)).toBeLessThan(60);
    answering({ body: { errcode: 85407, errmsg: 'no scheme permission' } });
    expect(await codeOf(connectors.appLink(wechat.appid, link))).toBe('wechat_misconfigured');
  });
  it('are made for an app that is set up, and for no other', async () => {
    expect(await connectors.apps()).toEqual([wechat.appid, other.appid]);
    expect(await codeOf(connectors.scanCode('wxunknown', { scene: 'x' }))).toBe('connector_not_configured');
  });
});
