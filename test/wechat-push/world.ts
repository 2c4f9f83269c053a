/** The push address on a loopback port over a real database, two apps of one open-platform account, and WeChat's hand to sign with. */
import { randomInt } from 'node:crypto';
import { afterAll } from 'vitest';
import { createConnectors } from '../../src/connectors/registry.ts';
import { encryptReply, signatureOf } from '../../src/connectors/wechat/push-crypto.ts';
import { createDatabase, type Database } from '../../src/database.ts';
import { createI18n } from '../../src/http/i18n.ts';
import { createKoa, listen } from '../../src/http/server.ts';
import { createLogger } from '../../src/log.ts';
import { wechatPushRoutes } from '../../src/wechat-push/routes.ts';
import { testServices } from '../connectors/services.ts';
import { collectJobs } from '../helpers/jobs.ts';
import { keptLog } from '../helpers/kept-log.ts';

export const mini = { appid: 'wx00000000000000a1', push_token: 'TokenOfMini', encoding_aes_key: 'a'.repeat(43) };
export const other = { appid: 'wx00000000000000a2', push_token: 'TokenOfOther', encoding_aes_key: null };
export const platform = 'main';

type Keys = { appid: string; push_token: string; encoding_aes_key: string | null };

export async function pushWorld({ db, url, forward }: { db: Database; url: string; forward?: string }) {
  const services = testServices(db);
  const connectors = createConnectors(services);
  for (const app of [mini, other]) {
    const shared = { secret: 'an-app-secret', open_platform: platform, base_url: 'http://127.0.0.1:9' };
    const settings = { ...app, ...shared, ...(forward && app === mini && { push_forward_url: forward }) };
    await connectors.configure({ id: `wechat-miniprogram:${app.appid}`, connector: 'wechat-miniprogram', settings });
  }
  const { jobs, sent } = collectJobs();
  const i18n = createI18n({ https: false });
  const counted: string[] = [];
  const { lines, destination } = keptLog();
  const log = createLogger({ level: 'trace', destination });
  const process = async (own: Database) => {
    const koa = createKoa({ log, trustProxy: false, https: false });
    const countForward = (outcome: string) => void counted.push(outcome);
    koa.use(wechatPushRoutes({ ...services, db: own, log, jobs, i18n, countForward }).routes());
    const listener = await listen(koa, { port: 0, host: '127.0.0.1' });
    afterAll(() => listener.stop());
    return `http://127.0.0.1:${listener.port}`;
  };
  const second = createDatabase({ url });
  afterAll(() => second.destroy());
  return {
    services,
    base: await process(db),
    /** Another process on the same database. */
    otherBase: await process(second),
    notices: sent,
    counted,
    logged: () => lines.join(''),
  };
}

export type PushWorld = Awaited<ReturnType<typeof pushWorld>>;

export const seconds = () => Math.floor(Date.now() / 1000);

export type Sending = { timestamp?: string; nonce?: string; format?: 'json' | 'xml'; raw?: string };

/** As WeChat sends it: encrypted when the app has a key. */
export function signed(app: Keys, message: Record<string, string | number>, sending: Sending = {}) {
  const { timestamp = String(seconds()), nonce = String(randomInt(1e8, 1e9)), format = 'json' } = sending;
  const write = (fields: Record<string, string | number>) =>
    format === 'json'
      ? JSON.stringify(fields)
      : `<xml>${Object.entries(fields)
          .map(([name, value]) => `<${name}><![CDATA[${value}]]></${name}>`)
          .join('')}</xml>`;
  const text = sending.raw ?? write(message);
  const query = new URLSearchParams({ signature: signatureOf([app.push_token, timestamp, nonce]), timestamp, nonce });
  if (!app.encoding_aes_key) return { query: query.toString(), body: text };
  const keys = { appid: app.appid, encoding_aes_key: app.encoding_aes_key };
  const Encrypt = encryptReply(keys, text);
  query.set('encrypt_type', 'aes');
  query.set('msg_signature', signatureOf([app.push_token, timestamp, nonce, Encrypt]));
  return { query: query.toString(), body: write({ ToUserName: 'gh_1', Encrypt }) };
}

export async function send(
  base: string,
  app: Keys,
  { query, body }: { query: string; body: string },
  type = 'application/json',
) {
  const response = await fetch(`${base}/wechat/${app.appid}/push?${query}`, {
    method: 'POST',
    headers: { 'content-type': type },
    body,
    redirect: 'manual',
  });
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text() };
}

let serial = 0;
export const nextId = () => `oPushed${String(++serial).padStart(6, '0')}`;

export function follower(openid: string, Event: string, more: Record<string, string | number> = {}) {
  return { ToUserName: 'gh_1', FromUserName: openid, CreateTime: seconds(), MsgType: 'event', Event, ...more };
}

/** An event of user information: WeChat itself is the sender. */
export function userInformation(openid: string, Event: string, more: Record<string, string | number> = {}) {
  const envelope = { ToUserName: 'gh_1', FromUserName: 'oWechatItself', CreateTime: seconds(), MsgType: 'event' };
  return { ...envelope, Event, OpenID: openid, AppID: mini.appid, ...more };
}
