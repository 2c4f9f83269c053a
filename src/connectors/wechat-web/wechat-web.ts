/**
 * Sign-in on a website by a QR code that WeChat shows and a phone scans (网站应用, qrconnect). By default the browser goes to WeChat's
 * page; `embedded` has WeChat's script draw the code on ours, and is off unless an operator wants it: nothing foreign is loaded unasked.
 */
import { z } from 'zod';
import { defineConnector } from '../contract.ts';
import { pageSettings, safeAddress } from '../wechat/settings.ts';
import { authorisePage, isInsideWechat, proofFromCode } from '../wechat/sign-in.ts';

const name = 'wechat-web';

const webSettings = z.object({
  ...pageSettings,
  embedded: z
    .boolean()
    .default(false)
    .describe("show WeChat's QR code on our page: its script is loaded there, and the page's policy names its hosts"),
  script_url: safeAddress
    .default('https://res.wx.qq.com/connect/zh_CN/htmledition/js/wxLogin.js')
    .describe("WeChat's script that draws the embedded code"),
});
export type WebSettings = z.infer<typeof webSettings>;

export const wechatWeb = defineConnector<WebSettings>({
  kind: 'redirect',
  name,
  settings: webSettings,
  key: ({ appid }) => appid,
  label: ({ label }) => label ?? undefined,
  callbackPath: ({ appid }) => `/wechat/${appid}/callback`,
  // A phone cannot scan what it shows itself.
  suits: (_settings, userAgent) => (isInsideWechat(userAgent) ? 'no' : 'yes'),
  leadsTo: ({ page_url }) => [new URL(page_url).origin],
  async authorize(_services, settings, { state, redirect_uri, locale }) {
    const { appid, page_url, embedded, script_url } = settings;
    const lang = locale === 'en' ? 'en' : 'cn';
    const scope = 'snsapi_login';
    const query = { appid, redirect_uri, response_type: 'code', scope, state, lang };
    const url = authorisePage(settings, 'connect/qrconnect', query);
    if (!embedded) return { url, keep: {} };
    // Theirs puts the address into one of its own as it is given.
    const options = { appid, scope, redirect_uri: encodeURIComponent(redirect_uri), state, lang, stylelite: 1 };
    const embed = { script: script_url, frame: new URL(page_url).origin, constructor: 'WxLogin', options };
    return { url, keep: {}, embed };
  },
  callback: (services, settings, { query }) => proofFromCode(services, settings, { connector: name, query }),
});
