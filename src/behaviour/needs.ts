/** What has to be read to answer questions. */
import type { Path } from './language.ts';
import { union } from './match.ts';
import { type ParsedPath, pathOf } from './path.ts';
import type { Question } from './question.ts';

export type Needs = {
  /** Events of other names change nothing. */
  names: string[] | '*';
  /** Nor do events up to this timestamp (milliseconds since 1970, included), at this instant or later. Null: all may. */
  since: number | null;
  /** Fields of the properties and of the context: the others are read by nothing. */
  fields: Record<ParsedPath['root'], string[] | '*'>;
};

export const everything: Needs = { names: '*', since: null, fields: { properties: '*', context: '*' } };

/** @param at milliseconds since 1970 */
export function needsOf(questions: Pick<Question, 'matchers' | 'paths' | 'since'>[], at: number): Needs {
  const names = questions
    .flatMap(({ matchers }) => matchers)
    .reduce<ReadonlySet<string> | null>((all, matcher) => union(all, matcher.names), new Set());
  const sinces = questions.map(({ since }) => since(at));
  return {
    names: names ? [...names] : '*',
    since: sinces.every((since) => since !== null) ? Math.min(at, ...sinces) : null,
    fields: fieldsOf(questions.flatMap(({ paths }) => paths)),
  };
}

function fieldsOf(paths: Path[]): Needs['fields'] {
  const parsed = [...new Set(paths)].map(pathOf);
  const under = (wanted: ParsedPath['root']) => {
    const first = parsed.filter(({ root }) => root === wanted).map(({ steps }) => steps[0]);
    // `context` alone is the whole of it.
    return first.every((name) => name !== undefined) ? [...new Set(first)].sort() : '*';
  };
  return { properties: under('properties'), context: under('context') };
}
