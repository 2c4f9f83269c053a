/** A million people, what they did, and two hundred definitions of mixed shapes, for bench/segments.ts. */
import type { Database } from '../src/database.ts';
import type { Node } from '../src/segments/definition.ts';

export const subOf = (n: number) => `md5('s' || ${n})::uuid`;

export async function fillPeople(db: Database, people: number): Promise<void> {
  await withoutNotes(db, async () => {
    await db.raw(`insert into subjects (id) select md5('s' || n)::uuid from generate_series(1, ?::int) n`, [people]);
    for (const purpose of ['profiling', 'marketing'])
      await db.raw(
        `insert into consents (subject_id, purpose, version, is_granted, channel)
         select md5('s' || n)::uuid, ?, '1', true, 'website' from generate_series(1, ?::int) n where n % 10 < 8`,
        [purpose, people],
      );
  });
}

/** Notes of a bulk load would be evaluated for an hour; what the load means is in the builds. */
async function withoutNotes(db: Database, load: () => Promise<void>): Promise<void> {
  for (const table of ['subjects', 'consents']) await db.raw(`alter table ${table} disable trigger user`);
  await load();
  for (const table of ['subjects', 'consents']) await db.raw(`alter table ${table} enable trigger user`);
}

const days = 90;

/**
 * Events from `first` to `last`, spread over ninety days and over the people, a third of them over a tenth of the people. Of a hundred: 45
 * products viewed, 25 pages, 12 searches, 10 in the cart, 5 orders placed, 3 paid.
 */
export async function fillEvents(
  db: Database,
  { first, last, people }: { first: number; last: number; people: number },
) {
  for (let month = 0; month <= 4; month++)
    await db.raw(`select ensure_event_partition(now() - interval '1 month' * ?)`, [month]);
  const step = 500_000;
  for (let from = first; from <= last; from += step) {
    await db.raw(
      `insert into events (id, received_at, "timestamp", subject_id, source_id, message_key, type, event, channel, trust, purposes, properties)
       select gen_random_uuid(), at, at, md5('s' || who)::uuid, 1, md5('m' || n)::uuid, 'track',
              case when what < 45 then 'product_viewed' when what < 70 then 'page_viewed' when what < 82 then 'searched'
                   when what < 92 then 'cart_added' when what < 97 then 'order_placed' else 'order_paid' end,
              case when n % 5 < 3 then 'website' else 'miniprogram' end, 'server', 'service profiling marketing',
              case when what < 45 or what between 82 and 91 then
                     jsonb_build_object('product_id', 'p' || product, 'price', product * 10, 'category', 'c' || product % 12)
                   when what >= 92 then
                     jsonb_build_object('order_id', 'o' || n, 'total', product * 10, 'product_id', 'p' || product)
                   else jsonb_build_object('path', '/p/' || product) end
         from (
           select n, n * 7919 % 100 as what, 1 + n % 1000 as product,
                  now() - interval '1 day' * :days * ((n * 48271 % 2147483647) / 2147483647.0) as at,
                  case when n % 3 = 0 then 1 + (n * 7877 % (:people::bigint / 10)) else 1 + (n * 104729 % :people::bigint) end as who
             from generate_series(:from::bigint, :to::bigint) n) g`,
      { days, people, from, to: Math.min(from + step - 1, last) },
    );
  }
  await db.raw('vacuum analyze events');
  await db.raw('checkpoint');
}

/** Twenty shapes, each with ten thresholds, windows or products of its own: what a retailer's marketing keeps. */
export function definitions(count: number): { key: string; where: Node }[] {
  return Array.from({ length: count }, (_, n) => ({ key: `bench-${n}`, where: shape(n % 20, Math.floor(n / 20)) }));
}

const windows = ['3d', '7d', '14d', '30d', '60d'];

function shape(kind: number, variant: number): Node {
  const within = windows[variant % windows.length] ?? '30d';
  const price = { property: 'price', op: 'gte' as const, value: 5_000 + variant * 450 };
  switch (kind) {
    case 0:
      return { event: 'product_viewed', count: { gte: 2 + variant }, within };
    case 1:
      return {
        per: 'product_id',
        all: [
          { event: 'product_viewed', channel: 'website', where: [price], count: { gte: 2 }, within },
          { not: { event: 'order_paid' } },
        ],
      };
    case 2:
      return { event: 'order_paid', sum: { of: 'total', gte: 5_000 + 1_000 * variant }, within: '90d' };
    case 3:
      return { event: 'order_paid', distinct: { of: 'order_id', gte: 2 }, within: '90d' };
    case 4:
      return { all: [{ event: 'cart_added', within }, { not: { event: 'order_paid', within } }] };
    case 5:
      return { sequence: [{ event: 'product_viewed', where: [price] }, { event: 'order_paid' }], in: within };
    case 6:
      return { sequence: [{ event: 'cart_added' }, { no: { event: 'order_placed' }, for: '24h' }], within };
    case 7:
      return { event: 'product_viewed', days: { gte: 3 }, calendar: { unit: 'month' } };
    case 8:
      return { event: 'product_viewed', distinct: { of: 'category', gte: 4 + (variant % 4) }, within };
    case 9:
      return { event: 'product_viewed', where: [{ property: 'category', op: 'eq', value: `c${variant}` }], within };
    case 10:
      return { event: 'order_paid', avg: { of: 'total', gte: 4_000 + variant * 300 }, within: '90d' };
    case 11:
      return { event: 'order_paid', first: true, within };
    case 12:
      return {
        all: [
          { event: 'page_viewed', within },
          { event: 'searched', within },
          { event: 'cart_added', within },
        ],
      };
    case 13:
      return {
        any: [
          { event: 'order_placed', within },
          { event: 'cart_added', where: [price], within },
        ],
      };
    case 14:
      return { all: [{ segment: 'bench-0' }, { event: 'searched', count: { gte: 1 + (variant % 3) }, within }] };
    case 15:
      return { event: 'product_viewed', max: { of: 'price', gte: 9_000 + variant * 90 }, within };
    case 16:
      return {
        per: 'category',
        all: [
          { event: 'product_viewed', count: { gte: 3 }, within },
          { event: 'cart_added', within },
        ],
      };
    case 17:
      return {
        all: [
          { event: 'order_paid', last: true, between: ['60d', '30d'] },
          { event: 'page_viewed', within },
        ],
      };
    case 18:
      return { event: 'searched', channel: 'miniprogram', count: { gte: 1, lt: 3 + variant }, within };
    default:
      return {
        all: [{ event: 'product_viewed', within: '1d' }, { sample: { percent: 5 * (variant + 1), salt: 'bench' } }],
      };
  }
}
