/** What has to be known to evaluate segments, and which of them an event can change. */
import { type Needs as EventNeeds, needsOf as needsOfQuestions } from '../behaviour/needs.ts';
import type { CompiledSegment, CompileOptions } from './evaluate.ts';

/** What has to be read of a person. */
export type Needs = EventNeeds & { traits: string[] | '*' };

/** What these segments ask, and those that they refer to. @param at milliseconds since 1970 */
export function needsOf(
  segments: Iterable<CompiledSegment>,
  at: number,
  { segmentOf }: Pick<CompileOptions, 'segmentOf'>,
): Needs {
  const reads = [...withReferences(segments, segmentOf)].map((segment) => segment.reads);
  const questions = reads.flatMap((read) => read.questions);
  return { ...needsOfQuestions(questions, at), traits: [...new Set(reads.flatMap(({ traits }) => traits))] };
}

/** Whether an event of this name on this channel can change who is in a segment. */
export function isTouchedBy(
  segment: CompiledSegment,
  { event, channel }: { event: string; channel: string },
  { segmentOf }: Pick<CompileOptions, 'segmentOf'>,
): boolean {
  return [...withReferences([segment], segmentOf)].some(({ reads }) =>
    reads.questions.some(({ matchers }) => matchers.some((matcher) => matcher.isTouchedBy(event, channel))),
  );
}

/** These segments with all that they refer to, directly or not. */
function withReferences(
  segments: Iterable<CompiledSegment>,
  segmentOf: CompileOptions['segmentOf'],
): Set<CompiledSegment> {
  const all = new Set(segments);
  // A set that grows while it is walked is walked to its end.
  for (const { reads } of all) {
    for (const key of reads.segments) {
      const other = segmentOf(key);
      if (other) all.add(other);
    }
  }
  return all;
}
