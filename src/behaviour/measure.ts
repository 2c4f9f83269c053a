/** Looked at before anything is read: what is too large or too deep to walk, or holds text that PostgreSQL cannot store (threats E4, E5). */
import { type Fault, mostLevels } from './faults.ts';

const most = 64 * 1024;
const tooLarge: Fault = { path: '', code: 'too_large', values: { most: most / 1024 } };
/** As many JSON levels as twelve nodes can have, and some. */
const deepest = 64;

/** The one fault for which a definition is not read at all, if there is one. Uses no stack, and stops at the limit. */
export function measure(json: unknown): Fault | null {
  const waiting: { value: unknown; path: string; depth: number }[] = [{ value: json, path: '', depth: 0 }];
  let bytes = 0;
  for (let item = waiting.pop(); item; item = waiting.pop()) {
    const { value, path, depth } = item;
    if (depth > deepest) return { path: path.slice(0, 200), code: 'too_deep', values: { most: mostLevels } };
    if (typeof value === 'string') {
      bytes += Buffer.byteLength(value) + 2;
      if (bytes <= most && !isStorable(value)) return { path, code: 'unstorable', values: {} };
    } else if (typeof value !== 'object' || value === null) {
      bytes += String(value).length;
    } else {
      const isList = Array.isArray(value);
      // Before a list of a million is made into a million names.
      if (isList && value.length > most) return tooLarge;
      const names = Object.keys(value);
      bytes += 2 + names.length;
      if (bytes > most) return tooLarge;
      for (const name of names) {
        if (!isList) bytes += Buffer.byteLength(name) + 3;
        const inner = (value as Record<string, unknown>)[name];
        waiting.push({
          value: inner,
          path: isList ? `${path}[${name}]` : path ? `${path}.${name}` : name,
          depth: depth + 1,
        });
      }
    }
    if (bytes > most) return tooLarge;
  }
  return null;
}

function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0');
}
