/**
 * Sign-in inside WeChat's own browser by an official account (公众号网页授权). `snsapi_base` asks nothing and tells the openid alone;
 * `snsapi_userinfo` shows WeChat's consent page and tells the unionid too. With the setting `base` people we know come in silently,
 * and somebody new is asked once, so that the unionid is had from the start (identity rule 4).
 */
import { z } from 'zod';
import { defineConnector } from '../contract.ts';
import { pageSettings } from '../wechat/settings.ts';
import { authorisePage, isInsideWechat, proofFromCode } from '../wechat/sign-in.ts';
import { followCode, followerProof } from './followers.ts';

const name = 'wechat-official';

const officialSettings = z.object({
  ...pageSettings,
  scope: z
    .enum(['base', 'userinfo'])
    .default('base')
    .describe(
      "base: silent, and WeChat's consent page only for people who are new; userinfo: the consent page each time",
    ),
});
export type OfficialSettings = z.infer<typeof officialSettings>;

export const wechatOfficial = defineConnector<OfficialSettings>({
  kind: 'redirect',
  name,
  settings: officialSettings,
  key: ({ appid }) => appid,
  label: ({ label }) => label ?? undefined,
  callbackPath: ({ appid }) => `/wechat/${appid}/callback`,
  suits: (_settings, userAgent) => (isInsideWechat(userAgent) ? 'best' : 'no'),
  leadsTo: ({ page_url }) => [new URL(page_url).origin],
  async authorize(_services, settings, { state, redirect_uri, thorough }) {
    const scope = settings.scope === 'userinfo' || thorough ? 'snsapi_userinfo' : 'snsapi_base';
    const query = { appid: settings.appid, redirect_uri, response_type: 'code', scope, state };
    return { url: authorisePage(settings, 'connect/oauth2/authorize', query), keep: {} };
  },
  callback: (services, settings, { query }) => proofFromCode(services, settings, { connector: name, query }),
  follow: {
    isReady: ({ push_token, encoding_aes_key }) => Boolean(push_token && encoding_aes_key),
    code: followCode,
    proof: (services, settings, { openid }) => followerProof(services, settings, { connector: name, openid }),
  },
});
