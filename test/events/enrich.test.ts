import { beforeAll, describe, expect, it } from 'vitest';
import { type ChannelGroup, enrichment } from '../../src/events/enrich.ts';
import { groupOfScene } from '../../src/events/scenes.ts';
import { testDatabase } from '../helpers/database.ts';
import { basic, clientKey, eventRows, eventsApp, openKey, seedKeys, serverKey } from './harness.ts';

const here = 'https://www.example.com.cn/camera?id=7';
const groupOf = (context: Record<string, unknown>) =>
  enrichment(context, { userAgent: '', ownHost: 'id.example.org' }).channel_group;

describe('what brought the visit', () => {
  it.each<[string, string, ChannelGroup]>([
    ['baidu', 'cpc', 'paid_search'],
    ['weibo', 'CPC', 'paid_social'],
    ['douyin', '信息流', 'paid_social'],
    ['toutiao', '', 'social'],
    ['gdt', 'cpc', 'wechat_ads'],
    ['gzh', '', 'wechat_official_account'],
    ['weixin', '公众号', 'wechat_official_account'],
    ['poster-12', 'QRCode', 'wechat_scan'],
    ['crm', 'sms', 'sms'],
    ['crm', 'EDM', 'email'],
    ['kol-lily', 'cps', 'affiliate'],
    ['portal', 'banner', 'display'],
    ['google', 'organic', 'organic_search'],
    ['google', '', 'organic_search'],
    ['autumn', '', 'campaign'],
    ['', 'something new', 'campaign'],
    ['', ' Email ', 'email'],
  ])('labels %j, %j → %s', (source, medium, group) => {
    const campaign = { ...(source && { source }), ...(medium && { medium }), name: 'autumn' };
    expect(groupOf({ campaign, scene: 1047, page: { url: here, referrer: 'https://www.bing.com/' } })).toBe(group);
  });

  it.each<[unknown, ChannelGroup | undefined]>([
    [1007, 'wechat_share'],
    ['1044', 'wechat_share'],
    [1154, 'wechat_share'],
    [1011, 'wechat_scan'],
    [1047, 'wechat_scan'],
    [1035, 'wechat_official_account'],
    [1058, 'wechat_official_account'],
    ['1107', 'wechat_message'],
    [1053, 'wechat_search'],
    [1177, 'wechat_channels'],
    [1045, 'wechat_ads'],
    [1037, 'wechat_miniprogram'],
    [1194, 'wechat_link'],
    [1065, 'wechat_link'],
    [1034, 'wechat_wallet'],
    [1089, 'wechat_recent'],
    [1119, 'wecom'],
    [1000, 'wechat_other'],
    [9876, 'wechat_other'],
    ['NA', undefined],
    [47, undefined],
    [{}, undefined],
  ])('scene %j → %s', (scene, group) => expect(groupOf({ scene })).toBe(group));

  it('puts no scene into two groups', () => {
    const groups = new Map(Array.from({ length: 500 }, (_, n) => [1000 + n, groupOfScene(1000 + n)]));
    expect(new Set(groups.values()).size).toBe(15);
  });

  it.each<[string | undefined, ChannelGroup | undefined]>([
    ['https://www.baidu.com/s?wd=x', 'organic_search'],
    ['https://m.baidu.com/', 'organic_search'],
    ['https://cn.bing.com/search', 'organic_search'],
    ['https://www.google.com.hk/', 'organic_search'],
    ['https://www.sogou.com/web', 'organic_search'],
    ['https://so.toutiao.com/search', 'organic_search'],
    ['https://www.toutiao.com/article', 'social'],
    ['https://tieba.baidu.com/p/1', 'social'],
    ['https://WWW.Zhihu.com/question/1', 'social'],
    ['https://mp.weixin.qq.com/s/abc', 'wechat_official_account'],
    ['https://www.doubao.com/', 'ai_assistant'],
    ['https://mail.qq.com/', 'email'],
    ['https://blog.example.net/', 'referral'],
    ['https://notbaidu.com/', 'referral'],
    ['https://google.com.evil.example/', 'referral'],
    ['https://shop.example.com.cn/x', undefined],
    ['https://id.example.org/authorize', undefined],
    ['javascript:alert(1)', undefined],
    ['nonsense', undefined],
    ['', 'direct'],
    [undefined, 'direct'],
  ])('referrer %j → %s', (referrer, group) => expect(groupOf({ page: { url: here, referrer } })).toBe(group));

  it.each<[string, ChannelGroup]>([
    ['?gclid=x', 'paid_search'],
    ['?a=1&bd_vid=2', 'paid_search'],
    ['?gdt_vid=3', 'wechat_ads'],
    ['?not_gclid=4', 'direct'],
  ])('an advertising click %s → %s', (search, group) =>
    expect(groupOf({ page: { url: `https://www.example.com/${search}` } })).toBe(group),
  );

  it.each([
    [{}],
    [{ page: {} }],
    [{ page: { path: '/' } }],
    [{ campaign: 'x', page: 7, scene: [] }],
    [{ campaign: { source: 7 } }],
  ])('says nothing of %j', (context) => expect(groupOf(context)).toBeUndefined());
});

describe('who is no person', () => {
  const isBot = (userAgent: unknown, header = '') =>
    enrichment({ userAgent }, { userAgent: header, ownHost: '' }).bot ?? false;
  const iphone =
    'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148';

  it.each([
    'Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)',
    'Sogou web spider/4.0(+http://www.sogou.com/docs/help/webmasters.htm#07)',
    'Mozilla/5.0 (compatible; YisouSpider/5.0; http://www.yisou.com/help.html)',
    'Mozilla/5.0 (Linux; Android 5.0) AppleWebKit/537.36 (compatible; Bytespider; spider-feedback@bytedance.com)',
    'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)',
    'Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)',
  ])('%s', (agent) => {
    expect(isBot(agent)).toBe(true);
    expect(isBot(undefined, agent)).toBe(agent.startsWith('Mozilla/'));
  });

  it.each([
    `${iphone} MicroMessenger/8.0.50(0x18003231) NetType/WIFI Language/zh_CN`,
    `${iphone} baiduboxapp/13.30.0.11 (Baidu; P2 16.0)`,
    `${iphone} MicroMessenger/8.0.5 wechatdevtools/1.06.2307260 MiniProgramEnv/windows`,
    'Mozilla/5.0 (Linux; U; Android 13; zh-CN; M2012K11AC) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/100.0.4896.58 UCBrowser/16.4.2.1299 Mobile Safari/537.36',
    'Mozilla/5.0 (Phone; OpenHarmony 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1 Mobile',
    '',
    7,
  ])('not %j', (agent) => expect(isBot(agent)).toBe(false));

  it.each([
    [1129, true],
    ['1203', true],
    [1047, false],
  ])('scene %j: %s', (scene, bot) =>
    expect(enrichment({ scene }, { userAgent: '', ownHost: '' }).bot ?? false).toBe(bot),
  );

  it('G8: a user agent of 30 KB costs what a short one costs', () => {
    const started = performance.now();
    for (let n = 0; n < 200; n++) isBot(`Mozilla/5.0 ${'(a-;'.repeat(7_500)}${n}`);
    expect(performance.now() - started).toBeLessThan(500);
  });
});

describe('in every event, whatever tracker sent it', () => {
  let contexts: Record<string, Record<string, unknown>>;
  const url = 'https://www.example.com/camera';
  const referrer = 'https://www.baidu.com/s';
  const time = Date.now();
  const spider = { 'user-agent': 'Mozilla/5.0 (compatible; Baiduspider/2.0)', origin: 'https://www.example.com' };

  beforeAll(async () => {
    const { db } = await testDatabase();
    const app = await eventsApp(db);
    await seedKeys(db);
    const page = { type: 'page', anonymousId: 'visitor', context: { page: { url, referrer } } };
    const sensors = {
      type: 'track',
      event: '$pageview',
      distinct_id: 'sensors',
      time,
      lib: { $lib: 'js' },
      properties: { $url: url, $referrer: referrer },
    };
    const growingio = {
      eventType: 'PAGE',
      deviceId: 'growingio',
      timestamp: time,
      platform: 'web',
      protocolType: 'https',
      domain: 'www.example.com',
      path: '/camera',
      referralPage: referrer,
    };
    const data = encodeURIComponent(Buffer.from(JSON.stringify(sensors)).toString('base64'));
    const claimed = {
      bot: false,
      channel_group: 'direct',
      consent_source: 'key',
      consents_withdrawn: ['a'],
      ip: '8.8.8.8',
    };
    await app.send('/v1/batch', { batch: [{ ...page, anonymousId: 'own' }] }, { ...basic(clientKey), ...spider });
    await app.send(`/beacon/v1/batch?writeKey=${clientKey}`, { batch: [{ ...page, anonymousId: 'beacon' }] }, spider);
    await app.send('/v1/p', { ...page, writeKey: clientKey, anonymousId: 'short' }, spider);
    await app.send(`/sa?token=${clientKey}`, `data=${data}`, spider);
    await app.send(`/v3/projects/${clientKey}/collect`, [growingio], spider);
    const relayed = { ...page, anonymousId: 'relayed', context: { ...page.context, ...claimed } };
    await app.send('/v1/batch', { batch: [relayed] }, { ...basic(serverKey), ...spider });
    await app.send('/v1/track', { event: 'a', anonymousId: 'plain' }, basic(openKey));
    const rows = await eventRows(db);
    contexts = Object.fromEntries(rows.map((row) => [row.anonymous_id, row.context]));
  });

  it.each(['own', 'beacon', 'short', 'sensors', 'growingio'])('%s', (tracker) => {
    expect(contexts[tracker]).toMatchObject({ channel_group: 'organic_search', bot: true });
  });

  it('is not read from the request of a server, which is nobody’s browser, nor believed of a sender', () => {
    expect(contexts.relayed).toEqual({ page: { url, referrer }, channel_group: 'organic_search' });
  });

  it('adds nothing where there is nothing to say, and keeps no address of the network', () => {
    expect(contexts.plain).toEqual({});
    expect(JSON.stringify(contexts)).not.toContain('8.8.8.8');
  });
});
