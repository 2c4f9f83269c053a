/** What the mini-program SDK records of a visit, and that it records nothing before the person has agreed. */
import { describe, expect, test } from 'vitest';
import { sdk, sentEvents, someone, startWorld } from './mini-program.ts';

const world = await startWorld();
const named = (events: { event?: string; name?: string }[]) => events.map(({ event, name }) => event ?? name);
const products = (events: { properties: Record<string, unknown> }[]) =>
  events.map(({ properties }) => properties.product_id).filter(Boolean);

describe('before the person has agreed', () => {
  const ours = (storage: Map<string, string>) => [...storage.keys()].filter((key) => key.startsWith('heyi.'));

  test('to WeChat’s question: no id, no event, nothing sent; then the visit, from that moment on', async () => {
    const { launch, phone } = await someone(world, { privacy: { isRequired: true } });
    const running = launch({ scene: 1047 });
    const { heyi, wx } = running;
    heyi.track('product_viewed', { product_id: 'too early' });
    running.move('navigateTo', { url: '/pages/product/product' });
    await heyi.flush();
    expect(heyi.anonymousId()).toBeUndefined();
    expect([ours(phone.storage), phone.line.sent]).toEqual([[], []]);

    const questions: ((answer: object) => void)[] = [];
    wx.onNeedPrivacyAuthorization((resolve: (answer: object) => void) => questions.push(resolve));
    const refused = heyi.askPrivacy();
    await expect.poll(() => questions.length, { interval: 2 }).toBe(1);
    questions[0]?.({ event: 'disagree' });
    expect(await refused).toBe(false);
    heyi.track('product_viewed', { product_id: 'refused' });
    await heyi.flush();
    expect([ours(phone.storage), phone.line.sent]).toEqual([[], []]);

    const agreed = heyi.askPrivacy();
    await expect.poll(() => questions.length, { interval: 2 }).toBe(2);
    questions[1]?.({ event: 'agree', buttonId: 'agree-btn' });
    expect(await agreed).toBe(true);
    heyi.track('product_viewed', { product_id: 'agreed' });
    await heyi.flush();
    const [opened, viewed] = sentEvents(phone);
    expect(opened).toMatchObject({ event: 'app_opened', properties: { scene: '1047' } });
    expect(viewed).toMatchObject({ properties: { product_id: 'agreed' }, anonymousId: heyi.anonymousId() });
    expect(sentEvents(phone)).toHaveLength(2);
  });

  test('by a tap that the SDK was not told of, the next event finds out', async () => {
    const { launch, phone } = await someone(world, { privacy: { isRequired: true } });
    const { heyi, agreeToPrivacy } = launch();
    await heyi.flush();
    agreeToPrivacy();
    heyi.track('product_viewed', { product_id: 'x' });
    await heyi.flush();
    expect(named(sentEvents(phone))).toEqual(['app_opened', 'product_viewed']);
  });

  test('signing in works without, and names no anonymous id', async () => {
    const { launch, phone } = await someone(world, { privacy: { isRequired: true } });
    const { heyi } = launch();
    await heyi.signIn();
    expect(phone.line.sentTo('/token')[0]?.body).not.toContain('anonymous_id');
    expect(phone.line.sentTo('/v1/')).toEqual([]);
  });

  test('to the program’s own question: `agree`, or the policy ticked at sign-in; `withdraw` takes it all back', async () => {
    const { launch, phone, waiting } = await someone(world);
    const own = { privacy: 'own' };
    const first = launch({}, own);
    first.heyi.track('product_viewed', { product_id: 'too early' });
    await first.heyi.flush();
    expect(ours(phone.storage)).toEqual([]);
    await first.heyi.signIn({ consents: ['privacy@1'] });
    first.kill();
    const second = launch({}, own);
    phone.line.isOffline = true;
    second.heyi.track('product_viewed', { product_id: 'agreed' });
    expect(products(waiting().map(({ event }) => event))).toEqual(['agreed']);
    second.heyi.withdraw();
    expect([waiting(), second.heyi.anonymousId()]).toEqual([[], undefined]);
    second.kill();
    phone.line.isOffline = false;
    const third = launch({}, own).heyi;
    third.track('product_viewed', { product_id: 'withdrawn' });
    await third.flush();
    expect(waiting()).toEqual([]);
    await third.agree();
    third.track('product_viewed', { product_id: 'again' });
    await third.flush();
    expect(products(sentEvents(phone))).toEqual(['again']);
  });
});

describe('where a visit came from', () => {
  test('scene, campaign, mini-program and listed parameters are kept; tickets and the rest of the query are not', async () => {
    const { launch, phone } = await someone(world);
    const query = {
      utm_source: 'wechat%E7%BE%A4',
      utm_campaign: '618',
      store: '12',
      heyi_link: 'a-ticket',
      phone: '137',
    };
    const options = { scene: 1037, query, referrerInfo: { appId: 'wxother' }, path: 'pages/product/product' };
    const { heyi } = launch(options, { query: ['store'] });
    await heyi.flush();
    const [opened, screen] = sentEvents(phone);
    expect(opened?.properties).toEqual({
      scene: '1037',
      path: 'pages/product/product',
      query: { store: '12' },
    });
    expect(screen).toMatchObject({
      type: 'screen',
      name: 'pages/product/product',
      properties: { path: 'pages/product/product', query: { store: '12' } },
      context: {
        channel: 'miniprogram',
        scene: '1037',
        campaign: { source: 'wechat群', name: '618' },
        referrer: { type: 'miniprogram', id: 'wxother' },
        library: { name: '@heyi/miniprogram' },
        app: { version: '1.0.0', env: 'release' },
      },
    });
    expect(JSON.stringify(sentEvents(phone))).not.toMatch(/a-ticket|137/);
  });

  test('a mini-program code and an ordinary QR code carry campaigns inside', async () => {
    const { launch, phone } = await someone(world);
    const code = launch({ scene: 1047, query: { scene: 'utm_source%3Dposter%26utm_medium%3Dqr' } });
    await code.heyi.flush();
    code.kill();
    const { heyi } = launch({ scene: 1011, query: { q: encodeURIComponent('https://x.cn/a?utm_source=flyer#top') } });
    await heyi.flush();
    const opened = sentEvents(phone).filter(({ event }) => event === 'app_opened');
    expect(opened.map(({ context }) => context.campaign)).toEqual([
      { source: 'poster', medium: 'qr' },
      { source: 'flyer' },
    ]);
  });

  test('a return goes on with the campaign, unless it comes by another', async () => {
    const { launch, phone } = await someone(world);
    const running = launch({ query: { utm_source: 'ad' } });
    for (const options of [undefined, { scene: 1007, query: { utm_source: 'friend' } }]) {
      running.hide();
      running.show(options);
    }
    await running.heyi.flush();
    const entrances = sentEvents(phone).filter(({ event }) => event);
    expect(entrances.map(({ event, context }) => [event, context.scene, context.campaign])).toEqual([
      ['app_opened', '1001', { source: 'ad' }],
      ['app_shown', '1001', { source: 'ad' }],
      ['app_shown', '1007', { source: 'friend' }],
    ]);
  });

  test('WeChat’s crawler is nobody', async () => {
    const { launch, phone } = await someone(world);
    const { heyi } = launch({ scene: 1129 });
    heyi.track('product_viewed');
    await heyi.flush();
    expect(phone.line.sent).toEqual([]);
  });

  test('a share carries an id that names nobody, and whoever opens it and shares on is its child', async () => {
    const [giver, taker] = [await someone(world), await someone(world)];
    const giving = giver.launch();
    giving.move('navigateTo', { url: '/pages/product/product?id=1' });
    const given = giving.share('button') as { path: string; title: string };
    expect(given).toMatchObject({
      title: '紫砂壶',
      path: expect.stringMatching(/^\/pages\/product\/product\?id=1&heyi_share=sh-[0-9a-f]{32}$/),
    });
    const [path = '', search = ''] = given.path.slice(1).split('?');
    const taking = taker.launch({ path, query: giving.queryOf(search), scene: 1007 });
    const passed = taking.shareToMoments() as { query: string };
    expect(passed.query).toMatch(/^id=1&heyi_share=sh-/);
    const again = taking.share() as { path: string };
    expect(again.path.match(/heyi_share/g)).toHaveLength(1);
    await Promise.all([giving.heyi.flush(), taking.heyi.flush()]);
    const id = search.split('heyi_share=')[1];
    const shared = sentEvents(giver.phone).find(({ event }) => event === 'shared');
    expect(shared?.properties).toEqual({
      method: 'message',
      path: '/pages/product/product',
      share_id: id,
      from: 'button',
    });
    const [opened, , moments] = sentEvents(taker.phone);
    expect(opened).toMatchObject({ event: 'app_opened', properties: { share_id: id }, context: { share_id: id } });
    expect(moments).toMatchObject({ event: 'shared', properties: { method: 'moments', parent_share_id: id } });
  });

  test('pages are seen once a showing, with their titles and where the person was before', async () => {
    const { launch, phone } = await someone(world);
    const running = launch();
    running.move('navigateTo', { url: '/pages/product/product?id=1' });
    running.move('navigateBack');
    await running.heyi.flush();
    const seen = sentEvents(phone).filter(({ type }) => type === 'screen');
    expect(seen.map(({ name, properties }) => [name, properties])).toEqual([
      ['pages/index/index', { path: 'pages/index/index', title: '首页' }],
      ['pages/product/product', { path: 'pages/product/product', referrer: 'pages/index/index' }],
      ['pages/index/index', { path: 'pages/index/index', referrer: 'pages/product/product', title: '首页' }],
    ]);
    expect(running.errors).toEqual([]);
  });
});

describe('Taro and uni-app', () => {
  /** Taro’s calls return promises beside the callbacks, which reject when the call fails. */
  const promising = (wx: Record<string, unknown>) =>
    Object.fromEntries(
      Object.entries(wx).map(([name, work]) => [
        name,
        ['request', 'login', 'getPrivacySetting'].includes(name) && typeof work === 'function'
          ? (options: Record<string, (result: unknown) => void>) =>
              new Promise((resolve, reject) => {
                const also = (callback: string, settle: (result: unknown) => void) => (result: unknown) => {
                  options[callback]?.(result);
                  settle(result);
                };
                work({ ...options, success: also('success', resolve), fail: also('fail', reject) });
              })
          : work,
      ]),
    );

  test.each([
    ['Taro', promising],
    ['uni', (wx: Record<string, unknown>) => ({ ...wx })],
  ])('%s is given as the platform, and there need be no wx', async (_name, platformOf) => {
    const { phone } = await someone(world);
    const running = phone.launch({
      app: (scope) => {
        const platform = Object.assign(platformOf(scope.wx), {
          getCurrentPages: () => [{ route: 'pages/home', options: {} }],
        });
        for (const name of ['wx', 'Page', 'getCurrentPages']) delete scope[name];
        const { createHeyi } = scope.require(sdk);
        const settings = { issuer: world.heyi, clientId: 'demo-miniprogram', writeKey: 'demo-client-key', platform };
        const heyi = createHeyi(settings);
        scope.App({ heyi, onLaunch: heyi.launch, onShow: heyi.show, onHide: heyi.hide });
      },
    });
    const { heyi } = running.app();
    phone.line.lose('/v1/batch');
    heyi.screen();
    await heyi.flush();
    const { sub } = await heyi.signIn();
    expect(heyi.shareMessage({ title: 'x' }).path).toMatch(/^\/pages\/home\?heyi_share=/);
    await heyi.flush();
    expect((await heyi.request({ url: `${world.heyi}/userinfo` })).data).toMatchObject({ sub });
    expect(named(sentEvents(phone))).toEqual(['app_opened', 'pages/home', 'shared']);
    expect(running.errors).toEqual([]);
  });

  test('without either the SDK says what it misses', async () => {
    const { phone } = await someone(world);
    const start = () =>
      phone.launch({
        app: (scope) => {
          delete scope.wx;
          scope.require(sdk).createHeyi({ issuer: world.heyi, clientId: 'x' });
        },
      });
    expect(start).toThrow('give createHeyi a platform');
  });
});
