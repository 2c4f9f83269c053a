/**
 * What can be found out about the WeChat apps that are set up, for `heyi doctor`: asks WeChat with their own credentials and reads
 * their settings. Sentences name the console's words, since that is where the operator goes next.
 */
import { request } from 'undici';
import type { Clock } from '../../clock.ts';
import type { Database } from '../../database.ts';
import type { Seal } from '../../seal.ts';
import { isLoopback, upstreamTimeout } from '../upstream.ts';
import { type ConfiguredApp, wechatApps } from './apps.ts';
import { callWechat, isWechatError, type WechatCall } from './client.ts';

export type AppFinding = { check: string; state: 'ok' | 'warn' | 'fail'; found: string; advice?: string };
type Verdict = Omit<AppFinding, 'check'>;
type Place = { clock: Clock; publicUrl: string };

export async function examineApps(services: { db: Database; seal: Seal }, place: Place): Promise<AppFinding[]> {
  const apps = await wechatApps(services);
  const findings = await Promise.all(apps.map((app) => examineApp(app, place)));
  return findings.flat();
}

async function examineApp(app: ConfiguredApp, place: Place): Promise<AppFinding[]> {
  const [credentials, clock] = await Promise.all([checkCredentials(app), checkClock(app, place)]);
  const verdicts: [topic: string, Verdict | undefined][] = [
    ['credentials', credentials],
    ['clock', clock],
    ['push', checkPush(app, place)],
    ['unionid', checkPlatform(app)],
    ['domain', checkDomain(app, place)],
  ];
  return verdicts.flatMap(([topic, verdict]) =>
    verdict ? [{ check: `${app.connector}:${app.appid} ${topic}`, ...verdict }] : [],
  );
}

/** Nothing is spent by it: the stable token is the same again, and a made-up code is no one's. */
async function checkCredentials(app: ConfiguredApp): Promise<Verdict> {
  const { appid, secret, base_url, connector } = app;
  const shared = { base_url, repeatable: true };
  const call: WechatCall =
    connector === 'wechat-web'
      ? {
          ...shared,
          api: 'sns/oauth2/access_token',
          query: { appid, secret, code: 'heyi-doctor', grant_type: 'authorization_code' },
        }
      : {
          ...shared,
          api: 'cgi-bin/stable_token',
          body: { grant_type: 'client_credential', appid, secret, force_refresh: false },
        };
  try {
    await callWechat(call);
    return accepted;
  } catch (error) {
    return isWechatError(error) ? explained(app, error) : { state: 'fail', found: String(error) };
  }
}

const accepted: Verdict = { state: 'ok', found: 'WeChat takes its appid and secret' };

function explained(
  app: ConfiguredApp,
  { errcode, message }: { errcode: number | undefined; message: string },
): Verdict {
  const address = /invalid ip ([\d.a-f:]+)/i.exec(message)?.[1];
  if (errcode === undefined) {
    // The sandbox of a server that does not run, or a proxy of ours.
    const isHere = isLoopback(new URL(app.base_url).hostname);
    const advice = isHere
      ? 'start what base_url names'
      : 'let this machine reach it, or set base_url to a proxy that can';
    return { state: isHere ? 'warn' : 'fail', found: message, advice };
  }
  // Refused for the made-up code: the credentials were looked at before it.
  if (app.connector === 'wechat-web' && [40029, 40163, 41008].includes(errcode)) return accepted;
  const advice = {
    40164: `put ${address ?? "this machine's address"} on the app's IP 白名单 (开发设置), and every other server's`,
    40013: 'the appid is wrong: compare it with the console',
    40125: 'the secret is wrong or was reset: enter it anew (开发设置 → AppSecret)',
    40243: 'the secret is frozen: thaw it in the console',
    89503: "an administrator of the app must confirm this server's address in WeChat",
    89506: "an administrator of the app must confirm this server's address in WeChat",
    89507: "an administrator of the app must confirm this server's address in WeChat",
  }[errcode];
  return { state: 'fail', found: message, ...(advice && { advice }) };
}

/** Pushes older than five minutes are refused, and so is what WeChat signs when clocks are apart. */
async function checkClock({ base_url }: ConfiguredApp, { clock }: Place): Promise<Verdict | undefined> {
  try {
    const signal = AbortSignal.timeout(upstreamTimeout);
    const { headers, body } = await request(base_url, { method: 'GET', signal });
    await body.dump();
    const theirs = Date.parse(String(headers.date));
    if (Number.isNaN(theirs)) return undefined;
    const seconds = Math.round(Math.abs(clock.now().getTime() - theirs) / 1000);
    const found = `${seconds} s between this machine and WeChat`;
    return seconds > 60 ? { state: 'fail', found, advice: 'synchronise the clock (NTP)' } : { state: 'ok', found };
  } catch {
    // That it does not answer is told by the credentials.
    return undefined;
  }
}

function checkPush({ appid, push_token, encoding_aes_key }: ConfiguredApp, { publicUrl }: Place): Verdict {
  const address = `${publicUrl}/wechat/${appid}/push`;
  if (!push_token)
    return {
      state: 'warn',
      found: 'no push_token: authorisations that people take back in WeChat do not reach us',
      advice: `enter ${address} under 消息推送, and its Token and EncodingAESKey here`,
    };
  if (!encoding_aes_key)
    return {
      state: 'warn',
      found: 'no encoding_aes_key: pushes are not encrypted, and nobody can sign in by following',
      advice: 'choose 安全模式 under 消息推送, and enter its EncodingAESKey here',
    };
  return { state: 'ok', found: `pushes are taken at ${address}, encrypted` };
}

function checkPlatform({ open_platform }: ConfiguredApp): Verdict {
  if (open_platform) return { state: 'ok', found: `its unionids are those of "${open_platform}"` };
  return {
    state: 'warn',
    found: 'open_platform is not set: unionids are not used, and people are not joined over apps',
    advice: 'bind the app at open.weixin.qq.com, and give all apps of that account the same open_platform',
  };
}

const consoleField: Record<string, string> = {
  'wechat-web': '授权回调域',
  'wechat-official': '网页授权域名',
  'wechat-miniprogram': 'request 合法域名',
};

/** WeChat tells nobody what is entered there. */
function checkDomain({ connector }: ConfiguredApp, { publicUrl }: Place): Verdict {
  const { protocol, host, origin } = new URL(publicUrl);
  const value = connector === 'wechat-miniprogram' ? origin : host;
  const found = `must be entered in the console: ${consoleField[connector] ?? '域名'} = ${value} (cannot be checked from here)`;
  if (protocol === 'https:') return { state: 'ok', found };
  return { state: 'warn', found, advice: 'WeChat takes a PUBLIC_URL with https only' };
}
