/**
 * WeChat's side of signing in on an authorise page (qrconnect and the official account's): what the person does there, and sns/* for
 * the code that comes of it. As its documentation and raw samples describe them, oddities included.
 */
import { type Answer, type Behaviour, type FakeServer, fakeServer, type Seen } from './fakes.ts';

export type WechatPerson = { openid: string; unionid?: string; nickname?: string; headimgurl?: string };

export type FakePages = FakeServer & {
  appid: string;
  secret: string;
  normal: Behaviour;
  /** The person agrees on the page at this address; where WeChat sends the browser then. */
  agree(authorise: string, person: WechatPerson, extra?: { is_snapshotuser?: 1; code?: string }): string;
  /** WeChat's older way of refusing: back, without a code. */
  refuse(authorise: string): string;
};

const order =
  /^\?appid=[^&]+&redirect_uri=[^&]+&response_type=code&scope=\w+&state=[a-zA-Z0-9]{1,128}(&lang=(cn|en))?$/;
const pages: Record<string, string[]> = {
  '/connect/qrconnect': ['snsapi_login'],
  '/connect/oauth2/authorize': ['snsapi_base', 'snsapi_userinfo'],
};

export async function fakeWechatPages(appid: string): Promise<FakePages> {
  const codes = new Map<string, { person: WechatPerson; scope: string; is_snapshotuser?: 1; used: boolean }>();
  const tokens = new Map<string, { person: WechatPerson; scope: string }>();
  const refused = (errcode: number, text: string): Answer => ({
    body: { errcode, errmsg: `${text}, rid: 65d56510-389d87bb-729c2f46` },
  });
  const server = await fakeServer(() => refused(-1, 'not ready'));
  let count = 0;

  /** WeChat shows its page only to an address that fits its pattern, fragment included. */
  function read(authorise: string) {
    const url = new URL(authorise);
    const scope = url.searchParams.get('scope') ?? '';
    const isShown = order.test(url.search) && url.hash === '#wechat_redirect' && pages[url.pathname]?.includes(scope);
    if (!isShown || url.searchParams.get('appid') !== appid) throw new Error(`WeChat would not show ${authorise}`);
    const back = new URL(url.searchParams.get('redirect_uri') ?? '');
    back.searchParams.set('state', url.searchParams.get('state') ?? '');
    return { scope, back };
  }

  function token({ url: { searchParams } }: Seen): Answer {
    if (searchParams.get('appid') !== appid) return refused(40013, 'invalid appid');
    if (searchParams.get('secret') !== pagesOf.secret) return refused(40125, 'invalid appsecret');
    const text = searchParams.get('code') ?? '';
    const code = codes.get(text);
    if (!code) return refused(40029, 'invalid code');
    if (code.used) return refused(40163, 'code been used');
    code.used = true;
    const { person, scope, is_snapshotuser } = code;
    const access_token = `user-token-of-${text}`;
    tokens.set(access_token, code);
    const { openid, unionid } = person;
    const told = scope === 'snsapi_base' ? {} : { unionid };
    const answer = { access_token, expires_in: 7200, refresh_token: `refresh-${text}`, openid, scope, ...told };
    return { body: { ...answer, ...(is_snapshotuser && { is_snapshotuser }) } };
  }

  function userInfo({ url: { searchParams } }: Seen): Answer {
    const found = tokens.get(searchParams.get('access_token') ?? '');
    if (!found) return refused(40014, 'invalid access_token');
    if (found.scope === 'snsapi_base') return refused(48001, 'api unauthorized');
    if (searchParams.get('openid') !== found.person.openid) return refused(40003, 'invalid openid');
    return { body: { nickname: '小满', headimgurl: '', sex: 0, privilege: [], ...found.person } };
  }

  const pagesOf: FakePages = Object.assign(server, {
    appid,
    secret: `appsecret-of-${appid}`,
    normal: (seen: Seen) => (seen.url.pathname === '/sns/userinfo' ? userInfo(seen) : token(seen)),
    agree(authorise: string, person: WechatPerson, extra: { is_snapshotuser?: 1; code?: string } = {}) {
      const { scope, back } = read(authorise);
      count += 1;
      const { code = `0code-${appid}-${count}`, ...more } = extra;
      codes.set(code, { person, scope, used: false, ...more });
      back.searchParams.set('code', code);
      return back.href;
    },
    refuse: (authorise: string) => read(authorise).back.href,
  });
  server.behave(pagesOf.normal);
  return pagesOf;
}
