import { beforeEach, describe, expect, it } from 'vitest';
import { withAccessToken } from '../../src/connectors/wechat/access-token.ts';
import { callWechat } from '../../src/connectors/wechat/client.ts';
import { createDatabase } from '../../src/database.ts';
import { testDatabase } from '../helpers/database.ts';
import { fakeWechat } from './fakes.ts';
import { testServices } from './services.ts';

const { db, url } = await testDatabase();
const wechat = await fakeWechat();
const app = { appid: wechat.appid, secret: wechat.secret, base_url: wechat.base };
const services = testServices(db);
const token = (from = services) => withAccessToken(from, app, async (accessToken) => accessToken);
const fetches = () => wechat.seen.filter(({ url: { pathname } }) => pathname === '/cgi-bin/stable_token');
/** Moves the stored token in time, as if so many seconds had passed. */
const secondsPass = (seconds: number) =>
  db.raw(
    `update wechat_access_tokens set fetched_at = fetched_at - make_interval(secs => :seconds),
       expires_at = expires_at - make_interval(secs => :seconds)`,
    { seconds },
  );

beforeEach(async () => {
  wechat.seen.length = 0;
  wechat.token = 'app-token-1';
  wechat.behave(wechat.normal);
  await db('wechat_access_tokens').delete();
});

describe("the app's access token", () => {
  it('is fetched once and then shared by all processes, sealed', async () => {
    const other = createDatabase({ url });
    expect(await token()).toBe('app-token-1');
    expect(await token(testServices(other))).toBe('app-token-1');
    expect(fetches()).toHaveLength(1);
    expect(JSON.parse(fetches()[0]?.body ?? '{}')).toMatchObject({
      force_refresh: false,
      grant_type: 'client_credential',
    });
    expect(JSON.stringify(await db('wechat_access_tokens').first())).not.toContain('app-token-1');
    await other.destroy();
  });

  it('C15: a hundred that miss it in the same instant, over two processes, make one call', async () => {
    const other = createDatabase({ url });
    const processes = [services, testServices(other)] as const;
    wechat.behave(async (seen) => {
      await new Promise((resolve) => setTimeout(resolve, 300));
      return wechat.normal(seen);
    });
    const tokens = await Promise.all(Array.from({ length: 100 }, (_, n) => token(n % 2 ? processes[0] : processes[1])));
    expect(new Set(tokens)).toEqual(new Set(['app-token-1']));
    expect(fetches()).toHaveLength(1);
    await other.destroy();
  });

  it('is renewed before its end, by what remained of its life when it was fetched', async () => {
    wechat.behave(() => ({ body: { access_token: 'app-token-1', expires_in: 345 } }));
    await token();
    await secondsPass(200);
    await token();
    expect(fetches()).toHaveLength(1);
    await secondsPass(50);
    await token();
    expect(fetches()).toHaveLength(2);
  });

  it('is used to its end while WeChat cannot renew it', async () => {
    await token();
    await secondsPass(7_150);
    wechat.behave(() => ({ status: 502, body: 'bad gateway' }));
    expect(await token()).toBe('app-token-1');
    await secondsPass(60);
    await expect(token()).rejects.toMatchObject({ name: 'WechatError' });
  });

  it.each([40001, 40014, 42001])('is dropped and fetched anew once when WeChat answers %s', async (errcode) => {
    await token();
    wechat.token = 'app-token-2';
    const used: string[] = [];
    wechat.behave((seen) => {
      if (seen.url.pathname === '/cgi-bin/stable_token') return wechat.normal(seen);
      used.push(seen.url.searchParams.get('access_token') ?? '');
      return { body: used.at(-1) === wechat.token ? { errcode: 0 } : { errcode, errmsg: 'invalid credential' } };
    });
    const call = (access_token: string) =>
      callWechat({ api: 'wxa/anything', base_url: wechat.base, query: { access_token }, repeatable: true });
    expect(await withAccessToken(services, app, call)).toEqual({ errcode: 0 });
    expect(used).toEqual(['app-token-1', 'app-token-2']);
  });

  it('is not fetched without end when WeChat refuses each one', async () => {
    wechat.behave((seen) =>
      seen.url.pathname === '/cgi-bin/stable_token' ? wechat.normal(seen) : { body: { errcode: 42001 } },
    );
    const call = (access_token: string) =>
      callWechat({ api: 'wxa/anything', base_url: wechat.base, query: { access_token }, repeatable: true });
    await expect(withAccessToken(services, app, call)).rejects.toMatchObject({ errcode: 42001 });
    expect(fetches()).toHaveLength(2);
  });

  it('of one app does not open as that of another', async () => {
    await token();
    await db.raw(
      `insert into wechat_access_tokens select 'wxother0000000001', token_sealed, fetched_at, expires_at from wechat_access_tokens`,
    );
    await expect(withAccessToken(services, { ...app, appid: 'wxother0000000001' }, async () => 1)).rejects.toThrow();
  });

  it('is never logged', async () => {
    await token();
    wechat.behave(() => ({ body: { errcode: 40125, errmsg: `invalid appsecret ${wechat.secret}` } }));
    await db('wechat_access_tokens').delete();
    await expect(token()).rejects.toMatchObject({
      errcode: 40125,
      message: expect.not.stringContaining(wechat.secret),
    });
    expect(services.logged()).not.toMatch(/app-token-|appsecret-/);
  });
});
