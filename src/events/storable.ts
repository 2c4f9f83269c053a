/**
 * Makes what strangers send storable and bounds what it costs: PostgreSQL refuses NUL and half a surrogate pair in a string, deep
 * nesting overflows whoever walks it, a million keys fill the memory (threats E5, F6).
 */

const deepest = 32;
const mostKeys = 2_000;
/** 32 KB, as it would be written without spaces. */
export const eventBytes = 32_768;

export type Bounds = 'too_deep' | 'too_many_keys' | 'event_too_large';

/** What makes the event unacceptable, if anything does. Walks no deeper than the limit. */
export function exceededBound(event: object): Bounds | undefined {
  const seen = { keys: 0, characters: 0, deep: false };
  walk(event, 0, seen);
  if (seen.deep) return 'too_deep';
  if (seen.keys > mostKeys) return 'too_many_keys';
  // A character takes six bytes at most (\u0000): only an event that may be too large is written out to be measured.
  const mayExceed = seen.characters * 6 > eventBytes;
  return mayExceed && Buffer.byteLength(JSON.stringify(event)) > eventBytes ? 'event_too_large' : undefined;
}

type Seen = { keys: number; characters: number; deep: boolean };

function walk(value: unknown, depth: number, seen: Seen): void {
  if (typeof value === 'string') seen.characters += value.length + 2;
  else if (typeof value !== 'object' || value === null) seen.characters += 24;
  else if (depth >= deepest) seen.deep = true;
  else if (Array.isArray(value)) {
    seen.keys += value.length;
    seen.characters += 2;
    for (const item of value) {
      if (seen.deep || seen.keys > mostKeys) return;
      walk(item, depth + 1, seen);
    }
  } else walkObject(value, depth, seen);
}

function walkObject(value: object, depth: number, seen: Seen): void {
  const keys = Object.keys(value);
  seen.keys += keys.length;
  seen.characters += 2;
  if (seen.keys > mostKeys) return;
  for (const key of keys) {
    if (seen.deep) return;
    seen.characters += key.length + 4;
    walk((value as Record<string, unknown>)[key], depth + 1, seen);
  }
}

/** How JSON.stringify writes a NUL and half a surrogate pair. */
const unstorable = /\\u(?:0000|d[89a-f])/;

/** JSON text that PostgreSQL takes: what it cannot store becomes U+FFFD. Bounded values only. */
export function storableJson(value: unknown): string {
  const text = JSON.stringify(value);
  // Nearly no text has any escape of this kind, and looking for its beginning takes a tenth of the pattern.
  return text.includes('\\u') && unstorable.test(text) ? JSON.stringify(clean(value)) : text;
}

export function storableText(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\ufffd');
}

function clean(value: unknown): unknown {
  if (typeof value === 'string') return storableText(value);
  if (Array.isArray(value)) return value.map(clean);
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  // fromEntries defines a key named __proto__ instead of setting the prototype.
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [storableText(key), clean(item)]));
}

/** One value of a JSON document; `__proto__` is a name like any other there, and never a prototype. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
