/**
 * Random definitions of every node and operator, over the few names, paths and values that the people of people.ts use, so that what
 * they ask is neither always true nor always false.
 */
import fc, { type Arbitrary } from 'fast-check';
import type {
  Cmp,
  Cond,
  Definition,
  EventNode,
  HasNode,
  Match,
  Node,
  PerNode,
  Scalar,
  SequenceNode,
  Step,
  TraitNode,
  Window,
} from './oracle-world.ts';

/** Noon in Shanghai, shortly after summer time ended in New York and Berlin: nothing in a run depends on the day it is made. */
export const base = Date.parse('2026-11-26T12:00:00+08:00');

export const events = ['product_viewed', 'cart_added', 'order_paid', 'order_refunded', '签到 ✓'] as const;
export const channels = ['website', 'miniprogram', 'server'] as const;
export const purposes = ['service', 'profiling', 'marketing', 'ad_sharing'] as const;
export const numbers = [0, 1, 7, 9.5, 0.1, 0.2, 100, 5000, -3] as const;
export const texts = ['7', '7.0', '0.1', 'a', 'b', '红色相机', '100%_\\', 'A', '🐼', '999'] as const;
export const scalars: readonly Scalar[] = [...numbers, ...texts, true, false];
export const traitNames = ['level', 'points', 'birthday', 'joined_at', 'labels', 'vip'] as const;
export const tags = ['vip', 'cold'] as const;
export const minute = 60_000;
export const day = 24 * 60 * minute;

const pathsOfValues = [
  'product_id',
  'order_id',
  'labels[]',
  'products[].sku',
  'deep.a.b',
  'context.campaign.source',
] as const;
const paths = [
  ...pathsOfValues,
  'price',
  'products[].price',
  'labels',
  'products',
  'context.scenes[].id',
  'missing',
  'price[]',
] as const;
const numberPaths = ['price', 'products[].price', 'product_id', 'labels[]', 'missing'] as const;
export const durations = ['90m', '24h', '2d', '7d', '30d', '2w', '60d'] as const;
const lengths: Record<string, number> = { m: minute, h: 60 * minute, d: day, w: 7 * day };
export const lengthOf = (duration: string) => Number.parseInt(duration, 10) * (lengths[duration.slice(-1)] ?? 0);

const one = <T>(of: readonly T[]): Arbitrary<T> => fc.constantFrom(...of);
const some = <T>(of: readonly T[], most = 3): Arbitrary<T[]> =>
  fc.uniqueArray(one(of), { minLength: 1, maxLength: most });
/** Each of the fields named here is mostly left out. */
const maybe = <T extends object>(model: { [K in keyof T]: Arbitrary<T[K]> }): Arbitrary<Partial<T>> =>
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

// Conditions

const condOn = (allowed: readonly string[]): Arbitrary<Cond> =>
  fc.oneof(
    { weight: 2, arbitrary: fc.record({ property: one(allowed), op: fc.constant('eq'), value: one(scalars) }) },
    { weight: 2, arbitrary: fc.record({ property: one(allowed), op: fc.constant('ne'), value: one(scalars) }) },
    { weight: 2, arbitrary: fc.record({ property: one(allowed), op: one(['in', 'nin']), value: some(scalars) }) },
    {
      weight: 3,
      arbitrary: fc.record({ property: one(allowed), op: one(['gt', 'gte', 'lt', 'lte']), value: one(numbers) }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        property: one(allowed),
        op: fc.constant('contains'),
        value: one([...scalars, '相', '%', '_', '\\']),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        property: one(allowed),
        op: fc.constant('starts_with'),
        value: one([...texts, '红', '1', '%']),
      }),
    },
    { weight: 2, arbitrary: fc.record({ property: one(allowed), op: fc.constant('exists'), value: fc.boolean() }) },
  ) as Arbitrary<Cond>;
const cond = (allowed: readonly string[]): Arbitrary<Cond> =>
  fc.oneof(
    { weight: 6, arbitrary: condOn(allowed) },
    { weight: 1, arbitrary: fc.record({ any: fc.array(condOn(allowed), { minLength: 1, maxLength: 3 }) }) },
  );
const conds = (allowed: readonly string[] = paths) => fc.array(cond(allowed), { minLength: 1, maxLength: 2 });
const items = fc.oneof(
  conds(['products[].sku', 'products[].price', 'products[].missing', 'products[]']),
  conds(['labels[]']),
);

const names: Arbitrary<string | string[]> = fc.oneof(
  { weight: 5, arbitrary: one<string>(events) },
  { weight: 2, arbitrary: some<string>(events) },
  { weight: 2, arbitrary: fc.constant('*') },
);

const match: Arbitrary<Match> = fc
  .tuple(
    fc.record({ event: names }),
    fc.oneof(
      { weight: 3, arbitrary: fc.constant({}) },
      {
        weight: 4,
        arbitrary: maybe<Omit<Match, 'event'>>({
          channel: fc.oneof(one<string>(channels), some<string>(channels)),
          trust: one(['claimed', 'bound', 'token', 'server']),
          where: conds(),
          item: items,
          unless: fc
            .tuple(
              fc.record({ event: names, same: one<string>(pathsOfValues) }),
              maybe<{ where: Cond[] }>({ where: conds() }),
            )
            .map(([must, may]) => ({ ...must, ...may })),
        }),
      },
    ),
  )
  .map(([must, may]) => ({ ...must, ...may }));

// Windows and comparisons

export const window: Arbitrary<Window> = fc.oneof(
  { weight: 4, arbitrary: fc.constant({}) },
  { weight: 4, arbitrary: fc.record({ within: one<string>(durations) }) },
  {
    weight: 2,
    arbitrary: fc
      .uniqueArray(one<string>(durations), { minLength: 2, maxLength: 2, selector: lengthOf })
      .map((pair) => pair.toSorted((a, b) => lengthOf(b) - lengthOf(a)))
      .map(([a = '', b = '']) => ({ between: [a, b] as [string, string] })),
  },
  {
    weight: 3,
    arbitrary: fc
      .record({
        unit: one(['day', 'week', 'month', 'quarter', 'year'] as const),
        offset: fc.integer({ min: -3, max: 0 }),
      })
      .map((calendar) => ({ calendar })),
  },
  {
    weight: 1,
    arbitrary: fc.uniqueArray(ages, { minLength: 2, maxLength: 2 }).chain((pair) => {
      const [after = '', before = ''] = pair.sort((a, b) => b - a).map((age) => new Date(base - age).toISOString());
      return one([{ after }, { before }, { after, before }]);
    }),
  },
);

const cmp = (values: readonly number[]): Arbitrary<Cmp> =>
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.tuple(one(['gte', 'gt', 'lte', 'lt', 'eq']), one(values)).map(([op, value]) => ({ [op]: value })),
    },
    { weight: 1, arbitrary: fc.record({ gte: one(values), lte: one(values) }) },
  );
const few = [0, 1, 1, 2, 2, 3, 5];
const amounts = [0, 0.3, 1, 7, 14, 50, 100, 5000, 10000.5, -3];
const of = (allowed: readonly string[], values: readonly number[]) =>
  fc.tuple(one(allowed), cmp(values)).map(([path, compared]) => ({ of: path, ...compared }));

const sum = fc
  .tuple(
    of(numberPaths, amounts),
    fc.option(
      fc.tuple(match, one<string>(numberPaths)).map(([off, path]) => ({ ...off, of: path })),
      { nil: undefined, freq: 2 },
    ),
  )
  .map(([given, minus]) => (minus ? { ...given, minus } : given));

const aggregate: Arbitrary<Partial<EventNode>> = fc.oneof(
  { weight: 4, arbitrary: fc.constant({}) },
  { weight: 3, arbitrary: fc.record({ count: cmp(few) }) },
  { weight: 2, arbitrary: fc.record({ days: cmp(few) }) },
  { weight: 2, arbitrary: fc.record({ first: fc.constant(true as const) }) },
  { weight: 2, arbitrary: fc.record({ last: fc.constant(true as const) }) },
  { weight: 2, arbitrary: fc.record({ distinct: of(paths, few) }) },
  { weight: 2, arbitrary: fc.record({ sum }) },
  { weight: 1, arbitrary: fc.record({ avg: of(numberPaths, amounts) }) },
  { weight: 1, arbitrary: fc.record({ min: of(numberPaths, amounts) }) },
  { weight: 1, arbitrary: fc.record({ max: of(numberPaths, amounts) }) },
);

export const eventNode: Arbitrary<EventNode> = fc
  .tuple(match, aggregate, window)
  .map(([matched, asked, inside]) => ({ ...matched, ...asked, ...inside }));

const no: Arbitrary<Step> = fc.record({ no: match });
const lastNo: Arbitrary<Step> = fc.oneof(no, fc.record({ no: match, for: one<string>(durations) }));
const steps: Arbitrary<Step[]> = fc
  .tuple(
    match,
    fc.array(fc.oneof({ weight: 3, arbitrary: match as Arbitrary<Step> }, { weight: 1, arbitrary: no }), {
      maxLength: 2,
    }),
    fc.option(lastNo, { nil: undefined }),
  )
  .map(([first, others, last]) => (last ? [first, ...others, last] : [first, ...others]));
export const sequenceNode: Arbitrary<SequenceNode> = fc
  .tuple(
    steps,
    maybe<{ in: string; same: string }>({ in: one<string>(durations), same: one<string>(pathsOfValues) }),
    window,
  )
  .map(([sequence, may, inside]) => ({ sequence, ...may, ...inside }));

export const perNode: Arbitrary<PerNode> = fc.record({
  per: one<string>(pathsOfValues),
  all: fc
    .tuple(
      fc.oneof(
        { weight: 2, arbitrary: fc.record({ event: names }) as Arbitrary<PerNode['all'][number]> },
        { weight: 3, arbitrary: eventNode },
        { weight: 1, arbitrary: sequenceNode },
      ),
      fc.array(
        fc.oneof(
          { weight: 2, arbitrary: fc.record({ not: eventNode }) as Arbitrary<PerNode['all'][number]> },
          { weight: 2, arbitrary: eventNode },
          { weight: 1, arbitrary: sequenceNode },
        ),
        { maxLength: 2 },
      ),
      fc.boolean(),
    )
    .map(([first, others, isFirst]) => (isFirst ? [first, ...others] : [...others, first])),
});

// What is no event

export const dates = [
  '1990-11-26',
  '2000-02-29',
  '1988-12-01',
  '2026-11-26',
  '2026-11-28',
  '2026-11-20',
  '2026-12-24',
  '2026-11-26T04:00:00Z',
  '2026-11-26T12:00:00.001+08:00',
  '2026-11-19T12:00:00+08:00',
  '2026-11-25T16:00:00Z',
  '2026-02-30',
  '2026-11-26T24:00:00Z',
  '2026-11-26T00:00:00+16:00',
  '0000-11-26',
] as const;
const periods = ['this_day', 'this_week', 'this_month', 'this_quarter', 'this_year'] as const;
const isoDates = dates.slice(0, 11);

export const traitNode: Arbitrary<TraitNode> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ trait: one(traitNames), op: one(['eq', 'ne']), value: one([...scalars, ...isoDates]) }),
  },
  { weight: 1, arbitrary: fc.record({ trait: one(traitNames), op: one(['in', 'nin']), value: some(scalars) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      trait: one(traitNames),
      op: one(['gt', 'gte', 'lt', 'lte']),
      value: one<Scalar>([...numbers, ...isoDates]),
    }),
  },
  { weight: 1, arbitrary: fc.record({ trait: one(traitNames), op: fc.constant('contains'), value: one(scalars) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      trait: one(traitNames),
      op: fc.constant('starts_with'),
      value: one<Scalar>(['红', '7', '2026', 'a']),
    }),
  },
  { weight: 1, arbitrary: fc.record({ trait: one(traitNames), op: fc.constant('exists'), value: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({
      trait: one(['birthday', 'joined_at', 'joined_at']),
      op: one(['in_last', 'in_next']),
      value: one<Scalar>([...durations, ...periods]),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      trait: one(['birthday', 'birthday', 'joined_at']),
      op: fc.constant('anniversary_in'),
      value: one<Scalar>(['0d', '2d', '7d', '5w', '400d', ...periods]),
    }),
  },
);

const hasNode = (segments: readonly string[]): Arbitrary<HasNode> =>
  fc.oneof(
    { weight: 2, arbitrary: fc.record({ tag: one<string>(tags) }) as Arbitrary<HasNode> },
    { weight: 1, arbitrary: fc.record({ consent: one<string>(purposes) }) },
    {
      weight: 1,
      arbitrary: fc.oneof(
        fc.record({ identity: one(['phone', 'email', 'wechat_openid']) }),
        fc.record({ identity: fc.constant('wechat_openid'), issuer: one(['wx1', 'wx2']) }),
      ),
    },
    {
      weight: 1,
      arbitrary: fc
        .record({ percent: one([0, 10, 33.3, 50, 100]), salt: one(['s', 't:u']) })
        .map((sample) => ({ sample })),
    },
    ...(segments.length ? [{ weight: 3, arbitrary: fc.record({ segment: one(segments) }) as Arbitrary<HasNode> }] : []),
  );

/** @param segments keys of segments that it may look through */
export function nodes(segments: readonly string[] = []): Arbitrary<Node> {
  const leaf: Arbitrary<Node> = fc.oneof(
    { weight: 8, arbitrary: eventNode as Arbitrary<Node> },
    { weight: 4, arbitrary: sequenceNode },
    { weight: 4, arbitrary: perNode },
    { weight: 2, arbitrary: traitNode },
    { weight: 2, arbitrary: hasNode(segments) },
    ...(segments.length ? [{ weight: 3, arbitrary: fc.record({ segment: one(segments) }) as Arbitrary<Node> }] : []),
  );
  const { node } = fc.letrec<{ node: Node }>((tie) => ({
    node: fc.oneof(
      { maxDepth: 3, withCrossShrink: true },
      { weight: 5, arbitrary: leaf },
      {
        weight: 2,
        arbitrary: fc.record({ all: fc.array(tie('node'), { minLength: 1, maxLength: 3 }) }) as Arbitrary<Node>,
      },
      { weight: 2, arbitrary: fc.record({ any: fc.array(tie('node'), { minLength: 1, maxLength: 3 }) }) },
      { weight: 2, arbitrary: fc.record({ not: tie('node') }) },
    ),
  }));
  return node;
}

export const purpose = fc.oneof(
  { weight: 6, arbitrary: fc.constant('service') },
  { weight: 3, arbitrary: one<string>(purposes) },
);
export const timeZone = fc.oneof(
  { weight: 4, arbitrary: fc.constant('Asia/Shanghai') },
  { weight: 2, arbitrary: one(['UTC', 'America/New_York', 'Asia/Kolkata', 'Europe/Berlin']) },
);

export type Written = Required<Definition> & { version: 1; name: string };

export const definitions = (key: string, segments: readonly string[] = []): Arbitrary<Written> =>
  fc
    .record({ where: nodes(segments), purpose, tz: timeZone })
    .map((given) => ({ version: 1, key, name: key, ...given }));
