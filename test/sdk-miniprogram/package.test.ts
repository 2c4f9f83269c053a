/** The mini-program SDK as a package: what WeChat's tools and npm make of it. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { projectRoot } from '../../src/config.ts';

const folder = join(projectRoot, 'sdk/miniprogram');
const read = (name: string) => readFileSync(join(folder, name), 'utf8');
const scripts = readdirSync(join(folder, 'lib')).filter((name) => name.endsWith('.js'));
const out = mkdtempSync(join(tmpdir(), 'heyi-sdk-'));
afterAll(() => rmSync(out, { recursive: true }));

/** All that the SDK may find there beside the language of 2017. */
const logicLayer = `
declare const wx: object;
declare function getCurrentPages(): { route: string; options: Record<string, string> }[];
declare function setTimeout(work: () => void, ms: number): number;
declare function clearTimeout(id: number | null): void;
declare const console: { warn(text: string): void };
`;

function tsc(...more: string[]): string {
  const options = ['--ignoreConfig', '--allowJs', '--module', 'nodenext', '--types', '', ...more];
  const files = scripts.map((name) => join(folder, 'lib', name));
  try {
    return execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', ...options, ...files], {
      cwd: projectRoot,
      encoding: 'utf8',
    });
  } catch (error) {
    return (error as { stdout: string }).stdout;
  }
}

test('is written in the syntax of 2017, which WeChat’s tools and old phones take', () => {
  const emitted = ['es2017', 'esnext'].map((target) => {
    tsc('--noCheck', '--target', target, '--outDir', join(out, target));
    return scripts.map((name) => readFileSync(join(out, target, name), 'utf8'));
  });
  expect(emitted[0]).toEqual(emitted[1]);
});

test('uses nothing that the logic layer of a mini-program does not have', () => {
  const layer = join(out, 'logic-layer.d.ts');
  writeFileSync(layer, logicLayer);
  const found = tsc('--checkJs', '--noEmit', '--strict', 'false', '--target', 'es2017', '--lib', 'es2017', layer);
  // Names that are unknown, and methods that came later; types themselves are not what is asked here.
  expect(found.split('\n').filter((line) => /TS(2304|2550|2552|2583|2584|2304|2339)\b/.test(line))).toEqual([]);
});

test('holds its code, types, README and licence, and depends on nothing', () => {
  const { main, types, miniprogram, files, license, dependencies, version } = JSON.parse(read('package.json'));
  expect({ files, license, dependencies }).toEqual({ files: ['lib'], license: 'Apache-2.0', dependencies: undefined });
  // WeChat's tools copy the folder `miniprogram`, whose index.js is the package.
  expect([main, types, miniprogram]).toEqual(['lib/index.js', 'lib/index.d.ts', 'lib']);
  expect(scripts).toContain('index.js');
  expect(read('lib/version.js')).toContain(`'${version}'`);
  expect(read('LICENSE')).toBe(readFileSync(join(projectRoot, 'LICENSE'), 'utf8'));
  const required = scripts.flatMap((name) =>
    [...read(`lib/${name}`).matchAll(/^const .* = require\('([^']+)'\)/gm)].map(([, path]) => path),
  );
  for (const path of required) expect(scripts).toContain(path?.replace('./', ''));
});

test('its README shows the examples as they are', () => {
  const shown = [...read('README.md').matchAll(/<!-- (\S+) -->\n```\w+\n([\s\S]*?)```/g)];
  expect(shown.length).toBe(4);
  for (const [, name = '', code] of shown) expect(code).toBe(read(name));
});
