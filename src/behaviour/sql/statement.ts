/**
 * A statement while it is put together: its parameters and its named parts. No value of a definition is ever written into the text
 * (E3); what is written there is this folder's own SQL.
 */
import { storableText } from '../../events/storable.ts';
import type { ParsedPath } from '../path.ts';

export type Statement = {
  at: Date;
  tz: string;
  purpose: string;
  /** Text that stands for the value, with its type: `:p3::numeric`. The same value is bound once. */
  param(value: unknown, type: string): string;
  /** Puts a part into the WITH list and says its name. */
  part(sql: string): string;
  /** A name that nothing else has. */
  alias(): string;
  /** The whole: all parts, then this. The placeholders are knex's named ones; no other `?` or `:name` may stand in the text. */
  finish(sql: string): { sql: string; bindings: Record<string, unknown> };
};

export function createStatement({ at, tz, purpose }: { at: Date; tz: string; purpose: string }): Statement {
  const bindings: Record<string, unknown> = {};
  const known = new Map<string, string>();
  const parts: string[] = [];
  let aliases = 0;
  return {
    at,
    tz,
    purpose,
    param(value, type) {
      const identity = JSON.stringify([type, value]);
      const name = known.get(identity) ?? `p${known.size + 1}`;
      known.set(identity, name);
      bindings[name] = storable(value);
      return `:${name}::${type}`;
    },
    part(sql) {
      const name = `r${parts.length + 1}`;
      parts.push(`${name} as (${sql})`);
      return name;
    },
    alias: () => `x${++aliases}`,
    finish: (sql) => ({ sql: parts.length ? `with ${parts.join(',\n')}\n${sql}` : sql, bindings }),
  };
}

/** PostgreSQL refuses NUL and half a surrogate pair; what is stored has none either. */
function storable(value: unknown): unknown {
  if (typeof value === 'string') return storableText(value);
  return Array.isArray(value) ? value.map(storable) : value;
}

/**
 * What a question is asked about: each subject, or each subject with one value of a path (`per`, `same`), as further columns. `among` is a
 * part with a column subject_id, and perhaps some of the keys: about nobody else is asked. It saves work, and answers for others do no harm.
 */
export type Scope = {
  keys: { column: string; path: ParsedPath }[];
  among: { part: string; keys: string[] } | null;
};

export function keyColumns({ keys }: Scope): string[] {
  return ['subject_id', ...keys.map(({ column }) => column)];
}

/**
 * The answers to a question: a part with the key columns, `holds` and `due` (infinity: never another by time alone). Whoever has no row
 * there is answered `otherwise`, and for ever.
 */
export type Relation = { name: string; otherwise: boolean };

export const never = `'infinity'::timestamptz`;

/** All of the tests; `true` without any. */
export function and(...tests: string[]): string {
  return tests.filter((test) => test !== 'true').join(' and ') || 'true';
}
