/** What trackers send, for bench/ingest.ts. */

export const visitors = 5_000;
export const perBatch = 100;

const id = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
export const anonymousId = (visitor: number) => `visitor-${id(visitor % visitors)}`.slice(8);

const browsers = Array.from(
  { length: 40 },
  (_, n) =>
    `Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/1${n + 10}.0.0.0 Safari/537.36`,
);

/** A product page seen by a visitor, with five properties and what a browser's tracker says of itself: about 900 bytes. */
function viewed(visitor: number, product: number, at: Date) {
  return {
    type: 'track',
    event: product % 3 ? 'product_viewed' : 'article_viewed',
    messageId: crypto.randomUUID(),
    anonymousId: anonymousId(visitor),
    timestamp: at,
    properties: {
      product_id: `sku-${product}`,
      name: `山屿 外壳 ${product}`,
      category: 'jackets',
      price: 1999 + product,
      currency: 'CNY',
    },
    context: {
      page: {
        path: `/products/${product}`,
        referrer: '',
        search: '',
        title: '山屿',
        url: `https://www.example.com/products/${product}`,
      },
      userAgent: browsers[visitor % browsers.length],
      library: { name: 'analytics.js', version: 'npm:next-1.84.3' },
      campaign: { source: 'wechat', medium: 'social', name: 'autumn' },
      consent: { categoryPreferences: { profiling: true, marketing: false } },
      locale: 'zh-CN',
      timezone: 'Asia/Shanghai',
    },
    integrations: {},
  };
}

const random = (below: number) => Math.floor(Math.random() * below);

/** Of ten visitors, as a relay brings them. */
export function batchBody(): string {
  const sentAt = new Date();
  const first = random(visitors);
  const batch = Array.from({ length: perBatch }, (_, n) =>
    viewed(first + (n % 10), random(500), new Date(sentAt.getTime() - n * 1000)),
  );
  return JSON.stringify({ batch, sentAt });
}

export const singleBody = (): string => JSON.stringify(viewed(random(visitors), random(500), new Date()));
