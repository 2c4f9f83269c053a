/**
 * From the code of an authorise page to a proof: sns/oauth2/access_token, then sns/userinfo for the nickname. Shared by the website's QR
 * code and the official account, which differ in the page they send people to.
 *
 * Only what WeChat's server says to ours counts: an openid in the address of the callback is not read (threat C4). The person's
 * tokens are dropped here: nothing of ours needs them.
 */
import { z } from 'zod';
import { fail } from '../../errors.ts';
import type { ConnectorServices, Proof } from '../contract.ts';
import { upstreamTimeout } from '../upstream.ts';
import { callWechat } from './client.ts';
import { acceptable, explain } from './errors.ts';
import { identitiesOf, whoAnswer } from './identities.ts';
import type { AppSettings } from './settings.ts';

const tokenAnswer = whoAnswer.extend({
  access_token: z.string().min(1),
  scope: z.string().default(''),
  /** 1: a preview of WeChat's, with an invented person (2022-07-12). The field is there only then. */
  is_snapshotuser: z.coerce.number().optional().catch(undefined),
});
const userAnswer = whoAnswer.extend({ nickname: z.string().catch(''), headimgurl: z.string().catch('') });

/**
 * Inside WeChat's own browser, where one can authorise and cannot scan. WeCom's browser names MicroMessenger too, and is another one.
 */
export function isInsideWechat(userAgent: string): boolean {
  return /\bMicroMessenger\//i.test(userAgent) && !/\bwxwork\//i.test(userAgent);
}

/** WeChat matches these addresses by a pattern: the order of the parameters is theirs, and so is the fragment. */
export function authorisePage({ page_url }: { page_url: string }, path: string, query: Record<string, string>): string {
  return `${page_url.replace(/\/+$/, '')}/${path}?${new URLSearchParams(query)}#wechat_redirect`;
}

/** Comma separated, as WeChat gives it. */
const tellsMore = (scope: string) => /\bsnsapi_(login|userinfo)\b/.test(scope);

type SignIn = { connector: string; query: Record<string, string> };

/** Undefined when the person refused: WeChat's older way is to come back without a code. */
export async function proofFromCode(
  services: ConnectorServices,
  settings: AppSettings,
  { connector, query }: SignIn,
): Promise<Proof | undefined> {
  if (!query.code) return undefined;
  // One budget for both calls: a person waits for one sign-in (threat C14).
  const signal = AbortSignal.timeout(upstreamTimeout);
  const { appid } = settings;
  try {
    const token = await tokenOf(settings, query.code, signal);
    if (token.is_snapshotuser === 1) throw fail('wechat_snapshot');
    const user = tellsMore(token.scope) ? await userOf(services, settings, { token, signal, connector }) : undefined;
    const unionid = token.unionid ?? user?.unionid;
    const profile = user && profileOf(user);
    return {
      connector,
      identities: identitiesOf(services, settings, { openid: token.openid, unionid, connector }),
      ...(profile && { profile }),
      amr: ['wechat'],
      ...(!unionid && settings.open_platform && !tellsMore(token.scope) && { is_partial: true }),
    };
  } catch (error) {
    throw explain(error, { log: services.log, appid, connector });
  }
}

async function tokenOf({ appid, secret, base_url }: AppSettings, code: string, signal: AbortSignal) {
  const answer = await callWechat({
    api: 'sns/oauth2/access_token',
    base_url,
    query: { appid, secret, code: acceptable(code), grant_type: 'authorization_code' },
    repeatable: false,
    signal,
  });
  const token = tokenAnswer.safeParse(answer);
  if (!token.success) throw fail('upstream_unavailable', { retryAfterSeconds: 5 });
  return token.data;
}

type Asking = { token: z.infer<typeof tokenAnswer>; signal: AbortSignal; connector: string };

/** Who it is, is proven by now: nobody is turned away because a nickname did not come. */
async function userOf({ log }: ConnectorServices, { appid, base_url }: AppSettings, asking: Asking) {
  const { token, signal, connector } = asking;
  try {
    const answer = await callWechat({
      api: 'sns/userinfo',
      base_url,
      query: { access_token: token.access_token, openid: token.openid, lang: 'zh_CN' },
      repeatable: true,
      signal,
    });
    const user = userAnswer.safeParse(answer);
    return user.success && user.data.openid === token.openid ? user.data : undefined;
  } catch (error) {
    log.info(
      { connector, appid, err: explain(error, { log, appid, connector }) },
      'wechat: signed in without a profile',
    );
    return undefined;
  }
}

/** Names and addresses come from strangers (threats C16, C17): cut here, cleaned where they are stored, escaped where they are shown. */
function profileOf({ nickname, headimgurl }: z.infer<typeof userAnswer>): Proof['profile'] {
  const picture = URL.canParse(headimgurl) && headimgurl.length <= 512 ? new URL(headimgurl) : undefined;
  const isTheirs = picture?.protocol === 'https:' && /^(thirdwx|wx)\.qlogo\.cn$/.test(picture.host);
  const name = [...nickname].slice(0, 64).join('');
  return { ...(name && { nickname: name }), ...(isTheirs && { picture: headimgurl }) };
}
