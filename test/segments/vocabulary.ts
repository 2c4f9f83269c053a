/** The few names, paths, values and moments that random people and random definitions share: what is asked is neither always true nor always false. */
import fc, { type Arbitrary } from 'fast-check';
import type { Scalar } from './oracle-world.ts';

/** Noon in Shanghai, shortly after summer time ended in New York and Berlin: nothing in a run depends on the day it is made. */
export const base = Date.parse('2026-11-26T12:00:00+08:00');

export const events = ['product_viewed', 'cart_added', 'order_paid', 'order_refunded', '签到 ✓'] as const;
export const channels = ['website', 'miniprogram', 'server'] as const;
export const purposes = ['service', 'profiling', 'marketing', 'ad_sharing'] as const;
export const numbers = [0, 1, 7, 9.5, 0.1, 0.2, 100, 5000, -3] as const;
export const texts = ['7', '7.0', '0.1', 'a', 'b', '红色相机', '100%_\\', 'A', '🐼', '999'] as const;
export const scalars: readonly Scalar[] = [...numbers, ...texts, true, false];
export const traitNames = ['level', 'points', 'birthday', 'joined_at', 'labels', 'vip'] as const;
/** Traits of the company that are worked out; one has the name of a declared one. */
export const workedOut = ['spent', 'points'] as const;
export const tags = ['vip', 'cold'] as const;
export const minute = 60_000;
export const day = 24 * 60 * minute;

export const pathsOfValues = [
  'product_id',
  'order_id',
  'labels[]',
  'products[].sku',
  'deep.a.b',
  'context.campaign.source',
] as const;
export const paths = [
  ...pathsOfValues,
  'price',
  'products[].price',
  'labels',
  'products',
  'context.scenes[].id',
  'missing',
  'price[]',
] as const;
export const numberPaths = ['price', 'total', 'products[].price', 'product_id', 'labels[]', 'missing'] as const;
export const durations = ['90m', '24h', '2d', '7d', '30d', '2w', '60d'] as const;
const lengths: Record<string, number> = { m: minute, h: 60 * minute, d: day, w: 7 * day };
export const lengthOf = (duration: string) => Number.parseInt(duration, 10) * (lengths[duration.slice(-1)] ?? 0);

export const one = <T>(of: readonly T[]): Arbitrary<T> => fc.constantFrom(...of);
export const some = <T>(of: readonly T[], most = 3): Arbitrary<T[]> =>
  fc.uniqueArray(one(of), { minLength: 1, maxLength: most });
/** Each of the fields named here is mostly left out. */
export const maybe = <T extends object>(model: { [K in keyof T]: Arbitrary<T[K]> }): Arbitrary<Partial<T>> =>
  fc
    .record(
      Object.fromEntries(
        Object.entries(model).map(([name, given]) => [
          name,
          often(fc.constant(undefined), given as Arbitrary<unknown>),
        ]),
      ),
    )
    .map((given) => Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Partial<T>);
const often = <T, U>(usual: Arbitrary<T>, other: Arbitrary<U>): Arbitrary<T | U> =>
  fc.oneof({ weight: 3, arbitrary: usual as Arbitrary<T | U> }, { weight: 1, arbitrary: other as Arbitrary<T | U> });

const near = (of: number[]) => fc.tuple(one(of), one([0, 0, -1, 1])).map(([age, off]) => age + off);
/** How long before something else: often just at the edge of a window or of a day. */
export const ages: Arbitrary<number> = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 70 * 24 * 60 }).map((minutes) => minutes * minute) },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: 3 * 24 * 60 }).map((minutes) => minutes * minute) },
  { weight: 2, arbitrary: near([0, ...durations.map(lengthOf)]) },
  // Midnights of Shanghai and of London, before noon in Shanghai.
  {
    weight: 1,
    arbitrary: near(
      Array.from({ length: 40 }, (_, n) => [12 * 60 * minute + n * day, 4 * 60 * minute + n * day]).flat(),
    ),
  },
);
