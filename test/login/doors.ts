/** WeChat's doors set up for a site of the tests, and the walk through them. */
import { fakeWechatPages, type WechatPerson } from '../connectors/wechat-pages.ts';
import type { Site } from './site.ts';
import { type Answer, createVisitor, formTo, type Visitor } from './visitor.ts';
import { walker } from './walk.ts';

export const openPlatform = 'company';
export const agents = {
  computer: 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/147.0 Safari/537.36',
  wechat:
    'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Mobile/15E148 MicroMessenger/8.0.50(0x1800323d) NetType/WIFI',
  wecom: 'Mozilla/5.0 (Linux; Android 14) Mobile Safari/537.36 wxwork/4.1.20 MicroMessenger/7.0.1 Language/zh',
};

export async function openDoors(site: Site) {
  const web = await fakeWechatPages('wxtest00000000002');
  const official = await fakeWechatPages('wxtest00000000003');
  const configure = (name: string, app: typeof web, changes: object = {}) =>
    site.connectors.configure({
      id: `${name}:${app.appid}`,
      connector: name,
      settings: {
        appid: app.appid,
        secret: app.secret,
        open_platform: openPlatform,
        base_url: app.base,
        page_url: app.base,
        ...changes,
      },
    });
  await configure('wechat-web', web);
  await configure('wechat-official', official);

  let visitors = 0;
  const browser = (agent: keyof typeof agents = 'computer'): Visitor => {
    visitors += 1;
    const headers = { 'x-forwarded-for': `10.8.${visitors >> 8}.${visitors & 255}`, 'user-agent': agents[agent] };
    return createVisitor({ headers });
  };
  const { start } = walker(site);
  /** Presses the button; the answer leads to WeChat. */
  async function leave(visitor: Visitor, name = 'wechat-web', parameters: Record<string, string> = {}) {
    const page = await start(visitor, parameters);
    return visitor.submit(formTo(page, `/${name}`));
  }
  /** From WeChat's redirect to the page where the person is then, or the way out. */
  const arrive = async (visitor: Visitor, back: string): Promise<Answer> => visitor.follow(await visitor.get(back));
  /** Agrees to the policy where that is asked, and goes on to the client. */
  async function agreeToPolicy(visitor: Visitor, page: Answer): Promise<Answer> {
    return visitor.follow(await visitor.submit(formTo(page, '/agree'), { privacy: '1' }));
  }
  async function signIn(visitor: Visitor, person: WechatPerson): Promise<Answer> {
    const left = await leave(visitor);
    const page = await arrive(visitor, web.agree(left.location ?? '', person));
    return page.location ? page : agreeToPolicy(visitor, page);
  }
  const codeOf = (out: Answer) => new URL(out.location ?? 'about:blank').searchParams.get('code');
  return { web, official, configure, browser, start, leave, arrive, agreeToPolicy, signIn, codeOf };
}

let people = 0;
export function newWechatPerson(
  more: Partial<WechatPerson> = {},
): Required<Pick<WechatPerson, 'openid' | 'unionid'>> & WechatPerson {
  people += 1;
  return { openid: `oPerson${people}`, unionid: `uPerson${people}`, ...more };
}
