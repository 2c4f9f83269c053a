import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { projectRoot } from '../../src/config.ts';
import { purposes } from '../../src/consent/consent.ts';
import { errorCodes } from '../../src/errors.ts';
import { rejectionMessages } from '../../src/events/normalise.ts';
import { createI18n, languages } from '../../src/http/i18n.ts';
import { policyPurposes } from '../../src/login/privacy.ts';

type Tree = { [key: string]: string | Tree };

const read = (language: string): Tree =>
  JSON.parse(readFileSync(join(projectRoot, 'views/locales', `${language}.json`), 'utf8'));

function sentences(tree: Tree, path = ''): [key: string, sentence: string][] {
  return Object.entries(tree).flatMap(([key, value]) =>
    typeof value === 'string' ? [[`${path}${key}`, value] as [string, string]] : sentences(value, `${path}${key}.`),
  );
}

/** Chinese has one plural form, English two: the plural endings are no difference. */
const plain = (key: string) => key.replace(/_(one|other)$/, '');
const placeholders = (sentence: string) => [...sentence.matchAll(/\{\{(\w+)\}\}/g)].map(([, name]) => name).sort();
const i18n = createI18n();

/** The pages and source files that have their sentences here. Sandbox, demo, connectors and their mail have sentences of their own. */
const readers = ['views', 'src'].flatMap((root) =>
  readdirSync(join(projectRoot, root), { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.(eta|ts)$/.test(path) && !/^(sandbox\/|demo\/|connectors\/|mail\/code)/.test(path))
    .map((path) => readFileSync(join(projectRoot, root, path), 'utf8')),
);

describe.each(languages)('sentences in %s', (language) => {
  const t = i18n.translator(language);

  it('exist for every error code', () => {
    const missing = errorCodes.filter((code) => t(`errors.${code}`) === `errors.${code}`);
    expect(missing).toEqual([]);
  });

  it('exist for every reason why an event is refused, at once or after a month', () => {
    const keys = [...Object.keys(rejectionMessages), 'person_unknown'].map((code) => `admin.feed.code_${code}`);
    expect(keys.filter((key) => t(key) === key)).toEqual([]);
  });

  it('exist for every key that a page or a source file names', () => {
    const keys = readers.flatMap((text) => [...text.matchAll(/\bt\('([\w.]+)'/g)].map(([, key]) => key ?? ''));
    expect(keys.length).toBeGreaterThan(60);
    expect([...new Set(keys)].filter((key) => t(key, { count: 2 }) === key)).toEqual([]);
  });

  it('exist for everything that the audit record can hold', () => {
    const source = readdirSync(join(projectRoot, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts'))
      .map((path) => readFileSync(join(projectRoot, 'src', path), 'utf8'))
      .join('\n');
    const keys = [...source.matchAll(/\baction: '([a-z_]+\.[a-z_]+)'/g)].map(
      ([, action]) => `admin.action.${action?.replace('.', '_')}`,
    );
    expect(keys.length).toBeGreaterThan(30);
    expect(keys.filter((key) => t(key) === key)).toEqual([]);
  });

  it('name every purpose of the policy, and the policy every purpose', () => {
    expect(policyPurposes().map(({ name }) => name)).toEqual([
      'service',
      ...Object.keys(purposes).filter((name) => name !== 'privacy'),
    ]);
    for (const { name } of policyPurposes())
      for (const part of ['name', 'what', 'retention'])
        expect(t(`policy.items.${name}.${part}`)).not.toBe(`policy.items.${name}.${part}`);
  });
});

it('both languages have the same sentences with the same placeholders', () => {
  const [chinese, english] = languages.map(
    (language) => new Map(sentences(read(language)).map(([key, text]) => [plain(key), placeholders(text)])),
  );
  expect(chinese).toEqual(english);
});

it('no Chinese sentence is missing its translation: English ones hold no Chinese', () => {
  const untranslated = sentences(read('en')).filter(([, text]) => /\p{Script=Han}/u.test(text));
  expect(untranslated).toEqual([]);
});

it('no sentence is left over: each is named by a page or a source file, in full or by how its key begins', () => {
  const text = readers.join('\n');
  const isNamed = (key: string) =>
    [`'${key}'`, ...[...key.matchAll(/[._]/g)].map(({ index }) => `\`${key.slice(0, index + 1)}\${`)].some((name) =>
      text.includes(name),
    );
  const keys = sentences(read('zh-CN')).map(([key]) => plain(key));
  expect(keys.filter((key) => !isNamed(key))).toEqual([]);
});
