/**
 * What a developer's machine has from the first start: connectors that point at the sandbox, the demo's clients and write keys.
 * Written again at every start with the sandbox, and disabled by the next start without it.
 */
import type { Connectors } from '../connectors/contract.ts';
import type { Database } from '../database.ts';
import { createWriteKey } from '../events/write-keys.ts';
import { createClient } from '../oidc/clients.ts';
import type { Seal } from '../seal.ts';
import { sandboxAddresses, sandboxApps, sandboxOpenPlatform, sandboxSms } from './constants.ts';

export const demoWebsite = { client_id: 'demo-website', client_secret: 'demo-website-secret-of-the-sandbox' };
export const demoBackend = { client_id: 'demo-backend', client_secret: 'demo-backend-secret' };
export const demoKeys = { client: 'demo-client-key', server: 'demo-server-key' };

const source = 'sandbox' as const;

type SeedOptions = {
  db: Database;
  seal: Seal;
  connectors: Connectors;
  sandboxUrl: string;
  smtpPort: number;
  demoUrl: string;
};

export async function seedSandbox(options: SeedOptions): Promise<void> {
  await seedConnectors(options);
  await seedClients(options);
  await seedWriteKeys(options);
}

type SandboxApp = (typeof sandboxApps)[keyof typeof sandboxApps];

async function seedConnectors({ connectors, sandboxUrl, smtpPort }: SeedOptions): Promise<void> {
  const base = sandboxAddresses(sandboxUrl);
  const { report_token } = sandboxSms;
  const aliyun = { provider: 'aliyun', ...sandboxSms.aliyun, base_url: base.aliyun_sms, report_token };
  await connectors.configure({ id: 'sms', connector: 'sms', settings: aliyun, source });
  const smtp = { host: '127.0.0.1', port: smtpPort, secure: false, from: 'Heyi <no-reply@heyi.localhost>' };
  await connectors.configure({ id: 'email', connector: 'email', settings: smtp, source });
  const app = (connector: string, { appid, secret, push }: SandboxApp, more: object = {}) => {
    const { token: push_token, encoding_aes_key } = push;
    const shared = { open_platform: sandboxOpenPlatform, base_url: base.wechat_api, push_token, encoding_aes_key };
    return connectors.configure({
      id: `${connector}:${appid}`,
      connector,
      settings: { appid, secret, ...shared, ...more },
      source,
    });
  };
  await app('wechat-miniprogram', sandboxApps.miniprogram);
  const page_url = base.wechat_open;
  const script_url = `${base.wechat_res}/connect/zh_CN/htmledition/js/wxLogin.js`;
  await app('wechat-web', sandboxApps.website, { page_url, script_url });
  await app('wechat-official', sandboxApps.official_account, { page_url });
}

async function seedClients({ db, seal, demoUrl }: SeedOptions): Promise<void> {
  const services = { db, seal };
  const methods = ['sms', 'email'];
  const website = [...methods, 'wechat-web', 'wechat-official', 'miniprogram-scan', 'wechat-official-scan'];
  await createClient(services, {
    ...demoWebsite,
    name: '山屿 Demo',
    redirect_uris: [`${demoUrl}/callback`],
    post_logout_redirect_uris: [`${demoUrl}/`, `${demoUrl}/signed-out`],
    backchannel_logout_uri: `${demoUrl}/backchannel-logout`,
    grant_types: ['authorization_code', 'refresh_token'],
    methods: website,
    channel: 'website',
    source,
  });
  await createClient(services, {
    client_id: 'demo-spa',
    name: '山屿 SPA Demo',
    redirect_uris: [`${demoUrl}/spa/callback`],
    post_logout_redirect_uris: [`${demoUrl}/`],
    grant_types: ['authorization_code', 'refresh_token'],
    token_endpoint_auth_method: 'none',
    methods: website,
    channel: 'website',
    source,
  });
  await createClient(services, {
    client_id: 'demo-miniprogram',
    name: '山屿 小程序 Demo',
    grant_types: ['urn:ietf:params:oauth:grant-type:token-exchange', 'refresh_token'],
    token_endpoint_auth_method: 'none',
    methods,
    appid: sandboxApps.miniprogram.appid,
    channel: 'miniprogram',
    // A real mini-program has no Origin; the demo's phone is a page.
    origins: [demoUrl],
    source,
  });
  await createClient(services, {
    ...demoBackend,
    name: '山屿 Demo back end',
    grant_types: ['client_credentials'],
    scope:
      'subjects:read subjects:write subjects:pii settings:write segments:read segments:write events:write wechat:token',
    source,
  });
}

async function seedWriteKeys({ db, seal, demoUrl }: SeedOptions): Promise<void> {
  const client_ids = ['demo-website', 'demo-spa', 'demo-miniprogram'];
  // A person's own token may count a payment here, so that the demo can be played without a shop's back end.
  const catalogue = { order_paid: 'token', order_placed: 'token' } as const;
  await createWriteKey(
    { db, seal },
    {
      key: demoKeys.client,
      kind: 'client',
      name: 'Demo',
      client_ids,
      origins: [demoUrl],
      channel: 'website',
      catalogue,
      source,
    },
  );
  await createWriteKey(
    { db, seal },
    { key: demoKeys.server, kind: 'server', name: 'Demo server', client_ids, channel: 'server', catalogue, source },
  );
}
