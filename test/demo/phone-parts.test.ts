/** What the demo's phone is made of: expressions, the packed code, and sentences in both languages. */
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import vm from 'node:vm';
import { describe, expect, test } from 'vitest';
import { projectRoot } from '../../src/config.ts';
import { packCode } from '../../src/sandbox/demo/miniprogram.ts';
import { productById, products } from '../../src/sandbox/demo/products.ts';

const at = (path: string) => join(projectRoot, path);
const { compileText } = await import(at('views/demo/static/phone/expression.js'));

describe('expressions of the templates', () => {
  const scope = { a: 1, b: 0, name: '山屿', list: [{ x: 5 }], none: null };
  test.each([
    ['{{a}}', 1],
    ['{{none}}', null],
    ['{{list[0].x}}', 5],
    ['{{list[3].x}}', undefined],
    ['{{a + 2 * 3}}', 7],
    ['{{(a + 2) * 3}}', 9],
    ['{{a === 1 && !b}}', true],
    ["{{b ? 'yes' : 'no'}}", 'no'],
    ["{{a ? b ? 'x' : 'y' : 'z'}}", 'y'],
    ["{{none || 'other'}}", 'other'],
    ["wait {{a + ' s'}} {{name}}", 'wait 1 s 山屿'],
    ['{{constructor.constructor}}', undefined],
  ])('%s is %j', (text, value) => {
    expect(compileText(text)({ __proto__: null, ...scope })).toEqual(value);
  });

  test.each(['{{a b}}', '{{a +}}', '{{#}}', '{{f(1)}}'])('%s is refused', (text) => {
    expect(() => compileText(text)).toThrow(SyntaxError);
  });
});

describe('the packed code', () => {
  type Factory = (...given: unknown[]) => void;
  const factories = new Map<string, Factory>();
  vm.runInNewContext(packCode(), {
    wxDefine: (name: string, factory: Factory) => factories.set(name, factory),
    document: 'the page',
    fetch: 'the network',
  });

  test('holds every page of app.json and the SDK', () => {
    const { pages } = JSON.parse(readFileSync(at('views/demo/miniprogram/app.json'), 'utf8'));
    for (const name of [...pages.map((page: string) => `${page}.js`), 'app.js', 'heyi/index.js'])
      expect(factories.has(name)).toBe(true);
  });

  test('sees nothing of a browser', () => {
    const parameters = /\(([^)]*)\)/.exec(String(factories.get('app.js')))?.[1]?.split(/,\s*/) ?? [];
    for (const name of ['window', 'document', 'fetch', 'XMLHttpRequest', 'localStorage', 'globalThis', 'Function'])
      expect(parameters).toContain(name);
  });
});

describe('sentences', () => {
  const keysOf = (value: unknown, path = ''): string[] =>
    value && typeof value === 'object'
      ? Object.entries(value).flatMap(([key, inner]) => keysOf(inner, `${path}.${key}`))
      : [path];
  const read = (language: string) => JSON.parse(readFileSync(at(`views/demo/locales/${language}.json`), 'utf8'));

  test('of the website are complete in both languages', () => {
    expect(keysOf(read('en')).sort()).toEqual(keysOf(read('zh-CN')).sort());
    for (const { product_id } of products)
      expect(Object.keys(read('en').products[product_id])).toEqual(['name', 'line', 'about', 'origin']);
  });

  test('that a view asks for by name exist', () => {
    const known = new Set(keysOf(read('zh-CN')).map((key) => key.slice(1)));
    const views = readdirSync(at('views/demo')).filter((name) => name.endsWith('.eta'));
    const asked = views.flatMap((name) =>
      [...readFileSync(at(`views/demo/${name}`), 'utf8').matchAll(/it\.t\('([\w.]+)'\)/g)].map(([, key]) => key),
    );
    expect(asked.length).toBeGreaterThan(50);
    expect(asked.filter((key) => !known.has(key ?? ''))).toEqual([]);
  });

  test('of the mini-program are complete in both languages', () => {
    const loaded = { exports: {} as { words(language: string): Record<string, string> } };
    new Function('module', readFileSync(at('views/demo/miniprogram/utils/words.js'), 'utf8'))(loaded);
    const { words } = loaded.exports;
    expect(Object.keys(words('en')).sort()).toEqual(Object.keys(words('zh_CN')).sort());
    const asked = readdirSync(at('views/demo/miniprogram/pages')).flatMap((page) =>
      ['js', 'wxml'].flatMap((end) =>
        [
          ...readFileSync(at(`views/demo/miniprogram/pages/${page}/${page}.${end}`), 'utf8').matchAll(/words\.(\w+)/g),
        ].map(([, key]) => key ?? ''),
      ),
    );
    expect(asked.filter((key) => !words('zh_CN')[key])).toEqual([]);
  });
});

test('one product costs more than 5000 yuan, for the high-intent segment', () => {
  expect(productById('zisha-teapot')?.price).toBeGreaterThan(5000);
  expect(createRequire(import.meta.url)(at('sdk/miniprogram/package.json')).type).toBe('commonjs');
});
