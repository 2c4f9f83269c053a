/** An explanation as the page shows it: each condition in words, with what was found beside what is wanted. */
import type { Node } from '../segments/definition.ts';
import type { ExplainedNode } from '../segments/explain.ts';
import { plain } from './lines.ts';
import { comparisonInWords, type Phrase, phraseOf, type Words } from './segment-words.ts';

export type ExplainedPhrase = {
  text: string;
  holds: boolean;
  dueAt: Date | null;
  /** What was found; undefined of what has nothing to show. */
  found: string | undefined;
  wanted: string | undefined;
  events: { id: string; at: Date; title: string; channel: string }[];
  /** Of a condition on one value: the nearest values, each with the numbers found for it. */
  candidates: { value: string; holds: boolean; observed: string[] }[];
  steps: Phrase[];
  parts: ExplainedPhrase[];
};

export function explanationTree(explained: ExplainedNode, words: Words): ExplainedPhrase {
  const { node, code, holds, due_at: dueAt, observed, wanted, events = [], candidates = [], parts = [] } = explained;
  const phrase = node ? phraseOf(words, node) : { text: words.t(`admin.says.${code}`), parts: [] };
  return {
    text: phrase.text,
    holds,
    dueAt,
    found: observed === undefined || observed === null ? undefined : plain(observed),
    wanted: wanted && isCounted(node) ? comparisonInWords(words, wanted) : undefined,
    events: events.map(({ id, timestamp, event, channel }) => ({
      id,
      at: timestamp,
      title: words.titleOf(event),
      channel,
    })),
    candidates: candidates.map(({ value, holds: isMet, members }) => ({
      value: plain(value),
      holds: isMet,
      observed: members.map(({ observed: number }) => plain(number ?? '—')),
    })),
    steps: phrase.parts,
    parts: parts.map((part) => explanationTree(part, words)),
  };
}

/** The first or the last event is not compared with a number. */
const isCounted = (node: Node | undefined) => node !== undefined && !('first' in node) && !('last' in node);
