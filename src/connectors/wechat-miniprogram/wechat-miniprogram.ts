/**
 * Sign-in inside a mini-program: the code of wx.login proves the person's openid (and unionid), the code of the phone-number
 * button proves a phone number of the same person. Only what WeChat itself tells our server counts (threat C4).
 *
 * session_key is dropped here, unread: nothing of ours needs it, and what is not kept cannot leak (threat C5).
 */
import { z } from 'zod';
import { fail } from '../../errors.ts';
import { type ConnectorServices, defineConnector, type Identity } from '../contract.ts';
import { parsePhone } from '../phone-number.ts';
import { withAccessToken } from '../wechat/access-token.ts';
import { callWechat, type WechatCall } from '../wechat/client.ts';
import { acceptable, explain } from '../wechat/errors.ts';
import { rememberGivenPhone } from '../wechat/given-phones.ts';
import { identitiesOf, whoAnswer } from '../wechat/identities.ts';
import { appSettings } from '../wechat/settings.ts';

const name = 'wechat-miniprogram';

const miniprogramSettings = z.object({
  ...appSettings,
  scan_page: z
    .string()
    .regex(/^\w[\w/-]{0,127}$/, 'is a path such as pages/login/scan, without a leading slash')
    .default('pages/login/scan')
    .describe('the page of the mini-program on which a sign-in on a computer is confirmed'),
  env_version: z
    .enum(['release', 'trial', 'develop'])
    .default('release')
    .describe('which version of the mini-program codes and links open'),
});
export type MiniprogramSettings = z.infer<typeof miniprogramSettings>;

export const wechatMiniprogram = defineConnector<MiniprogramSettings>({
  kind: 'exchange',
  name,
  settings: miniprogramSettings,
  key: ({ appid }) => appid,
  async exchange(services, settings, { login_code }) {
    const answer = await explained(services, settings, () => code2Session(settings, login_code));
    return { connector: name, identities: whoIs(services, settings, answer) };
  },
  async exchangePhone(services, settings, { phone_code, openid }) {
    const answer = await explained(services, settings, () =>
      withAccessToken(services, settings, (access_token) =>
        callWechat({
          api: 'wxa/business/getuserphonenumber',
          base_url: settings.base_url,
          query: { access_token },
          // With the openid WeChat itself checks that the number is this person's (threat C7).
          body: { code: acceptable(phone_code), openid },
          repeatable: false,
        }),
      ),
    );
    const phone = phoneOf(services, settings, answer);
    await rememberGivenPhone(services, { appid: settings.appid, openid, phone });
    return { connector: name, identities: [{ kind: 'phone', issuer: '', external_id: phone }] };
  },
  async scanCode(services, settings, { scene }) {
    const { scan_page: page, env_version } = settings;
    // WeChat looks for the page in the released version only.
    const body = { scene, page, env_version, check_path: env_version === 'release' };
    const { type, bytes } = await withApp(services, settings, { api: 'wxa/getwxacodeunlimit', body, picture: true });
    if (!Buffer.isBuffer(bytes)) throw fail('upstream_unavailable', { retryAfterSeconds: 5 });
    return { type: String(type), bytes };
  },
  async appLink(services, settings, { path, query, seconds }) {
    const { env_version } = settings;
    const expire_time = Math.floor(services.clock.now().getTime() / 1000) + seconds;
    const body = { path, query, env_version, expire_type: 0, expire_time };
    const { url_link } = await withApp(services, settings, { api: 'wxa/generate_urllink', body });
    if (typeof url_link !== 'string' || !URL.canParse(url_link))
      throw fail('upstream_unavailable', { retryAfterSeconds: 5 });
    return url_link;
  },
});

/** A call in the app's own name that spends nothing: making a code or a link twice does no harm. */
function withApp(
  services: ConnectorServices,
  settings: MiniprogramSettings,
  call: Pick<WechatCall, 'api' | 'body' | 'picture'>,
) {
  return explained(services, settings, () =>
    withAccessToken(services, settings, (access_token) =>
      callWechat({ ...call, base_url: settings.base_url, query: { access_token }, repeatable: true }),
    ),
  );
}

function code2Session({ appid, secret, base_url }: MiniprogramSettings, code: string) {
  return callWechat({
    api: 'sns/jscode2session',
    base_url,
    query: { appid, secret, js_code: acceptable(code), grant_type: 'authorization_code' },
    repeatable: false,
  });
}

async function explained<T>(
  { log }: ConnectorServices,
  { appid }: MiniprogramSettings,
  call: () => Promise<T>,
): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw explain(error, { log, appid, connector: name });
  }
}

function whoIs(services: ConnectorServices, settings: MiniprogramSettings, answer: unknown): Identity[] {
  const session = whoAnswer.safeParse(answer);
  if (!session.success) throw fail('upstream_unavailable', { retryAfterSeconds: 5 });
  return identitiesOf(services, settings, { ...session.data, connector: name });
}

const phoneAnswer = z.object({
  phone_info: z.object({
    // WeChat's own examples show the country code as a string and as a number.
    purePhoneNumber: z.union([z.string(), z.number()]).transform(String),
    countryCode: z.union([z.string(), z.number()]).transform((code) => String(code).replace(/^(\+|00)/, '')),
    watermark: z.object({ appid: z.string() }),
  }),
});

function phoneOf({ log }: ConnectorServices, { appid }: MiniprogramSettings, answer: unknown): string {
  const parsed = phoneAnswer.safeParse(answer);
  if (!parsed.success) throw fail('upstream_unavailable', { retryAfterSeconds: 5 });
  const { purePhoneNumber, countryCode, watermark } = parsed.data.phone_info;
  if (watermark.appid !== appid) {
    log.warn({ connector: name, appid }, 'wechat: a phone number came with the watermark of another app');
    throw fail('wechat_code_invalid');
  }
  // Every country: the number is proven already, no message has to be paid for.
  return parsePhone(`+${countryCode}${purePhoneNumber}`);
}
