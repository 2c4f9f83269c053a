/** What has to be known to evaluate segments, and which of them an event can change. */
import { type Needs, needsOf as needsOfQuestions } from '../behaviour/needs.ts';
import type { CompiledSegment, CompileOptions } from './evaluate.ts';

/** The events that have to be known of a person, those of the segments referred to included. @param at milliseconds since 1970 */
export function needsOf(
  segments: Iterable<CompiledSegment>,
  at: number,
  { segmentOf }: Pick<CompileOptions, 'segmentOf'>,
): Needs {
  return needsOfQuestions(
    [...withReferences(segments, segmentOf)].flatMap(({ reads }) => reads.questions),
    at,
  );
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
