import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { projectRoot } from '../../src/config.ts';
import { purposes } from '../../src/consent/consent.ts';
import { errorCodes } from '../../src/errors.ts';
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

describe.each(languages)('sentences in %s', (language) => {
  const t = i18n.translator(language);

  it('exist for every error code', () => {
    const missing = errorCodes.filter((code) => t(`errors.${code}`) === `errors.${code}`);
    expect(missing).toEqual([]);
  });

  it('exist for every key that a page or a source file names', () => {
    // Pages of the sandbox, the demo and the mails have sentences of their own.
    const files = [
      'views',
      'views/login',
      'views/account',
      'views/admin',
      'src/login',
      'src/account',
      'src/wechat-push',
    ].flatMap((folder) =>
      readdirSync(join(projectRoot, folder))
        .filter((name) => /\.(eta|ts)$/.test(name))
        .map((name) => readFileSync(join(projectRoot, folder, name), 'utf8')),
    );
    const keys = files.flatMap((text) => [...text.matchAll(/\bt\('([\w.]+)'/g)].map(([, key]) => key ?? ''));
    expect(keys.length).toBeGreaterThan(60);
    expect([...new Set(keys)].filter((key) => t(key, { count: 2 }) === key)).toEqual([]);
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
