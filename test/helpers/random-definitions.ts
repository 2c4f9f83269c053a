/** Random definitions of every node and operator, and people who are close to their edges, whose properties hold any JSON. */
import fc from 'fast-check';
import type { BehaviourEvent, EventNode, Match, SequenceNode } from '../../src/behaviour/language.ts';
import type { Node } from '../../src/segments/definition.ts';
import { hour, now } from './behaviour.ts';

const name = fc.constantFrom('a', 'b', 'c');
const scalar = fc.constantFrom<string | number | boolean>(
  1,
  2,
  -1,
  2.5,
  '1',
  '1.0',
  '2.50',
  '1e3',
  '',
  'x',
  'xy',
  true,
  false,
);
const json = fc.oneof(
  { weight: 6, arbitrary: scalar },
  {
    weight: 1,
    arbitrary: fc.constantFrom<unknown>(null, {}, [], { x: 1 }, [1], ['1', 'x'], '12345678901234567890123', '-', 1e-3),
  },
);
const item = fc.oneof(fc.record({ s: json, n: json }, { requiredKeys: [] }), json);
const properties = fc.record(
  {
    p: json,
    q: scalar,
    o: fc.oneof(fc.record({ x: json }), json),
    items: fc.oneof({ weight: 4, arbitrary: fc.array(item, { maxLength: 3 }) }, { weight: 1, arbitrary: json }),
    tags: fc.oneof(fc.array(json, { maxLength: 3 }), json),
  },
  { requiredKeys: [] },
);
/** On the edges of windows, beside them, and ahead of the clock. */
const timestamp = fc
  .tuple(fc.constantFrom(0, 1, 2, 24, 25, 48, 72, 96, 240), fc.constantFrom(0, 0, 0, -1, 1, 600_000))
  .map(([hours, more]) => now - hours * hour + Math.min(more, hours ? more : 240_000));
export const events = fc
  .array(
    fc.record({
      event: name,
      timestamp,
      channel: fc.constantFrom('website', 'app'),
      trust: fc.constantFrom<BehaviourEvent['trust']>('claimed', 'bound', 'token', 'server'),
      consents: fc.constantFrom<string[]>(
        ['service', 'marketing'],
        ['service', 'marketing'],
        ['service', 'marketing'],
        ['service'],
      ),
      properties,
      context: fc.record({ c: fc.oneof(json, fc.constantFrom(1e21, 1e-7, 1e300, -1e-300)) }, { requiredKeys: [] }),
    }),
    { maxLength: 10 },
  )
  .chain((list) =>
    fc
      .shuffledSubarray(
        list.map((_, at) => at),
        { minLength: list.length },
      )
      .map((order) => ({ list, order })),
  );

const path = fc.constantFrom('p', 'q', 'o.x', 'items[].s', 'items[].n', 'tags[]', 'context.c', 'o', 'gone');
const key = fc.constantFrom('p', 'q', 'items[].s', 'tags[]', 'o.x');
const condition = (of: typeof path) =>
  fc.oneof(
    fc.record({ property: of, op: fc.constantFrom('eq' as const, 'ne' as const), value: scalar }),
    fc.record({
      property: of,
      op: fc.constantFrom('in' as const, 'nin' as const),
      value: fc.array(scalar, { minLength: 1, maxLength: 3 }),
    }),
    fc.record({
      property: of,
      op: fc.constantFrom('gt' as const, 'gte' as const, 'lt' as const, 'lte' as const),
      value: fc.constantFrom(1, 2.5, -1),
    }),
    fc.record({ property: of, op: fc.constant('contains' as const), value: scalar }),
    fc.record({ property: of, op: fc.constant('starts_with' as const), value: fc.constantFrom('x', '1', '') }),
    fc.record({ property: of, op: fc.constant('exists' as const), value: fc.boolean() }),
  );
const conditions = (of: typeof path) =>
  fc.array(
    fc.oneof(
      { weight: 3, arbitrary: condition(of) },
      { weight: 1, arbitrary: fc.record({ any: fc.array(condition(of), { minLength: 1, maxLength: 2 }) }) },
    ),
    {
      minLength: 1,
      maxLength: 2,
    },
  );
const seldom = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 2 });
const rarely = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 1 });
const names = fc.oneof(name, name, fc.constantFrom<string | string[]>('*', ['a', 'b']));

/** Without the members that are undefined: a definition is JSON. */
const pruned = <T extends object>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  arbitrary.map((value) => JSON.parse(JSON.stringify(value)) as T);

const match: fc.Arbitrary<Match> = fc.record({
  event: names,
  channel: rarely(fc.constantFrom<string | string[]>('app', ['website', 'app'])),
  trust: rarely(fc.constantFrom('bound' as const, 'token' as const)),
  where: rarely(conditions(path)),
  item: rarely(conditions(fc.constantFrom('items[].s', 'items[].n') as typeof path)),
  unless: seldom(fc.record({ event: names, same: key, where: rarely(conditions(path)) })),
}) as never;
const window = fc.oneof(
  fc.constant({}),
  fc.record({ within: fc.constantFrom('24h', '2d', '3d') }),
  fc.record({ between: fc.constantFrom<[string, string]>(['3d', '1d'], ['10d', '48h']) }),
  fc.record({
    calendar: fc.record({
      unit: fc.constantFrom('day', 'week', 'month', 'quarter', 'year'),
      offset: fc.constantFrom(0, 0, -1, -2),
    }),
  }),
  fc.constantFrom(
    { after: '2026-11-24T02:00:00Z' },
    { before: '2026-11-25T02:00:00Z' },
    { after: '2026-11-23T00:00:00+08:00', before: '2026-11-26T02:00:01Z' },
  ),
);
const comparison = fc.oneof(
  fc.record({ gte: fc.constantFrom(0, 1, 2, 3) }),
  fc.record({ gt: fc.constantFrom(0, 1, -1) }),
  fc.record({ lte: fc.constantFrom(0, 1, 2.5) }),
  fc.record({ lt: fc.constantFrom(1, 3) }),
  fc.record({ eq: fc.constantFrom(0, 1, 2) }),
  fc.record({ gte: fc.constant(1), lt: fc.constant(3) }),
);
const over = fc.tuple(path, comparison).map(([of, compared]) => ({ of, ...compared }));
const aggregate = fc.oneof(
  fc.constant({}),
  fc.record({ count: comparison }),
  fc.record({ days: comparison }),
  fc.constantFrom({ first: true }, { last: true }),
  fc.record({ distinct: over }),
  fc.record({ avg: over }),
  fc.record({ min: over }),
  fc.record({ max: over }),
  fc.record({ sum: over }),
  fc.record({ sum: fc.tuple(over, match, path).map(([sum, minus, of]) => ({ ...sum, minus: { ...minus, of } })) }),
);
const event = pruned(fc.tuple(match, window, aggregate).map((parts) => Object.assign({}, ...parts) as EventNode));
const step = fc.oneof({ weight: 3, arbitrary: match }, { weight: 1, arbitrary: fc.record({ no: match }) });
const sequence = pruned(
  fc
    .tuple(
      match,
      fc.array(step, { maxLength: 3 }),
      seldom(fc.record({ no: match, for: seldom(fc.constantFrom('1h', '24h')) })),
      seldom(fc.constantFrom('1h', '24h', '2d')),
      seldom(key),
      window,
    )
    .map(([first, rest, last, within, same, during]) => ({
      sequence: [first, ...rest, ...(last ? [last] : [])],
      in: within,
      same,
      ...during,
    })) as fc.Arbitrary<SequenceNode>,
);
const per = pruned(
  fc.record({
    per: key,
    all: fc
      .tuple(
        fc.oneof(event, event, sequence),
        fc.array(fc.oneof(event, fc.record({ not: event }), fc.record({ not: event }), sequence), { maxLength: 2 }),
      )
      .map(([first, rest]) => [first, ...rest]),
  }),
);
const dates = [
  '2026-11-26',
  '2026-11-25',
  '2026-12-03',
  '1988-02-29',
  '2000-11-28',
  '2026-02-30',
  '2026-11-26T10:00:00+08:00',
  '2026-11-26T02:00:00.9999999Z',
  '2026-11-19t02:00:00z',
  '2026-11-01',
  '0000-01-01',
  '2026-11-26T24:00:00Z',
];
const date = fc.constantFrom(...dates);
const realDate = fc.constantFrom('2026-11-26', '2000-02-29', '2026-11-26T02:00:00Z', '2026-11-26T10:00:00.001+08:00');
const range = fc.constantFrom(
  '1d',
  '7d',
  '5w',
  '400d',
  'this_day',
  'this_week',
  'this_month',
  'this_quarter',
  'this_year',
);
const trait = fc
  .tuple(
    fc.constantFrom('t', 'u', 'gone'),
    fc.oneof(
      condition(path).map(({ op, value }) => ({ op, value })),
      fc.record({ op: fc.constantFrom('gt', 'gte', 'lt', 'lte', 'eq', 'ne'), value: realDate }),
      fc.record({ op: fc.constantFrom('in_last', 'in_next', 'anniversary_in', 'anniversary_in'), value: range }),
    ),
  )
  .map(([name, test]) => ({ trait: name, ...test }) as Node);
const has: fc.Arbitrary<Node> = fc.oneof(
  fc.record({ tag: fc.constantFrom('new', 'old') }),
  fc.record({ segment: fc.constantFrom('list', 'other', 'all-but') }),
  fc.record({ consent: fc.constantFrom('profiling', 'marketing', 'service') }),
  fc.record({ identity: fc.constantFrom('phone', 'wechat_openid'), issuer: rarely(fc.constant('app1')) }),
  fc.record({ sample: fc.record({ percent: fc.constantFrom(0, 30, 50.5, 100), salt: fc.constantFrom('a', 'b') }) }),
);
export const { node } = fc.letrec<{ node: Node; fact: Node }>((tie) => ({
  fact: fc.oneof(trait, trait, pruned(has)),
  node: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    { weight: 4, arbitrary: event as fc.Arbitrary<Node> },
    { weight: 2, arbitrary: sequence as fc.Arbitrary<Node> },
    { weight: 2, arbitrary: per as fc.Arbitrary<Node> },
    { weight: 2, arbitrary: tie('fact') },
    { weight: 1, arbitrary: fc.record({ not: tie('node') }) as fc.Arbitrary<Node> },
    {
      weight: 2,
      arbitrary: fc.record({ all: fc.array(tie('node'), { minLength: 1, maxLength: 3 }) }) as fc.Arbitrary<Node>,
    },
    {
      weight: 2,
      arbitrary: fc.record({ any: fc.array(tie('node'), { minLength: 1, maxLength: 3 }) }) as fc.Arbitrary<Node>,
    },
  ),
}));

export const facts = fc.record({
  traits: fc.record({ t: fc.oneof(json, date), u: date }, { requiredKeys: [] }),
  tags: fc.subarray(['new', 'old']),
  lists: fc.subarray(['list']),
  identities: fc.subarray([
    { kind: 'phone', issuer: '' },
    { kind: 'wechat_openid', issuer: 'app1' },
  ]),
  agreed: fc.subarray(['marketing', 'profiling'], { minLength: 1 }),
  isPersonalised: fc.constantFrom(true, true, true, true, false),
  status: fc.constantFrom('active', 'active', 'active', 'active', 'suspended'),
});
