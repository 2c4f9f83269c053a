/** Random Trait nodes, over declared traits and those that are worked out. */
import fc, { type Arbitrary } from 'fast-check';
import type { Scalar, TraitNode } from './oracle-world.ts';
import { durations, numbers, one, scalars, some, traitNames, workedOut } from './vocabulary.ts';

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

const amounts = [0, 0.3, 1, 2, 3, 5, 7, 9.5, 50, 5000];
const scores = ['rfm_recency', 'rfm_frequency', 'rfm_monetary'] as const;
const worked = [
  'orders_count',
  'orders_total',
  'average_order',
  'events_total',
  ...workedOut,
  ...workedOut,
  ...scores,
] as const;
const moments = ['first_seen_at', 'last_seen_at', 'first_order_at', 'last_order_at', 'created_at'] as const;
const groups = ['value', 'develop', 'keep', 'win_back'].flatMap((code) => [`important_${code}`, `general_${code}`]);

/** Over events, and by time. */
export const workedOutNode: Arbitrary<TraitNode> = fc
  .oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        trait: one<string>(worked),
        op: one(['gt', 'gte', 'lt', 'lte', 'eq', 'ne']),
        value: one<Scalar>(amounts),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        trait: one<string>([...moments, ...workedOut]),
        op: one(['in_last', 'in_next']),
        value: one<Scalar>([...durations, ...periods]),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        trait: one<string>(moments),
        op: one(['gt', 'gte', 'lt', 'lte', 'eq', 'ne']),
        value: one<Scalar>(isoDates),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ trait: fc.constant('rfm_segment'), op: one(['in', 'nin']), value: some(groups, 4) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        trait: fc.constant('locale'),
        op: one(['eq', 'ne']),
        value: one<Scalar>(['zh-CN', 'en']),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        trait: one<string>([...worked, ...moments, 'locale', 'rfm_segment']),
        op: fc.constant('exists'),
        value: fc.boolean(),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ trait: one<string>(workedOut), op: one(['eq', 'in', 'nin']), value: some(scalars) }),
    },
  )
  .map((node) => (node.op === 'eq' && Array.isArray(node.value) ? { ...node, value: node.value[0] ?? 0 } : node));

export const traitNode: Arbitrary<TraitNode> = fc.oneof(
  { weight: 7, arbitrary: workedOutNode },
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
