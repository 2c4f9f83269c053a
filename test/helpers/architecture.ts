/**
 * The rules of docs/architecture.md as functions from source text to findings, one sentence each. They read text, not types:
 * imports stand where the formatter puts them, and SQL is lower-case, so plain patterns are enough and show what they look for.
 */
import { posix } from 'node:path';

export type SourceFile = { path: string; text: string };
export type Schema = { tables: string[]; views: string[] };

/** Low rows know nothing of high ones. Folders and root files by name; those of one row are strangers to each other. */
const rows: string[][] = [
  ['config', 'errors', 'log', 'clock', 'database', 'jobs', 'seal', 'tickets', 'outbox', 'postgres'],
  ['http', 'audit'],
  ['connectors', 'consent'],
  ['subjects', 'events'],
  ['behaviour'],
  ['oidc', 'profiles'],
  ['login', 'segments'],
  ['account', 'wechat-push'],
  ['admin', 'api'],
  ['sandbox'],
  ['app', 'routers', 'main', 'cli', 'lifecycle', 'start-faults'],
];
const foundation = 0;
const entries = rows.length - 1;

/** The part of the house a file belongs to: its folder under src, or its own name when it lies in src itself. */
function partOf(path: string): string {
  return (path.split('/')[1] ?? '').replace(/\.ts$/, '');
}

function rowOf(path: string): number {
  return rows.findIndex((parts) => parts.includes(partOf(path)));
}

/** The text with comments blanked, line for line, so that prose is not taken for code. */
export function codeOf(text: string): string {
  let inBlock = false;
  return text
    .split('\n')
    .map((line) => {
      const start = line.trimStart();
      if (inBlock || start.startsWith('/*')) {
        inBlock = !line.includes('*/');
        return '';
      }
      return start.startsWith('//') ? '' : line.replace(/\s\/\/ .*$/, '');
    })
    .join('\n');
}

type Hit = { line: number; text: string };

function find(code: string, pattern: RegExp): Hit[] {
  return [...code.matchAll(pattern)].map((match) => ({
    line: code.slice(0, match.index + match[0].length).split('\n').length,
    text: match[1] ?? match[0],
  }));
}

type Import = { line: number; specifier: string; dynamic: boolean };

/** Type imports count: a type is knowledge too. */
function importsOf(code: string): Import[] {
  const still = find(code, /^(?:import|export)\b(?:[^'";]*?\bfrom)?\s*'([^']+)'/gm);
  const dynamic = find(code, /\bimport\(\s*['"`]([^'"`]+)['"`]/g);
  return [
    ...still.map(({ line, text }) => ({ line, specifier: text, dynamic: false })),
    ...dynamic.map(({ line, text }) => ({ line, specifier: text, dynamic: true })),
  ];
}

/** Files outside src that one file of src may load. */
const outside: Record<string, RegExp> = { 'src/database.ts': /^migrations\// };

function importFindings(file: SourceFile): string[] {
  const code = codeOf(file.text);
  return importsOf(code).flatMap(({ line, specifier, dynamic }) => {
    if (!specifier.startsWith('.')) return [];
    const target = posix.join(posix.dirname(file.path), specifier);
    const at = `${file.path}:${line}`;
    if (!target.startsWith('src/')) {
      return outside[file.path]?.test(target) ? [] : [`${at} imports ${target}, which lies outside src.`];
    }
    return [rowFinding(file.path, target, dynamic), storeFinding(file.path, target)]
      .filter((finding) => finding !== undefined)
      .map((finding) => `${at} ${finding}`);
  });
}

function rowFinding(from: string, to: string, dynamic: boolean): string | undefined {
  if (partOf(from) === partOf(to)) return undefined;
  const [own, other] = [rowOf(from), rowOf(to)];
  // A file without a row is a finding of its own.
  if (own < 0) return undefined;
  if (other < 0) return `imports ${to}, which has no row; give it one.`;
  if (partOf(to) === 'sandbox') {
    const mayLoad = dynamic && ['app', 'main'].includes(partOf(from));
    return mayLoad ? undefined : `imports ${to}: the sandbox is loaded by a dynamic import in app.ts or main.ts alone.`;
  }
  if (own === other && (own === foundation || own === entries)) return undefined;
  if (other < own) return undefined;
  return `imports ${to}: row ${own} may not import from row ${other}${own === other ? ' (sideways)' : ''}.`;
}

function storeFinding(from: string, to: string): string | undefined {
  if (posix.basename(to) !== 'store.ts' || partOf(from) === partOf(to)) return undefined;
  return `imports ${to}: a store.ts is private to its folder.`;
}

/** Reads the names from the migrations: what they create is what exists. */
export function schemaOf(migrations: string[]): Schema {
  const created = (what: string) =>
    migrations.flatMap((text) =>
      [...text.matchAll(new RegExp(`\\bcreate (?:or replace )?${what} (?:if not exists )?"?(\\w+)"?`, 'g'))].map(
        (match) => match[1] ?? '',
      ),
    );
  const views = created('(?:materialized )?view');
  return { tables: [...new Set(created('table'))], views };
}

/** Where a file names one of the tables: in SQL, in knex calls, or as another library's table name. */
function tablesNamed(code: string, tables: string[]): (Hit & { table: string })[] {
  return tables.flatMap((table) => {
    const sql = `\\b(?:from|join|into|update|table|copy|only|using|references) "?${table}"?(?![\\w(])`;
    const knex = `\\b(?:db|trx|tx|knex|from|into|table|\\w*[jJ]oin|inTable|references)(?:<[^>]*>)?\\(\\s*['"\`]${table}(?: as \\w+)?['"\`]`;
    const option = `\\btableName: ['"]${table}['"]`;
    return find(code, new RegExp(`${sql}|${knex}|${option}`, 'g')).map((hit) => ({ ...hit, table }));
  });
}

function tableFindings(files: SourceFile[], { tables }: Schema): string[] {
  const named = files.flatMap((file) =>
    tablesNamed(codeOf(file.text), tables).map((hit) => ({ ...hit, file: file.path })),
  );
  return [...Map.groupBy(named, ({ table }) => table)].flatMap(([table, hits]) => {
    const owner = ownerOf(hits.map(({ file }) => file));
    return hits
      .filter(({ file }) => file !== owner)
      .map(
        ({ file, line }) => `${file}:${line} names the table ${table}, which belongs to ${owner}; read a view instead.`,
      );
  });
}

/** A store.ts before others, then whoever names it most. */
function ownerOf(files: string[]): string {
  const counts = [...Map.groupBy(files, (file) => file)].map(([file, hits]) => ({
    file,
    weight: hits.length + (posix.basename(file) === 'store.ts' ? 1000 : 0),
  }));
  return counts.sort((a, b) => b.weight - a.weight || (a.file < b.file ? -1 : 1))[0]?.file ?? '';
}

/** Names of other vendors, and the folders that exist to know them. WeChat is in the product's own words (identity kinds, appid). */
const vendors: { name: RegExp; home: RegExp }[] = [
  {
    name: /aliyun|alibaba|tencent|baidu|weixin|jscode2session/i,
    // Websites that link to a company are named where visitors are told apart by whom they come from.
    home: /^src\/(?:(?:connectors|sandbox)\/|events\/origins\.ts$)/,
  },
  {
    name: /@segment\/|\bsegment\.(?:io|com)\b|sensors?data|sensorsanalytics|growingio|rudder|mixpanel|amplitude|umeng/i,
    home: /^src\/(events\/adapters|sandbox)\//,
  },
];

type LineRule = { pattern: RegExp; applies: (path: string) => boolean; sentence: string };

const lineRules: LineRule[] = [
  {
    pattern: /\bprocess\.env\b|\bprocess\[|\benv\b[^'"]*from 'node:process'/g,
    applies: (path) => path !== 'src/config.ts',
    sentence: 'reads the environment: config.ts alone does.',
  },
  {
    pattern: /\bDate\.now\b|\bnew Date\(\s*\)|(?<!new )\bDate\(\s*\)/g,
    applies: (path) => path !== 'src/clock.ts',
    sentence: 'asks the machine for the time: clock.ts alone does.',
  },
  ...vendors.map(({ name, home }) => ({
    pattern: new RegExp(name.source, 'gi'),
    applies: (path: string) => !home.test(path),
    sentence: "names another vendor outside that vendor's folder.",
  })),
];

const longest = 400;

function lineFindings(file: SourceFile): string[] {
  const code = codeOf(file.text);
  const lines = file.text.trimEnd().split('\n').length;
  return [
    ...lineRules
      .filter(({ applies }) => applies(file.path))
      .flatMap(({ pattern, sentence }) =>
        find(code, pattern).map(({ line, text }) => `${file.path}:${line} ("${text}") ${sentence}`),
      ),
    ...(lines > longest ? [`${file.path}:${longest + 1} is ${lines} lines long: it holds two things, split it.`] : []),
  ];
}

/** Everything that is wrong, as sentences with file and line. */
export function findingsOf(files: SourceFile[], schema: Schema): string[] {
  return [
    ...files.flatMap((file) => (rowOf(file.path) < 0 ? [`${file.path}:1 has no row; give it one.`] : [])),
    ...files.flatMap(importFindings),
    ...files.flatMap(lineFindings),
    ...tableFindings(files, schema),
  ];
}
