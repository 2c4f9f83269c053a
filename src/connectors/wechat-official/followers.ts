/**
 * Signing in by following the account: a code whose scene comes back in the push about whoever scanned it (带参数二维码), and who that
 * is. Needs a certified service account (服务号).
 */
import { encodeQR } from 'qr';
import { z } from 'zod';
import { fail } from '../../errors.ts';
import type { ConnectorServices, Picture, Proof } from '../contract.ts';
import { withAccessToken } from '../wechat/access-token.ts';
import { callWechat, type WechatCall } from '../wechat/client.ts';
import { explain } from '../wechat/errors.ts';
import { identitiesOf, whoAnswer } from '../wechat/identities.ts';
import type { AppSettings } from '../wechat/settings.ts';

const connectorName = 'wechat-official';

function callAsApp(
  services: ConnectorServices,
  settings: AppSettings,
  call: Pick<WechatCall, 'api' | 'query' | 'body'>,
) {
  return withAccessToken(services, settings, (access_token) =>
    callWechat({ ...call, base_url: settings.base_url, query: { ...call.query, access_token }, repeatable: true }),
  );
}

const codeAnswer = z.object({ url: z.url() });

/** Drawn by us from the address in it: the page loads nothing of WeChat's. */
export async function followCode(
  services: ConnectorServices,
  settings: AppSettings,
  { scene, seconds }: { scene: string; seconds: number },
): Promise<Picture> {
  const action_info = { scene: { scene_str: scene } };
  const body = { expire_seconds: seconds, action_name: 'QR_STR_SCENE', action_info };
  try {
    const answer = codeAnswer.safeParse(await callAsApp(services, settings, { api: 'cgi-bin/qrcode/create', body }));
    if (!answer.success) throw fail('upstream_unavailable', { retryAfterSeconds: 5 });
    const drawn = encodeQR(answer.data.url, 'svg', { ecc: 'medium', border: 2 });
    return { type: 'image/svg+xml', bytes: Buffer.from(drawn) };
  } catch (error) {
    throw explain(error, { log: services.log, appid: settings.appid, connector: connectorName });
  }
}

/** The openid is WeChat's word already; the unionid is asked for, and a sign-in does not fail for want of it (identity rule 4). */
export async function followerProof(
  services: ConnectorServices,
  settings: AppSettings,
  { connector, openid }: { connector: string; openid: string },
): Promise<Proof> {
  const unionid = settings.open_platform ? await unionidOf(services, settings, openid) : undefined;
  return { connector, identities: identitiesOf(services, settings, { openid, unionid, connector }), amr: ['wechat'] };
}

async function unionidOf(services: ConnectorServices, settings: AppSettings, openid: string) {
  const { log } = services;
  const { appid } = settings;
  try {
    const query = { openid, lang: 'zh_CN' };
    const answer = whoAnswer.safeParse(await callAsApp(services, settings, { api: 'cgi-bin/user/info', query }));
    return answer.success && answer.data.openid === openid ? answer.data.unionid : undefined;
  } catch (error) {
    const err = explain(error, { log, appid, connector: connectorName });
    log.info({ connector: connectorName, appid, err }, 'wechat: signed in without a unionid');
    return undefined;
  }
}
