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
  Rfm,
  SequenceNode,
  Step,
  ValueNode,
  Window,
  Working,
} from './oracle-world.ts';
import { traitNode, workedOutNode } from './trait-nodes.ts';
import {
  ages,
  base,
  channels,
  durations,
  events,
  lengthOf,
  maybe,
  numberPaths,
  numbers,
  one,
  paths,
  pathsOfValues,
  purposes,
  scalars,
  some,
  tags,
  texts,
  workedOut,
} from './vocabulary.ts';

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

/** Questions about events that are these matches. */
function behaviourOf(match: Arbitrary<Match>, window: Arbitrary<Window>, lasts: readonly string[]) {
  const eventNode: Arbitrary<EventNode> = fc
    .tuple(match, aggregate, window)
    .map(([matched, asked, inside]) => ({ ...matched, ...asked, ...inside }));
  const no: Arbitrary<Step> = fc.record({ no: match });
  const lastNo: Arbitrary<Step> = fc.oneof(no, fc.record({ no: match, for: one<string>(lasts) }));
  const steps: Arbitrary<Step[]> = fc
    .tuple(
      match,
      fc.array(fc.oneof({ weight: 3, arbitrary: match as Arbitrary<Step> }, { weight: 1, arbitrary: no }), {
        maxLength: 2,
      }),
      fc.option(lastNo, { nil: undefined }),
    )
    .map(([first, others, last]) => (last ? [first, ...others, last] : [first, ...others]));
  const sequenceNode: Arbitrary<SequenceNode> = fc
    .tuple(
      steps,
      maybe<{ in: string; same: string }>({ in: one<string>(lasts), same: one<string>(pathsOfValues) }),
      window,
    )
    .map(([sequence, may, inside]) => ({ sequence, ...may, ...inside }));
  const perNode: Arbitrary<PerNode> = fc.record({
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
  return { eventNode, sequenceNode, perNode };
}

/** Of every kind. */
const any = behaviourOf(match, window, durations);

/** What many people did, and what time alone turns soon: an evaluator that forgets to look again is found by these. */
const turning = behaviourOf(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ event: names }) },
    {
      weight: 1,
      arbitrary: fc.record({
        event: names,
        unless: fc.record({ event: one<string>(events), same: one<string>(['order_id', 'product_id']) }),
      }),
    },
  ),
  fc.oneof(
    { weight: 1, arbitrary: fc.constant({}) },
    { weight: 3, arbitrary: fc.record({ within: one(durations) }) },
    {
      weight: 3,
      arbitrary: one<Window>([{ between: ['60d', '30d'] }, { between: ['30d', '7d'] }, { between: ['7d', '24h'] }]),
    },
    {
      weight: 2,
      arbitrary: fc
        .record({ unit: one(['day', 'week', 'month'] as const), offset: one([0, 0, -1]) })
        .map((calendar) => ({ calendar })),
    },
  ),
  ['24h', '7d', '30d'],
);

/** Of a value that most events have. */
const turningPer: Arbitrary<PerNode> = fc.record({
  per: one<string>(['product_id', 'order_id']),
  all: fc.oneof(
    fc.tuple(turning.eventNode),
    fc.tuple(fc.record({ event: names }), fc.record({ not: turning.eventNode })),
    fc.tuple(turning.eventNode, turning.sequenceNode),
  ) as Arbitrary<PerNode['all']>,
});
const turningLeaf: Arbitrary<Node> = fc.oneof(
  { weight: 3, arbitrary: turning.eventNode as Arbitrary<Node> },
  { weight: 2, arbitrary: turning.sequenceNode },
  { weight: 2, arbitrary: turningPer },
);

// Values instead of a yes or no

export const timeZone = fc.oneof(
  { weight: 4, arbitrary: fc.constant('Asia/Shanghai') },
  { weight: 2, arbitrary: one(['UTC', 'America/New_York', 'Asia/Kolkata', 'Europe/Berlin']) },
);

const ofPath = (allowed: readonly string[]) => fc.record({ of: one(allowed) });
const sumOf = fc
  .tuple(
    ofPath(numberPaths),
    fc.option(
      fc.tuple(match, one<string>(numberPaths)).map(([off, path]) => ({ ...off, of: path })),
      { nil: undefined },
    ),
  )
  .map(([given, minus]) => (minus ? { ...given, minus } : given));
const isTrue = fc.constant(true as const);
const numberAggregate: Arbitrary<Partial<ValueNode>> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ count: isTrue }) },
  { weight: 1, arbitrary: fc.record({ days: isTrue }) },
  { weight: 1, arbitrary: fc.record({ distinct: ofPath(paths) }) },
  { weight: 2, arbitrary: fc.record({ sum: sumOf }) },
  { weight: 1, arbitrary: fc.record({ avg: ofPath(numberPaths) }) },
  { weight: 1, arbitrary: fc.record({ min: ofPath(numberPaths) }) },
  { weight: 1, arbitrary: fc.record({ max: ofPath(numberPaths) }) },
);
const edge = fc.oneof(isTrue, ofPath(pathsOfValues));
const aggregated = fc.oneof(
  { weight: 2, arbitrary: numberAggregate },
  {
    weight: 1,
    arbitrary: fc.oneof(
      fc.record({ first: edge }),
      fc.record({ last: edge }),
      fc.record({ most_frequent: ofPath(pathsOfValues) }),
    ) as Arbitrary<Partial<ValueNode>>,
  },
);
const valueNode = (aggregate: Arbitrary<Partial<ValueNode>>): Arbitrary<ValueNode> =>
  fc.tuple(match, aggregate, window).map(([matched, asked, inside]) => ({ ...matched, ...asked, ...inside }));

/** A trait that the company defines. */
export const workings: Arbitrary<Working> = fc.record({
  name: one<string>(workedOut),
  definition: fc.oneof(
    { weight: 4, arbitrary: valueNode(aggregated) as Arbitrary<Working['definition']> },
    { weight: 1, arbitrary: fc.record({ ratio: fc.tuple(valueNode(numberAggregate), valueNode(numberAggregate)) }) },
  ),
  tz: timeZone,
});

const score = fc.integer({ min: 2, max: 5 });
/** Thresholds that the few events of a history meet. */
export const rfms: Arbitrary<Rfm> = fc.record({
  recency_days: one([
    [60, 30, 7, 2],
    [30, 14, 2, 1],
  ]),
  frequency: one([
    [1, 2, 3, 4],
    [2, 3, 5, 8],
  ]),
  monetary: one([
    [0.1, 7, 50, 5000],
    [1, 9.5, 100, 10_000],
  ]),
  period_days: one([2, 7, 30]),
  high: fc.record({ recency: score, frequency: score, monetary: score }),
});

// What is no event

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

/** Two questions of one definition: what is read, asked and remembered for one of them is too little, or wrong, for the other. */
function pairs(segments: readonly string[]): Arbitrary<Node> {
  const has = hasNode([]);
  const through = segments.length ? fc.record({ segment: one(segments) }) : fc.record({ tag: one<string>(tags) });
  const pair: Arbitrary<[Node, Node]> = fc.oneof(
    fc.tuple(turning.eventNode, turning.eventNode),
    fc.tuple(workedOutNode, workedOutNode),
    fc.tuple(turningPer, turningLeaf),
    // Of fewer people than the other.
    fc.tuple(turning.eventNode, turningPer, turningLeaf).map(([a, per, b]): [Node, Node] => [{ all: [a, per] }, b]),
    fc.tuple(has, through).map(([a, b]): [Node, Node] => [{ all: [a, b] }, b]),
  );
  return fc
    .tuple(pair, one(['all', 'any', 'not all']))
    .map(([both, how]) => (how === 'any' ? { any: both } : how === 'all' ? { all: both } : { not: { all: both } }));
}

/** @param segments keys of segments that it may look through */
export function nodes(segments: readonly string[] = []): Arbitrary<Node> {
  const leaf: Arbitrary<Node> = fc.oneof(
    { weight: 5, arbitrary: any.eventNode as Arbitrary<Node> },
    { weight: 3, arbitrary: any.sequenceNode },
    { weight: 3, arbitrary: any.perNode },
    { weight: 9, arbitrary: turningLeaf },
    { weight: 4, arbitrary: traitNode },
    { weight: 3, arbitrary: hasNode(segments) },
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
  return fc.oneof(
    { weight: 4, arbitrary: node },
    { weight: 2, arbitrary: turningLeaf },
    { weight: 2, arbitrary: pairs(segments) },
  );
}

export const purpose = fc.oneof(
  { weight: 6, arbitrary: fc.constant('service') },
  { weight: 3, arbitrary: one<string>(purposes) },
);
export type Written = Required<Definition> & { version: 1; name: string };

export const definitions = (key: string, segments: readonly string[] = []): Arbitrary<Written> =>
  fc
    .record({ where: nodes(segments), purpose, tz: timeZone })
    .map((given) => ({ version: 1, key, name: key, ...given }));
