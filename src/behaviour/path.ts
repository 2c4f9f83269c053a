/**
 * Where a value lies in an event. The grammar is closed, so that a name of a definition is never more than a name: no evaluator
 * meets quotes, wildcards or a prototype in it.
 */
import type { Path } from './language.ts';

/** Stands among the steps for each element of the list that the steps before it lead to. */
export const each = '[]';

export type ParsedPath = {
  root: 'properties' | 'context';
  /** Names of fields, and `[]`: `products[].sku` is `['products', '[]', 'sku']`. */
  steps: string[];
};

const grammar = /^[\p{L}_$][\p{L}\p{N}_$-]*(\[\])?(\.[\p{L}_$][\p{L}\p{N}_$-]*(\[\])?)*$/u;

/** Null when the text is no path. */
export function parsePath(text: string): ParsedPath | null {
  if (!grammar.test(text)) return null;
  const steps = text.split('.').flatMap((step) => (step.endsWith(each) ? [step.slice(0, -each.length), each] : [step]));
  return steps[0] === 'context' ? { root: 'context', steps: steps.slice(1) } : { root: 'properties', steps };
}

/** Of a definition that was validated. */
export function pathOf(path: Path): ParsedPath {
  const parsed = parsePath(path);
  if (!parsed) throw new Error(`"${path}" is no path`);
  return parsed;
}

const naming = new Set(['property', 'of', 'same', 'per']);

/** Every path that a validated node names, wherever it stands in it. */
export function pathsIn(node: unknown): Path[] {
  if (Array.isArray(node)) return node.flatMap(pathsIn);
  if (typeof node !== 'object' || node === null) return [];
  return Object.entries(node).flatMap(([field, value]) =>
    typeof value === 'string' && naming.has(field) ? [value] : pathsIn(value),
  );
}

/** The list of an `item` (all before the first `[]`) and where in one of its elements the value lies; null without a list. */
export function listOf({ root, steps }: ParsedPath): { list: ParsedPath; rest: string[] } | null {
  const at = steps.indexOf(each);
  return at < 0 ? null : { list: { root, steps: steps.slice(0, at) }, rest: steps.slice(at + 1) };
}

/** All that the steps reach from a value on (of an event, of an element of a list) and that is not null. */
export function valuesWithin(value: unknown, steps: string[]): unknown[] {
  const found: unknown[] = [];
  collect(value, steps, 0, found);
  return found;
}

function collect(value: unknown, steps: string[], at: number, found: unknown[]): void {
  if (value === null || value === undefined) return;
  const step = steps[at];
  if (step === undefined) found.push(value);
  else if (step === each) {
    if (Array.isArray(value)) for (const element of value) collect(element, steps, at + 1, found);
  } else if (typeof value === 'object' && !Array.isArray(value) && Object.hasOwn(value, step)) {
    collect((value as Record<string, unknown>)[step], steps, at + 1, found);
  }
}
