/**
 * What the sandbox is seeded with, and the addresses under which it plays the outside world. Secrets here open nothing but
 * the sandbox: they are as public as this file.
 */

/** The open-platform account that joins the seeded apps: their people have one unionid over all of them. */
export const sandboxOpenPlatform = 'sandbox-platform';

/** `push` is what the app's page 消息推送 holds: the token that signs, and the key that encrypts. */
export const sandboxApps = {
  miniprogram: {
    appid: 'wxsandbox0000000001',
    secret: 'sandboxsecretminiprogram00000001',
    push: { token: 'SandboxPushTokenMiniProgram', encoding_aes_key: 'SandboxMiniProgramEncodingAesKey4185296307A' },
  },
  website: {
    appid: 'wxsandbox0000000002',
    secret: 'sandboxsecretwebsite000000000002',
    push: { token: 'SandboxPushTokenWebsite', encoding_aes_key: 'SandboxWebsiteEncodingAesKey63074185296307A' },
  },
  official_account: {
    appid: 'wxsandbox0000000003',
    secret: 'sandboxsecretofficialaccount0003',
    push: { token: 'SandboxPushTokenOfficialAccount', encoding_aes_key: 'SandboxOfficialAccountEncodingAesKey296307A' },
  },
} as const;

export const sandboxSms = {
  aliyun: {
    access_key_id: 'SandboxAccessKeyId',
    access_key_secret: 'SandboxAccessKeySecret',
    sign_name: '合一',
    template_code: 'SMS_100000001',
  },
  tencent: {
    secret_id: 'AKIDSandboxSecretId',
    secret_key: 'SandboxSecretKey',
    sms_sdk_app_id: '1400000001',
    sign_name: '合一',
    template_id: '1000001',
  },
  report_token: 'sandbox-report-token-of-the-gateways',
} as const;

/** Base addresses to give to the real clients in place of https://<host>. */
export function sandboxAddresses(url: string) {
  return {
    wechat_api: `${url}/api.weixin.qq.com`,
    wechat_open: `${url}/open.weixin.qq.com`,
    wechat_mp: `${url}/mp.weixin.qq.com`,
    wechat_res: `${url}/res.wx.qq.com`,
    aliyun_sms: `${url}/dysmsapi.aliyuncs.com`,
    tencent_sms: `${url}/sms.tencentcloudapi.com`,
  };
}
