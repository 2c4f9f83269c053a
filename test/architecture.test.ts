import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { projectRoot } from '../src/config.ts';
import { findingsOf, type Schema, schemaOf } from './helpers/architecture.ts';

function read(folder: string) {
  return readdirSync(join(projectRoot, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .sort()
    .map((name) => ({ path: `${folder}/${name}`, text: readFileSync(join(projectRoot, folder, name), 'utf8') }));
}

describe('the house', () => {
  const files = read('src');
  const schema = schemaOf(read('migrations').map(({ text }) => text));

  test('is read at all: its files, its tables and its views are found', () => {
    expect(files.length).toBeGreaterThan(20);
    expect(schema.tables).toEqual(expect.arrayContaining(['subjects', 'events', 'clients', 'rate_limits']));
    expect(schema.views).toEqual(expect.arrayContaining(['current_subjects', 'current_consents']));
    expect(schema.tables).not.toContain('current_subjects');
  });

  test('keeps every rule of docs/architecture.md', () => {
    expect(findingsOf(files, schema)).toEqual([]);
  });

  test('is described as it is: every path that docs/architecture.md names exists, and every folder of src is named', () => {
    const page = readFileSync(join(projectRoot, 'docs/architecture.md'), 'utf8');
    const named = [...page.matchAll(/`((?:src|test|views|sdk|docs)\/[\w./-]+)`|\]\((decisions\/[\w.-]+)\)/g)].map(
      ([, path, link]) => path ?? `docs/${link}`,
    );
    expect(named.length).toBeGreaterThan(20);
    expect(named.filter((path) => !existsSync(join(projectRoot, path)))).toEqual([]);
    const folders = new Set(files.map(({ path }) => path.split('/')[1] ?? '').filter((part) => !part.includes('.')));
    expect([...folders].filter((folder) => !page.includes(`\n  ${folder}/`) && !page.includes(` ${folder}/`))).toEqual(
      [],
    );
  });
});

const schema: Schema = { tables: ['clients', 'events'], views: ['current_subjects'] };
const check = (path: string, text: string, ...others: [path: string, text: string][]) =>
  findingsOf(
    [[path, text] as const, ...others].map(([path, text]) => ({ path, text })),
    schema,
  );

describe('each rule can fail', () => {
  test.each([
    ['upwards', 'src/subjects/a.ts', "import { b } from '../login/b.ts';", 'row 3 may not import from row 6.'],
    [
      'sideways',
      'src/events/a.ts',
      "import { b } from '../subjects/b.ts';",
      'row 3 may not import from row 3 (sideways).',
    ],
    ['a type', 'src/http/a.ts', "import type { B } from '../oidc/b.ts';", 'row 1 may not import from row 5.'],
    ['a re-export', 'src/http/a.ts', "export { b } from '../oidc/b.ts';", 'row 1 may not import from row 5.'],
    [
      'over lines',
      'src/http/a.ts',
      "import {\n  b,\n  c,\n} from '../api/b.ts';",
      'src/http/a.ts:4 imports src/api/b.ts',
    ],
    ['dynamically', 'src/http/a.ts', "const b = await import('../api/b.ts');", 'row 1 may not import from row 8.'],
    ['foundation', 'src/seal.ts', "import { b } from './http/b.ts';", 'row 0 may not import from row 1.'],
    ['the wiring', 'src/api/a.ts', "import { b } from '../app.ts';", 'row 8 may not import from row 10.'],
    ['a room without a row', 'src/http/a.ts', "import { b } from '../misc/b.ts';", 'src/misc/b.ts, which has no row'],
    ['outside src', 'src/http/a.ts', "import { b } from '../../test/b.ts';", 'which lies outside src.'],
    ['a store', 'src/api/a.ts', "import { b } from '../oidc/store.ts';", 'a store.ts is private to its folder.'],
    ['sandbox, still', 'src/app.ts', "import { b } from './sandbox/b.ts';", 'loaded by a dynamic import'],
    ['sandbox, elsewhere', 'src/cli/a.ts', "await import('../sandbox/b.ts');", 'loaded by a dynamic import'],
    ['environment', 'src/sandbox/a.ts', '\n\nconst a = process.env.HOME;', 'src/sandbox/a.ts:3 ("process.env") reads'],
    ['time', 'src/cli/a.ts', 'const a = Date.now();', 'clock.ts alone does.'],
    ['time', 'src/http/a.ts', 'const a = new Date();', 'clock.ts alone does.'],
    ['vendor', 'src/login/a.ts', "const url = 'https://dysmsapi.aliyuncs.com';", 'names another vendor'],
    ['vendor', 'src/oidc/a.ts', 'const sensorsDataId = 1;', 'names another vendor'],
    ['size', 'src/http/a.ts', 'a;\n'.repeat(401), 'is 401 lines long'],
    ['a new folder', 'src/misc/a.ts', '', 'src/misc/a.ts:1 has no row'],
  ])('%s: %s', (_what, path, text, sentence) => {
    const findings = check(path, text);
    expect(findings).toHaveLength(1);
    expect(findings[0]).toContain(sentence);
    expect(findings[0]).toMatch(/^src\/[\w/-]+\.ts:\d+ /);
  });

  test.each([
    ["db('clients').select()"],
    ["trx<Row>('clients as c').where({})"],
    ["db('x').leftJoin('clients', 'a', 'b')"],
    ['db.raw(`select 1\n from clients c`)'],
    ['db.raw("insert into clients (a) values (1)")'],
    ['db.raw(`update "clients" set a = 1`)'],
    ["new Limiter({ tableName: 'clients' })"],
  ])('a table named in a second file: %s', (text) => {
    const findings = check('src/login/a.ts', text, ['src/oidc/store.ts', "db('clients')"]);
    expect(findings).toEqual([
      expect.stringMatching(/^src\/login\/a\.ts:\d+ names the table clients, which belongs to src\/oidc\/store\.ts/),
    ]);
  });
});

describe('what is allowed is not found', () => {
  test.each([
    ['downwards', 'src/api/a.ts', "import { b } from '../subjects/b.ts';"],
    ['own folder', 'src/api/a.ts', "import { b } from './store.ts';"],
    ['foundation among itself', 'src/seal.ts', "import { b } from './errors.ts';"],
    ['a package', 'src/api/a.ts', "import { z } from 'zod';"],
    ['entries among themselves', 'src/main.ts', "import { b } from './app.ts';"],
    ['the sandbox, in app.ts', 'src/app.ts', "const b = await import('./sandbox/b.ts');"],
    ['migrations, by the database', 'src/database.ts', 'await import(`../migrations/a.ts`)'],
    ['a view', 'src/oidc/a.ts', "db('current_subjects')"],
    ['parsing a date', 'src/http/a.ts', 'const a = new Date(value);'],
    ['a vendor at home', 'src/connectors/sms/a.ts', "const url = 'https://dysmsapi.aliyuncs.com';"],
    [
      'prose',
      'src/http/a.ts',
      "/**\n * reads from events, process.env and Date.now()\n */\n// import x from '../api/b.ts'\na; // new Date()",
    ],
    ['words that are also tables', 'src/api/a.ts', "const events = t('events'); const { clients } = x;"],
  ])('%s', (_what, path, text) => {
    expect(check(path, text, ['src/events/store.ts', "db('events')"])).toEqual([]);
  });
});
