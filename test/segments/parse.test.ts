import { describe, expect, test } from 'vitest';
import { faultCodes } from '../../src/behaviour/faults.ts';
import { createI18n, languages } from '../../src/http/i18n.ts';
import { parseSegment, sentenceOf } from '../../src/segments/parse.ts';

const options = { canonicalName: (name: string) => (name === 'Order Completed' ? 'order_paid' : name) };
const around = (where: unknown, more: object = {}) => ({
  version: 1,
  key: 'one',
  name: '一',
  purpose: 'marketing',
  where,
  ...more,
});

/** Paths below `where` with the codes. */
function faultsOf(where: unknown, more: object = {}, others: object = {}): string[] {
  const read = parseSegment(around(where, more), { ...options, ...others });
  return 'faults' in read ? read.faults.map(({ path, code }) => `${path} ${code}`) : [];
}

const bought = { event: 'order_paid' };

describe('a definition', () => {
  test('is kept in one form: canonical names, each once, the usual time zone, nothing that says nothing', () => {
    const given = around({
      all: [
        { within: '30d', count: { gte: 2 }, channel: ['app', 'app'], event: ['Order Completed', 'order_paid'] },
        { event: 'a', calendar: { offset: 0, unit: 'month' } },
        { event: ['a', 'b', 'a'], sum: { gte: 0.1, of: 'price', minus: { of: 'price', event: 'Order Completed' } } },
      ],
    });
    const read = parseSegment(given, options);
    expect(read).toEqual({
      segment: {
        ...around({
          all: [
            { event: 'order_paid', channel: 'app', within: '30d', count: { gte: 2 } },
            { event: 'a', calendar: { unit: 'month' } },
            { event: ['a', 'b'], sum: { of: 'price', minus: { event: 'order_paid', of: 'price' }, gte: 0.1 } },
          ],
        }),
        tz: 'Asia/Shanghai',
      },
    });
    const segment = 'segment' in read ? read.segment : null;
    expect(JSON.stringify(parseSegment(segment, options))).toBe(JSON.stringify(read));
  });

  test.each<[string, unknown]>([
    [
      'every window',
      {
        any: ['within', 'after'].map((name) => ({
          ...bought,
          [name]: name === 'within' ? '15m' : '2026-01-01T00:00:00Z',
        })),
      },
    ],
    ['both moments', { ...bought, after: '2026-01-01T00:00:00+08:00', before: '2026-02-01T00:00:00.5Z' }],
    ['between', { ...bought, between: ['60d', '0d'] }],
    [
      'a sequence',
      {
        sequence: [bought, { no: { event: '*' } }, { event: 'a' }, { no: bought, for: '24h' }],
        in: '7d',
        same: 'order_id',
        within: '30d',
      },
    ],
    ['a per', { per: 'products[].sku', all: [{ not: bought }, { sequence: [bought] }, { event: 'a', last: true }] }],
    [
      'traits',
      {
        all: [
          ['in_last', '7d'],
          ['in_next', 'this_year'],
          ['anniversary_in', '2w'],
          ['gte', '2026-11-26'],
          ['lt', 7],
          ['in', ['a', 1, true]],
          ['exists', false],
          ['eq', ''],
        ].map(([op, value]) => ({ trait: 'birthday', op, value })),
      },
    ],
    [
      'the rest',
      {
        all: [
          { tag: 'vip' },
          { segment: 'other' },
          { consent: 'service' },
          { identity: 'phone' },
          { identity: 'oidc', issuer: 'https://a' },
          { sample: { percent: 12.5, salt: 'a' } },
        ],
      },
    ],
    [
      'a match with all',
      {
        ...bought,
        trust: 'server',
        where: [{ any: [{ property: 'a', op: 'eq', value: 1 }] }],
        item: [{ property: 'l[].a', op: 'ne', value: 1 }, { any: [{ property: 'l[]', op: 'contains', value: true }] }],
        unless: { event: '*', same: 'id', where: [{ property: 'context.ip', op: 'exists', value: true }] },
      },
    ],
  ])('with %s is right, and stays as it is', (_name, where) => {
    const read = parseSegment(around(where), options);
    expect(read).toMatchObject({ segment: { where } });
  });
});

describe('a fault has its path', () => {
  test('all of them at once', () => {
    const read = parseSegment(
      {
        version: 2,
        key: 'One',
        purpose: 'fun',
        tz: 'CST',
        where: { all: [{ event: 'a', within: '1y' }, { not: { any: [] } }] },
        extra: 1,
      },
      options,
    );
    expect('faults' in read && read.faults.map(({ path, code }) => `${path} ${code}`)).toEqual([
      'extra unknown_field',
      'name missing',
      'version not_version',
      'key bad_key',
      'purpose one_of',
      'tz unknown_time_zone',
      'where.all[0].within bad_duration',
      'where.all[1].not.any empty_list',
    ]);
  });

  const day = (from: unknown) => ({ event: 'a', ...(from as object) });
  const cond = (op: unknown, value?: unknown) => ({ event: 'a', where: [{ property: 'p', op, value }] });
  test.each<[unknown, ...string[]]>([
    [null, 'where not_object'],
    [[], 'where not_object'],
    [{}, 'where node_kind'],
    [{ evnt: 'a' }, 'where node_kind'],
    [{ all: [bought], any: [bought] }, 'where node_two'],
    [{ all: [bought], within: '1d' }, 'where.within unknown_field'],
    [{ all: {} }, 'where.all not_list'],
    [{ event: '' }, 'where.event not_text'],
    [{ event: [] }, 'where.event empty_list'],
    [{ event: ['a', '*'] }, 'where.event names_with_any'],
    [{ event: 'x'.repeat(201) }, 'where.event text_too_long'],
    [{ event: 'a', trust: 'high' }, 'where.trust one_of'],
    [{ event: 'a', channel: 7 }, 'where.channel not_text'],
    [{ event: 'a', count: {} }, 'where.count compares_nothing'],
    [{ event: 'a', count: { gte: '3' } }, 'where.count.gte not_number'],
    [{ event: 'a', count: 3 }, 'where.count not_object'],
    [{ event: 'a', first: false }, 'where.first not_true'],
    [{ event: 'a', first: true, last: true }, 'where aggregate_two'],
    [{ event: 'a', avg: { gte: 1 } }, 'where.avg.of missing'],
    [{ event: 'a', avg: { of: 'a', gte: 1, minus: bought } }, 'where.avg.minus unknown_field'],
    [{ event: 'a', sum: { of: 'a', gte: 1, minus: bought } }, 'where.sum.minus.of missing'],
    [day({ within: '1d', calendar: { unit: 'day' } }), 'where window_two'],
    [day({ within: '1d', after: '2026-01-01T00:00:00Z', before: '2026-02-01T00:00:00Z' }), 'where window_two'],
    [day({ between: ['1d', '1d'] }), 'where.between between_order'],
    [day({ between: ['2d', '1x'] }), 'where.between[1] bad_duration'],
    [day({ between: '2d' }), 'where.between not_pair'],
    [day({ calendar: { unit: 'hour', offset: 1 } }), 'where.calendar.offset not_past', 'where.calendar.unit one_of'],
    [day({ calendar: { unit: 'day', offset: -0.5 } }), 'where.calendar.offset not_past'],
    [day({ after: '2026-01-01' }), 'where.after bad_moment'],
    [day({ after: '2026-02-30T00:00:00Z' }), 'where.after bad_moment'],
    [day({ after: '2026-02-01T00:00:00Z', before: '2026-02-01T08:00:00+08:00' }), 'where.before order_of_moments'],
    [
      { event: 'a', where: [{ property: 'a b', op: 'like', value: 1 }] },
      'where.where[0].op one_of',
      'where.where[0].property bad_path',
    ],
    [cond('eq'), 'where.where[0].value missing'],
    [cond('eq', null), 'where.where[0].value not_scalar'],
    [cond('in', 'a'), 'where.where[0].value not_list'],
    [cond('in', ['a', {}]), 'where.where[0].value[1] not_scalar'],
    [cond('gt', '7'), 'where.where[0].value not_number'],
    [cond('exists', 1), 'where.where[0].value not_boolean'],
    [cond('starts_with', 1), 'where.where[0].value not_text'],
    [
      { event: 'a', where: [{ any: [], property: 'a' }] },
      'where.where[0].property unknown_field',
      'where.where[0].any empty_list',
    ],
    [{ event: 'a', item: [{ property: 'a', op: 'eq', value: 1 }] }, 'where.item list_of_item'],
    [
      {
        event: 'a',
        item: [{ property: 'a[].b', op: 'eq', value: 1 }, { any: [{ property: 'b[].b', op: 'eq', value: 1 }] }],
      },
      'where.item list_of_item',
    ],
    [
      {
        event: 'a',
        item: [
          { property: 'a[].b', op: 'eq', value: 1 },
          { property: 'context.a[]', op: 'eq', value: 1 },
        ],
      },
      'where.item list_of_item',
    ],
    [{ event: 'a', unless: { event: 'b' } }, 'where.unless.same missing'],
    [{ sequence: [{ no: bought }] }, 'where.sequence[0] starts_with_no'],
    [{ sequence: [bought, { no: bought, for: '1d' }, bought] }, 'where.sequence[1].for for_not_last'],
    [{ sequence: [bought, { ...bought, for: '1d' }] }, 'where.sequence[1].for unknown_field'],
    [{ sequence: Array(11).fill(bought) }, 'where.sequence too_many'],
    [{ per: 'a', all: [{ not: bought }] }, 'where.all only_negated'],
    [{ per: 'a', all: [{ all: [bought] }] }, 'where.all[0].all unknown_field', 'where.all[0].event missing'],
    [{ per: 'a', any: [bought] }, 'where node_two'],
    [{ trait: 'a', op: 'since', value: 1 }, 'where.op one_of'],
    [{ trait: 'a', op: 'gt', value: 'yesterday' }, 'where.value bad_date'],
    [{ trait: 'a', op: 'in_last', value: 'this_hour' }, 'where.value bad_period'],
    [{ trait: 'a', op: 'anniversary_in', value: '24h' }, 'where.value not_days'],
    [{ tag: 1 }, 'where not_text'.replace('where', 'where.tag')],
    [{ consent: 'fun' }, 'where.consent one_of'],
    [{ segment: 'one' }, 'where.segment refers_to_itself'],
    [{ identity: 'phone', issuer: '' }, 'where.issuer not_text'],
    [{ sample: { percent: 101 } }, 'where.sample.salt missing', 'where.sample.percent not_percent'],
  ])('%j', (where, ...expected) => {
    expect(faultsOf(where).toSorted()).toEqual(expected.toSorted());
  });

  test('segments and traits that are not there, where these are known', () => {
    const known = { segmentKeys: new Set(['other']), isTrait: (name: string) => name === 'birthday' };
    const where = { all: [{ segment: 'other' }, { segment: 'gone' }, { trait: 'age', op: 'exists', value: true }] };
    expect(faultsOf(where, {}, known)).toEqual([
      'where.all[1].segment unknown_segment',
      'where.all[2].trait unknown_trait',
    ]);
    expect(faultsOf(where)).toEqual([]);
  });

  test('and a sentence in every language', () => {
    for (const language of languages) {
      const translate = createI18n().translator(language);
      const values = { possible: 'POSSIBLE', most: 12, names: 'NAMES', least: -4, ring: 'RING' };
      for (const code of faultCodes) {
        const sentence = sentenceOf({ path: 'a', code, values }, translate);
        expect(sentence, code).not.toMatch(/segments\.faults|\{\{/);
      }
    }
    const read = parseSegment(around({ event: 'a', trust: 'high' }), options);
    const [first] = 'faults' in read ? read.faults : [];
    expect(first && sentenceOf(first, createI18n().translator('en'))).toBe(
      'Write one of claimed, bound, token, server.',
    );
  });
});

describe('limits', () => {
  const nested = (levels: number, wrap: (inner: unknown) => unknown, core: unknown) =>
    Array.from({ length: levels }).reduce(wrap, core);

  test('E4: twelve levels are read, thirteen not, and a hundred thousand overflow nothing', () => {
    const not = (inner: unknown) => ({ not: inner });
    expect(faultsOf(nested(11, not, bought))).toEqual([]);
    expect(faultsOf(nested(12, not, bought))).toEqual([`where${'.not'.repeat(12)} too_deep`]);
    expect(faultsOf(nested(100, (inner) => ({ all: [inner] }), bought))[0]).toMatch(/too_deep$/);
    expect(faultsOf(nested(100_000, not, bought))[0]).toMatch(/too_deep$/);
    const any = (inner: unknown) => ({ any: [inner] });
    const condition = { property: 'a', op: 'eq', value: 1 };
    expect(faultsOf({ event: 'a', where: [nested(10, any, condition)] })).toEqual([]);
    expect(faultsOf({ event: 'a', where: [nested(11, any, condition)] })[0]).toMatch(/too_deep$/);
  });

  test('E4: two hundred nodes and conditions, ten thousand terms, huge lists and texts are refused at once', () => {
    const condition = { property: 'a', op: 'eq', value: 1 };
    const nodes = (conditions: number) => ({
      all: [99, conditions].map((count) => ({ event: 'a', where: Array(count).fill(condition) })),
    });
    expect(faultsOf(nodes(98))).toEqual([]);
    expect(faultsOf(nodes(99))).toEqual(['where.all[1].where[98] too_many_nodes']);
    expect(faultsOf({ any: Array(101).fill({ tag: 'a' }) })).toEqual(['where.any too_many']);
    const all = [
      { any: Array(10_000).fill({ event: 'a' }) },
      { event: 'a', where: [{ property: 'a', op: 'in', value: Array(1_000_000).fill(1) }] },
      { tag: 'x'.repeat(1_000_000) },
      { ['x'.repeat(1_000_000)]: 1 },
      Object.fromEntries(Array.from({ length: 100_000 }, (_, index) => [`k${index}`, 1])),
    ];
    const started = performance.now();
    for (const huge of all) expect(faultsOf(huge)).toEqual([' too_large']);
    expect(performance.now() - started).toBeLessThan(1000);
    expect(
      faultsOf(Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`k${index}`, 1]))).length,
    ).toBeLessThanOrEqual(50);
  });

  test('E5: a prototype is a name like any other, and nothing of it is reached', () => {
    const hostile = JSON.parse(
      '{"event": "a", "__proto__": {"admin": true}, "constructor": {"prototype": {"admin": true}}}',
    );
    expect(faultsOf(hostile)).toEqual(['where.__proto__ unknown_field', 'where.constructor unknown_field']);
    expect(faultsOf(JSON.parse('{"__proto__": {"event": "a"}}'))).toEqual(['where node_kind']);
    expect(faultsOf({ trait: 'a', op: 'toString', value: 1 })).toEqual(['where.op one_of']);
    expect(({} as Record<string, unknown>).admin).toBeUndefined();
  });

  test('text that PostgreSQL cannot store is refused', () => {
    expect(faultsOf({ tag: 'a\0' })).toEqual(['where.tag unstorable']);
    expect(faultsOf({ any: [{ tag: 'a\ud800' }] })).toEqual(['where.any[0].tag unstorable']);
    expect(faultsOf(bought, { name: '\u0000' })).toEqual(['name unstorable']);
  });

  test.each([undefined, null, 7, 'a', [], true])('%j is no definition, and no error', (json) => {
    expect(parseSegment(json, options)).toMatchObject({ faults: [{ path: '' }] });
  });
});
