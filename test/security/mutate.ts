/** What goes wrong with a request, drawn from a seed: in its value, its text, its bytes, and in what HTTP does to them. */
import { gzipSync } from 'node:zlib';
import type { Random } from '../subjects/history.ts';
import type { Sent } from './answers.ts';

/** Draws no change at all. */
export const calm: Random = { below: () => 0, chance: () => false, one: (of) => of[0] };

const deep = (depth: number) => `${'{"a":['.repeat(depth)}1${']}'.repeat(depth)}`;

/** In the place of a value; as text, because much of it is nothing that JSON.stringify writes. */
const oddities = ['null', 'true', '-0', '1e400', '-1e400', '1e-400', '12345678901234567890123', '0.1', '[]', '{}', '""']
  .concat(['"\\u0000"', '"a\\u0000b"', '"\\ud800"', '"\\udc00\\ud800"', '"\\u2028"', '"\\u202e💩"', '"\\r\\nX: y"'])
  .concat([
    '{"__proto__":{"admin":true}}',
    '{"constructor":{"prototype":{"admin":true}}}',
    '{"toString":1,"a":1,"a":2}',
  ])
  .concat([
    '"__proto__"',
    '"constructor"',
    '"hasOwnProperty"',
    '"2026-13-45T99:99:99Z"',
    '"+275760-09-13T00:00:00.001Z"',
  ])
  .concat([
    '"9999-12-31T23:59:59Z"',
    '"-000001-01-01T00:00:00Z"',
    '1e15',
    '-9007199254740993',
    '[[[[[[[[1]]]]]]]]',
    '"1d"',
  ])
  .concat([
    '"\'; select pg_sleep(9) --"',
    '"a\'->>\'b"',
    '"%%%"',
    '"(a+)+$"',
    '"<%= 1 %>"',
    '"../../etc/passwd"',
    '"\\\\"',
  ])
  .concat([
    'NaN',
    "'a'",
    '[',
    '}',
    '',
    '"',
    deep(40),
    deep(3_000),
    `"${'x'.repeat(40_000)}"`,
    `[${'0,'.repeat(5_000)}0]`,
  ]);

const names = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  '',
  '\0',
  'a.b',
  "a'b",
  '$gt',
  '\ud800',
].concat([
  'x'.repeat(300),
  '名',
  'type',
  'event',
  'where',
  'all',
  'any',
  'not',
  'per',
  'properties',
  'context',
  'length',
]);

/** A place of a value is written as a string that no payload holds, and replaced in the text. */
const mark = (oddity: string) => `\u0001${oddities.indexOf(oddity)}\u0001`;
const unmarked = (text: string) => text.replace(/"\\u0001(\d+)\\u0001"/g, (_, at) => oddities[Number(at)] ?? '');

function places(value: unknown, found: [holder: Record<string, unknown>, name: string][] = []) {
  if (typeof value !== 'object' || value === null) return found;
  for (const name of Object.keys(value)) {
    const holder = value as Record<string, unknown>;
    found.push([holder, name]);
    places(holder[name], found);
  }
  return found;
}

/** The text of the value after up to four changes. */
export function mutated(random: Random, original: unknown): string {
  const value = structuredClone(original);
  for (let n = random.below(5); n > 0; n--) {
    const [holder, name = ''] = random.one(places(value)) ?? [];
    if (!holder) break;
    const oddity = mark(random.one(oddities) ?? '');
    const change = random.below(6);
    if (change < 3) holder[name] = oddity;
    else if (change === 3) delete holder[name];
    else if (change === 4 && !Array.isArray(holder))
      define(holder, random.one(names) ?? '', random.chance(0.5) ? oddity : holder[name]);
    else holder[name] = random.chance(0.5) ? [structuredClone(holder[name]), oddity] : { a: holder[name] };
  }
  return broken(random, unmarked(JSON.stringify(value)));
}

/** As a parser of JSON does it: also where the name is `__proto__`. */
function define(holder: Record<string, unknown>, name: string, value: unknown): void {
  Object.defineProperty(holder, name, { value, enumerable: true, configurable: true, writable: true });
}

export function broken(random: Random, text: string): string {
  const at = random.below(text.length + 1);
  const change = random.below(16);
  if (change === 1) return text.slice(0, at);
  if (change === 2) return text.slice(0, at) + (random.one(oddities) ?? '') + text.slice(at);
  if (change === 3) return text.slice(0, at) + text.slice(random.below(text.length + 1));
  if (change === 4) return `\uFEFF${text}`;
  return text;
}

export function bytesOf(random: Random, text: string): Buffer {
  const change = random.below(14);
  if (change === 1) return Buffer.from(text, 'utf16le');
  const bytes = Buffer.from(text, 'utf8');
  if (change !== 2) return bytes;
  for (let n = 1 + random.below(8); n > 0 && bytes.length; n--) bytes[random.below(bytes.length)] = random.below(256);
  return bytes;
}

const types = [
  'application/json',
  'text/plain',
  'application/x-www-form-urlencoded',
  ';;;',
  'application/json; charset=utf-7',
];

/** What HTTP does to a body on the way. */
export function sent(random: Random, { body = '', ...request }: Sent): Sent {
  const bytes = typeof body === 'string' ? bytesOf(random, body) : body;
  const headers: NonNullable<Sent['headers']> = { 'content-type': types[0] ?? '', ...request.headers };
  const change = random.below(24);
  if (change === 1) headers['content-type'] = random.one(types) ?? '';
  if (change === 2) headers.origin = random.one(['null', 'https://evil.example', 'http://[']) ?? '';
  if (change === 3)
    headers.authorization = random.one(['Basic', 'Basic Og==', 'Bearer a b', `Basic ${btoa('\0:\0')}`]) ?? '';
  if (change === 4) headers['user-agent'] = random.one(['', 'x'.repeat(8_000), '\u001b[31m'.slice(1)]) ?? '';
  if (change < 16) return { ...request, headers, body: bytes };
  headers['content-encoding'] = random.one(['gzip', 'gzip', 'gzip', 'gzip', 'br', 'deflate', 'gzip, gzip']) ?? '';
  return { ...request, headers, body: zipped(random, bytes) };
}

const bomb = gzipSync(Buffer.alloc(20_000_000));

export function zipped(random: Random, bytes: Buffer): Buffer {
  const packed = gzipSync(bytes);
  const change = random.below(12);
  if (change === 1) return packed.subarray(0, random.below(packed.length));
  if (change === 2) return gzipSync(packed);
  if (change === 3) return random.chance(0.1) ? bomb : bytes;
  if (change === 4) packed[random.below(packed.length)] = random.below(256);
  return packed;
}
