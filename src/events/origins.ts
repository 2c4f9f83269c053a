/** Where a website's visitors come from: what a campaign's labels mean, and who the websites are that link to it. */

export type OriginGroup =
  | 'direct'
  | 'organic_search'
  | 'paid_search'
  | 'ai_assistant'
  | 'social'
  | 'paid_social'
  | 'wechat_official_account'
  | 'wechat_share'
  | 'wechat_scan'
  | 'wechat_message'
  | 'wechat_channels'
  | 'wechat_ads'
  | 'email'
  | 'sms'
  | 'display'
  | 'affiliate'
  | 'referral'
  | 'campaign';

/** The longest domain that is the host or above it. */
const hosts = new Map<string, OriginGroup>();
const known: Partial<Record<OriginGroup, string>> = {
  organic_search:
    'baidu.com bing.com sogou.com so.com sm.cn haosou.com chinaso.com so.toutiao.com yahoo.com yandex.com yandex.ru duckduckgo.com naver.com ecosia.org',
  ai_assistant:
    'chatgpt.com chat.openai.com perplexity.ai gemini.google.com copilot.microsoft.com claude.ai deepseek.com doubao.com kimi.com kimi.moonshot.cn yuanbao.tencent.com yiyan.baidu.com tongyi.com chatglm.cn',
  social:
    'weibo.com weibo.cn t.cn zhihu.com xiaohongshu.com xhslink.com douyin.com iesdouyin.com kuaishou.com bilibili.com b23.tv douban.com tieba.baidu.com toutiao.com qzone.qq.com facebook.com instagram.com x.com t.co twitter.com linkedin.com lnkd.in youtube.com pinterest.com reddit.com tiktok.com',
  wechat_official_account: 'mp.weixin.qq.com',
  wechat_channels: 'channels.weixin.qq.com',
  email: 'mail.qq.com mail.163.com mail.126.com mail.google.com outlook.live.com',
};
for (const [group, domains] of Object.entries(known) as [OriginGroup, string][])
  for (const domain of domains.split(' ')) hosts.set(domain, group);

const google = /(?:^|\.)google\.(?:com|[a-z]{2}|com?\.[a-z]{2})$/;

export function groupOfHost(host: string): OriginGroup {
  for (let domain = host; domain.includes('.'); domain = domain.slice(domain.indexOf('.') + 1)) {
    const group = hosts.get(domain);
    if (group) return group;
  }
  return google.test(host) ? 'organic_search' : 'referral';
}

const paid = /^(?:cpc|ppc|sem|paid[ _-]?search|paid|cpv|ocpc|bidding|竞价)$/;
/** By medium, the first that fits. */
const media: [RegExp, OriginGroup][] = [
  [/^(?:paid[ _-]?social|social[ _-]?(?:paid|ads?))$/, 'paid_social'],
  [/^(?:e-?mail|edm|newsletter|邮件)$/, 'email'],
  [/^(?:sms|mms|短信)$/, 'sms'],
  [/^(?:display|banner|cpm|ocpm|feeds?|expandable|interstitial|video[ _-]?ads?|ads?|信息流|广告)$/, 'display'],
  [/^(?:affiliates?|cps|cpa|kol|分销)$/, 'affiliate'],
  [/^(?:official[ _-]?account|gzh|mp|公众号|服务号|订阅号)$/, 'wechat_official_account'],
  [/^(?:channels|sph|视频号)$/, 'wechat_channels'],
  [/^(?:qr|qr[ _-]?code|scan|poster|扫码|二维码|海报)$/, 'wechat_scan'],
  [/^(?:push|message|template|subscribe|订阅消息|模板消息)$/, 'wechat_message'],
  [/^(?:share|friend|moments|timeline|分享|朋友圈|社群)$/, 'wechat_share'],
  [/^(?:social|social[ _-]?(?:media|network)|sns|sm)$/, 'social'],
  [/^(?:organic|seo)$/, 'organic_search'],
  [/^(?:referral|link)$/, 'referral'],
];
const sources: [RegExp, OriginGroup][] = [
  [/^(?:gdt|tencent[ _-]?ads?|weixin[ _-]?ads?|wechat[ _-]?ads?|腾讯广告|广点通)$/, 'wechat_ads'],
  [/^(?:baidu|google|bing|sogou|360|so|shenma|sm|yahoo|yandex|百度|搜狗)$/, 'organic_search'],
  [
    /^(?:weibo|zhihu|xiaohongshu|xhs|red|douyin|kuaishou|bilibili|toutiao|facebook|instagram|twitter|linkedin|youtube|tiktok|微博|知乎|小红书|抖音)$/,
    'social',
  ],
];

/** Of `utm_source` and `utm_medium`, either of which may be missing. */
export function groupOfCampaign(source: string, medium: string): OriginGroup {
  const bySource = find(sources, source);
  const byMedium = find(media, medium);
  if (bySource === 'wechat_ads') return bySource;
  if (paid.test(normal(medium))) return bySource === 'social' ? 'paid_social' : 'paid_search';
  if (byMedium) return byMedium === 'display' && bySource === 'social' ? 'paid_social' : byMedium;
  return bySource ?? find(media, source) ?? 'campaign';
}

function find(rules: [RegExp, OriginGroup][], label: string): OriginGroup | undefined {
  const plain = normal(label);
  return rules.find(([pattern]) => pattern.test(plain))?.[1];
}

const normal = (label: string) => label.trim().toLowerCase().slice(0, 100);

/** Advertising systems mark their clicks by a parameter of their own where nobody labelled the link. */
const clicks: [RegExp, OriginGroup][] = [
  [/[?&](?:gclid|wbraid|gbraid|msclkid|bd_vid|sogou_qid|qhclickid)=./, 'paid_search'],
  [/[?&](?:gdt_vid|qz_gdt|weixinadinfo)=./, 'wechat_ads'],
  [/[?&](?:fbclid|ttclid|xhs_click_id)=./, 'paid_social'],
];

export function groupOfClick(address: string): OriginGroup | undefined {
  return clicks.find(([pattern]) => pattern.test(address))?.[1];
}
