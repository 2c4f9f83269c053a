/**
 * Fills a Heyi of the sandbox with a shop's customers, through the same doors as everybody: people sign in by WeChat, their events come
 * with a server's key, segments are defined over the API. Drawn by a fixed seed, relative to now.
 */
export type Addresses = { heyi: string; sandbox: string };

const day = 86_400_000;
const surnames = '林王李张刘陈杨赵黄周吴徐孙胡朱高何郭马罗梁宋郑谢'.split('');
const given = ['晓彤', '敏', '志远', '雨桐', '建国', '佳怡', '思源', '一诺', '浩然', '静', '子涵', '文博', '梦琪'];
const cities = ['上海', '杭州', '北京', '广州', '成都', '苏州', '深圳', '南京'];
const products = [
  { product_id: 'teapot-zisha', name: '宜兴紫砂壶 · 石瓢', category: '茶器', price: 6800 },
  { product_id: 'puer-2006', name: '古树生普 2006', category: '普洱', price: 5680 },
  { product_id: 'longjing', name: '明前龙井 250 克', category: '绿茶', price: 1280 },
  { product_id: 'yancha', name: '武夷岩茶礼盒', category: '乌龙', price: 880 },
  { product_id: 'white-tea', name: '福鼎白茶饼', category: '白茶', price: 560 },
  { product_id: 'cups', name: '汝窑品茗杯一对', category: '茶器', price: 320 },
  { product_id: 'jasmine', name: '茉莉花茶', category: '花茶', price: 168 },
] as const;
type Product = (typeof products)[number];

let seed = 20_261_126;
function random(): number {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
  return seed / 2 ** 32;
}
const below = (most: number) => Math.floor(random() * most);
const chance = (probability: number) => random() < probability;
function one<T>(of: readonly T[]): T {
  return of[below(of.length)] as T;
}

type Sent = Record<string, unknown>;

export async function fill({ heyi, sandbox }: Addresses, howMany = 46): Promise<string[]> {
  const machine = await tokenOf(heyi);
  const call = (method: string, path: string, body?: unknown) =>
    json(`${heyi}/api/v1${path}`, { method, body, authorization: `Bearer ${machine}` });
  await call('POST', '/events/catalogue', {
    name: 'tea_class_attended',
    title: { 'zh-CN': '参加茶课', en: 'Tea class attended' },
    properties: { class_id: { type: 'string', required: true }, seats: { type: 'number' } },
  });
  for (const definition of await segmentsOf(call)) await call('POST', '/segments', definition);
  const subs: string[] = [];
  for (let n = 0; n < howMany; n++) {
    const sub = await signIn({ heyi, sandbox }, n);
    subs.push(sub);
    const agreed = chance(0.88);
    for (const purpose of ['profiling', 'marketing'])
      await call('PUT', `/subjects/${sub}/consents`, {
        purpose,
        version: '1',
        granted: agreed || purpose === 'profiling',
        evidence: { form: 'membership' },
      });
    await call('PUT', `/subjects/${sub}/traits`, {
      city: one(cities),
      birthday: `19${70 + below(30)}-${String(1 + below(12)).padStart(2, '0')}-${String(1 + below(28)).padStart(2, '0')}`,
      points_balance: below(40) * 50,
      points_expire_at: new Date(Date.now() + below(120) * day).toISOString().slice(0, 10),
    });
    if (chance(0.2))
      await call('PUT', `/subjects/${sub}/tags/${encodeURIComponent(one(['VIP', '茶友会', '企业客户']))}`);
    await send(heyi, lifeOf(sub, agreed));
  }
  await sendNow(heyi, subs);
  return subs;
}

/** Half a year of one customer, oldest first. */
function lifeOf(userId: string, agreed: boolean): Sent[] {
  const events: Sent[] = [];
  const liveliness = random();
  const consent = { categoryPreferences: { profiling: true, marketing: agreed } };
  const source = one([
    { campaign: { source: 'baidu', medium: 'cpc', name: '双十一' } },
    { campaign: { source: 'xiaohongshu', medium: 'social', name: '新品种草' } },
    { page: { referrer: 'https://www.baidu.com/' } },
    {},
  ]);
  const visits = 2 + Math.floor(liveliness * 24);
  const sinceDays = chance(0.15) ? 62 : 0;
  for (let visit = visits; visit > 0; visit--) {
    let at = Date.now() - (sinceDays + (visit - random()) * ((170 - sinceDays) / visits) ** 1.0) * day - 3_600_000;
    const channel = chance(0.55) ? 'website' : 'miniprogram';
    const context = {
      channel,
      consent,
      ...(channel === 'website' ? source : { scene: one([1001, 1007, 1047, 1089]) }),
    };
    const add = (event: string, properties: object) => {
      at += (20 + below(200)) * 1000;
      events.push({
        type: 'track',
        userId,
        event,
        properties,
        context,
        timestamp: new Date(Math.min(at, Date.now() - 1000)).toISOString(),
      });
    };
    if (channel === 'miniprogram') add('app_opened', { scene: String(one([1001, 1007, 1047, 1089])) });
    const looked: Product[] = Array.from({ length: 1 + below(5) }, () =>
      liveliness > 0.6 ? one(products.slice(0, 4)) : one(products),
    );
    for (const product of looked) add('product_viewed', product);
    const [wanted] = looked;
    if (wanted && chance(0.3)) add('cart_added', { ...wanted, quantity: 1 });
    if (wanted && chance(0.16)) {
      const order_id = `O${Math.floor(at / 1000)}${below(100)}`;
      const order = {
        order_id,
        total: wanted.price,
        currency: 'CNY',
        products: [{ ...wanted, quantity: 1 }],
        product_id: wanted.product_id,
      };
      add('order_placed', order);
      add('order_paid', order);
      if (chance(0.08)) add('order_refunded', { ...order, reason: '尺寸不合' });
    }
    if (chance(0.06)) add('tea_class_attended', { class_id: one(['品鉴入门', '宋代点茶']), seats: 1 + below(3) });
    if (chance(0.05))
      add('appointment_booked', { appointment_id: `A${below(10_000)}`, store_id: one(['静安店', '西湖店']) });
  }
  return events;
}

/** What a debugger has to show: what counts, what only claims to be an order, and what is refused. */
async function sendNow(heyi: string, subs: string[]): Promise<void> {
  const consent = { categoryPreferences: { profiling: true, marketing: true } };
  const website = { channel: 'website', consent };
  await send(
    heyi,
    [
      {
        type: 'track',
        event: 'order_paid',
        anonymousId: 'visitor-7f3a',
        properties: { order_id: 'O9', total: 99 },
        context: website,
      },
    ],
    'demo-client-key',
  );
  const batch = subs.slice(0, 6).flatMap((userId, n): Sent[] => {
    const context = n % 2 ? { channel: 'miniprogram', consent } : website;
    const product = one(products);
    return [
      { type: 'track', event: 'Product Viewed', userId, properties: product, context },
      {
        type: 'track',
        event: n % 3 ? 'cart_added' : 'tea_class_attended',
        userId,
        properties: n % 3 ? product : { class_id: '宋代点茶', seats: 2 },
        context,
      },
    ];
  });
  await send(heyi, [
    ...batch.slice(0, 9),
    { type: 'track', userId: subs[0] },
    { type: 'track', event: 'page_viewed' },
    ...batch.slice(9),
  ]);
  const order = { order_id: 'O20261126', total: 5680, currency: 'CNY', products: [{ ...products[1], quantity: 1 }] };
  await send(heyi, [
    {
      type: 'track',
      event: 'order_placed',
      userId: subs[3],
      properties: order,
      context: { channel: 'miniprogram', consent },
    },
  ]);
}

/** Eight of the templates, and one with the company's own event. */
async function segmentsOf(call: (method: string, path: string) => Promise<Sent>): Promise<unknown[]> {
  const { data } = (await call('GET', '/segments/templates')) as { data: { definition: { key: string } }[] };
  const wanted = data
    .map(({ definition }) => definition)
    .filter(({ key }) => key !== 'points-expiring')
    .slice(0, 8);
  const own = {
    version: 1,
    key: 'tea-class-regulars',
    name: '茶课常客',
    purpose: 'profiling',
    where: { event: 'tea_class_attended', count: { gte: 2 }, within: '180d' },
  };
  return [...wanted, own];
}

async function signIn({ heyi, sandbox }: Addresses, n: number): Promise<string> {
  const appid = 'wxsandbox0000000001';
  const nickname = `${surnames[n % surnames.length]}${one(given)}`;
  const phone = `+8613${String(900_000_000 + n * 7_919_017)
    .padStart(9, '0')
    .slice(-9)}`;
  const { person_id } = await json(`${sandbox}/people`, { method: 'POST', body: { nickname, phone } });
  const login = await json(`${sandbox}/people/${person_id}/login-code`, { method: 'POST', body: { appid } });
  const button = await json(`${sandbox}/people/${person_id}/phone-code`, { method: 'POST', body: { appid } });
  const answer = await form(`${heyi}/token`, {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    client_id: 'demo-miniprogram',
    subject_token: String(login.code),
    subject_token_type: 'urn:heyi:token-type:wechat-login-code',
    phone_code: String(button.code),
    consents: 'privacy@1',
    scope: 'openid',
  });
  const [, claims = ''] = String(answer.id_token).split('.');
  return JSON.parse(Buffer.from(claims, 'base64url').toString()).sub;
}

async function send(heyi: string, batch: Sent[], key = 'demo-server-key'): Promise<void> {
  const authorization = `Basic ${Buffer.from(`${key}:`).toString('base64')}`;
  for (let from = 0; from < batch.length; from += 100)
    await json(`${heyi}/v1/batch`, { method: 'POST', body: { batch: batch.slice(from, from + 100) }, authorization });
}

async function tokenOf(heyi: string): Promise<string> {
  const answer = await form(`${heyi}/token`, {
    grant_type: 'client_credentials',
    client_id: 'demo-backend',
    client_secret: 'demo-backend-secret',
    resource: `${heyi}/api`,
    scope: 'subjects:read subjects:write segments:read segments:write settings:write',
  });
  return String(answer.access_token);
}

const form = (url: string, fields: Record<string, string>) =>
  answered(url, { method: 'POST', body: new URLSearchParams(fields) });

function json(
  url: string,
  { method, body, authorization = '' }: { method: string; body?: unknown; authorization?: string },
) {
  const headers = { 'content-type': 'application/json', ...(authorization && { authorization }) };
  return answered(url, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) });
}

async function answered(url: string, request: RequestInit): Promise<Sent> {
  const answer = await fetch(url, request);
  if (!answer.ok) throw new Error(`${request.method} ${url}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as Sent;
}
