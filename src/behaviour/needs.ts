/** What has to be read to answer questions. */
import { union } from './match.ts';
import type { Question } from './question.ts';

export type Needs = {
  /** Events of other names change nothing. */
  names: string[] | '*';
  /** Nor do events up to this timestamp (milliseconds since 1970, included), at this instant or later. Null: all may. */
  since: number | null;
};

/** @param at milliseconds since 1970 */
export function needsOf(questions: Pick<Question, 'matchers' | 'since'>[], at: number): Needs {
  const names = questions
    .flatMap(({ matchers }) => matchers)
    .reduce<ReadonlySet<string> | null>((all, matcher) => union(all, matcher.names), new Set());
  const sinces = questions.map(({ since }) => since(at));
  return {
    names: names ? [...names] : '*',
    since: sinces.every((since) => since !== null) ? Math.min(at, ...sinces) : null,
  };
}
