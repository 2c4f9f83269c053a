import { describe, expect, test } from 'vitest';
import { parseDuration } from '../../src/behaviour/duration.ts';
import type { BehaviourEvent } from '../../src/behaviour/language.ts';
import { listOf, parsePath, pathOf, valuesWithin } from '../../src/behaviour/path.ts';

const event = (properties: Record<string, unknown>, context: Record<string, unknown> = {}): BehaviourEvent => ({
  id: '1',
  timestamp: 0,
  event: 'e',
  channel: 'website',
  trust: 'token',
  consents: [],
  properties,
  context,
});

/** What a path reaches in an event. */
function values(path: string, of: BehaviourEvent): unknown[] {
  const { root, steps } = pathOf(path);
  return valuesWithin(of[root], steps);
}

describe('a duration', () => {
  test.each([
    ['15m', 900_000],
    ['24h', 86_400_000],
    ['30d', 30 * 86_400_000],
    ['2w', 14 * 86_400_000],
    ['0d', 0],
    ['3650d', 3650 * 86_400_000],
  ])('%s is %d milliseconds', (text, length) => {
    expect(parseDuration(text)).toBe(length);
  });

  test.each(['', '30', 'd', '-1d', '1.5d', '1 d', '1y', '1M', '3651d', '522w', '99999999999999d', '١d', '1d\n'])(
    '%j is none',
    (text) => {
      expect(parseDuration(text)).toBeNull();
    },
  );
});

describe('a path', () => {
  test('names a property, a field of the context, or each element of a list', () => {
    expect(parsePath('price')).toEqual({ root: 'properties', steps: ['price'] });
    expect(parsePath('context.campaign.source')).toEqual({ root: 'context', steps: ['campaign', 'source'] });
    expect(parsePath('商品[].编号')).toEqual({ root: 'properties', steps: ['商品', '[]', '编号'] });
    expect(parsePath('$screen-name')).toEqual({ root: 'properties', steps: ['$screen-name'] });
    expect(parsePath('a.context')).toEqual({ root: 'properties', steps: ['a', 'context'] });
  });

  test.each([
    '',
    '.',
    'a.',
    '.a',
    'a..b',
    '[]',
    'a[]b',
    'a[][]',
    'a[0]',
    "a'->>'b",
    'a"b',
    'a b',
    '1a',
    '*',
    '$.a ? (1)',
    'a\n',
  ])('E3: %j is none', (text) => {
    expect(parsePath(text)).toBeNull();
  });

  test('reaches all elements, and nothing where there is no list, no field or null', () => {
    const order = event(
      { products: [{ sku: 'a', tags: ['x', null, 'y'] }, null, 'b', { sku: null }, { sku: 0 }] },
      { ip: 'z' },
    );
    expect(values('products[].sku', order)).toEqual(['a', 0]);
    expect(values('products[].tags[]', order)).toEqual(['x', 'y']);
    expect(values('products[]', order)).toHaveLength(4);
    expect(values('products', order)).toHaveLength(1);
    expect(values('products.sku', order)).toEqual([]);
    expect(values('products[].sku[]', order)).toEqual([]);
    expect(values('context.ip', order)).toEqual(['z']);
    expect(values('context', order)).toEqual([{ ip: 'z' }]);
    expect(values('ip', order)).toEqual([]);
    expect(values('length', event({ length: 1 }))).toEqual([1]);
    expect(values('products.length', order)).toEqual([]);
  });

  test('E5: sees own fields alone', () => {
    const plain = event({ name: 'a' });
    for (const path of [
      '__proto__',
      'constructor',
      'constructor.prototype',
      'toString',
      'name.length',
      '__proto__.admin',
    ])
      expect(values(path, plain)).toEqual([]);
    expect(values('__proto__.admin', event(JSON.parse('{"__proto__": {"admin": true}}')))).toEqual([true]);
  });

  test('of an item falls into the list, up to the first [], and the rest', () => {
    expect(listOf(pathOf('order.lines[].tags[].name'))).toEqual({
      list: { root: 'properties', steps: ['order', 'lines'] },
      rest: ['tags', '[]', 'name'],
    });
    expect(listOf(pathOf('context.list[]'))).toEqual({ list: { root: 'context', steps: ['list'] }, rest: [] });
    expect(listOf(pathOf('price'))).toBeNull();
  });
});
