/** An explanation as the page shows it: each condition in words, with what was found beside what is wanted. */
import { formatNumber } from '../http/i18n.ts';
import type { Node } from '../segments/definition.ts';
import type { ExplainedNode } from '../segments/explain.ts';
import { plain } from './lines.ts';
import { comparisonInWords, type Phrase, phraseOf, sentenceIn, type Words } from './segment-words.ts';
import { propertyTitle } from './titles.ts';

export type ExplainedPhrase = {
  text: string;
  holds: boolean;
  dueAt: Date | null;
  /** What was found; undefined of what has nothing to show. */
  found: string | undefined;
  wanted: string | undefined;
  events: { id: string; at: Date; title: string; channel: string }[];
  /** Of a condition on one value: the nearest values, each with what its parts found. */
  values: Values | undefined;
  steps: Phrase[];
  parts: ExplainedPhrase[];
};

type Values = {
  title: string;
  asked: string[];
  rows: { value: string; holds: boolean; found: { holds: boolean; observed: string }[] }[];
};

export function explanationTree(explained: ExplainedNode, words: Words): ExplainedPhrase {
  const { node, path, code, holds, due_at: dueAt, wanted, events = [], parts = [] } = explained;
  const phrase = node ? phraseOf(words, node) : { text: words.t(`admin.says.${code}`), parts: [] };
  const values = valuesIn(explained, words);
  return {
    text: phrase.text,
    holds,
    // What has parts stands as long as they do; the whole is said above them.
    dueAt: parts.length && path !== 'where' ? null : dueAt,
    // Of a condition on one value the table says it.
    found: values ? undefined : foundOf(explained, words),
    wanted: wanted && isCounted(node) ? comparisonInWords(words, wanted) : undefined,
    events: events.map(({ id, timestamp, event, channel }) => ({
      id,
      at: timestamp,
      title: words.titles.ofEvent(event),
      channel,
    })),
    values,
    // What each of them found stands in the table.
    steps: values ? [] : phrase.parts,
    parts: parts.map((part) => explanationTree(part, words)),
  };
}

function valuesIn({ node, candidates }: ExplainedNode, words: Words): Values | undefined {
  if (!node || !('per' in node) || !candidates) return undefined;
  return {
    title: propertyTitle(words.t, node.per),
    asked: node.all.map((part) => sentenceIn(words, part as Node)),
    rows: candidates.map(({ value, holds, members }) => ({
      value: plain(value),
      holds,
      found: members.map((member) => ({
        holds: member.holds,
        observed: member.observed === null ? '—' : foundIn(member.observed),
      })),
    })),
  };
}

function foundOf({ node, observed }: ExplainedNode, words: Words): string | undefined {
  if (observed === undefined || observed === null) return undefined;
  if (!node || !('sequence' in node)) return foundIn(observed);
  const steps = node.sequence.filter((step) => !('no' in step)).length;
  return words.t('admin.explain.steps', { reached: observed, steps });
}

const foundIn = (observed: unknown) => (typeof observed === 'number' ? formatNumber(observed) : plain(observed));

/** The first or the last event is not compared with a number. */
const isCounted = (node: Node | undefined) => node !== undefined && !('first' in node) && !('last' in node);
