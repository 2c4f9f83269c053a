/**
 * Why somebody is in a segment or not: the definition once more, each node with what was found. Pages make sentences of it; the API
 * answers it as it is.
 */
import {
  aggregates,
  type BehaviourEvent,
  type Comparison,
  type EventNode,
  type Scalar,
} from '../behaviour/language.ts';
import type { Candidate } from '../behaviour/question.ts';
import type { Node } from './definition.ts';
import { type Bar, type Clause, type CompiledSegment, createEvaluation, type Evaluation } from './evaluate.ts';
import type { Person } from './person.ts';

export type Explanation = {
  is_member: boolean;
  /** Until then time alone changes neither the membership nor `matched`. Null: never. */
  due_at: Date | null;
  /** The values of each Per path that the member is one for; null when there are none, and of who is no member. */
  matched: Record<string, Scalar[]> | null;
  /** Why they are no member: something that outranks the conditions, or the conditions. */
  reason: Bar | 'conditions' | null;
  /** Null when something outranks them: what was collected for a purpose is not looked at without it. */
  where: ExplainedNode | null;
};

const kinds = [
  'per',
  'all',
  'any',
  'not',
  'sequence',
  'trait',
  'tag',
  'segment',
  'consent',
  'identity',
  'sample',
] as const;
type NodeCode = (typeof aggregates)[number] | (typeof kinds)[number];

export type ExplainedNode = {
  /** `where.all[0].not` */
  path: string;
  code: NodeCode;
  /** The node as it is defined, of those without parts. */
  node?: Node;
  holds: boolean;
  /** Until then it holds, or does not, by time alone. */
  due_at: Date | null;
  /** The number that was compared, or the value of a trait. */
  observed?: unknown;
  wanted?: Comparison;
  /** What it rests on, newest first. */
  events?: ExplainedEvent[];
  candidates?: Candidate[];
  parts?: ExplainedNode[];
};

export type ExplainedEvent = Pick<BehaviourEvent, 'id' | 'event' | 'channel'> & { timestamp: Date };
const mostEvents = 10;

/** @param at milliseconds since 1970 */
export function explain(compiled: CompiledSegment, person: Person, at: number): Explanation {
  const evaluation = createEvaluation(person, at);
  const { isMember, dueAt, matched } = compiled.evaluateIn(evaluation);
  const bar = compiled.barOf(person);
  return {
    is_member: isMember,
    due_at: moment(dueAt),
    matched,
    reason: bar ?? (isMember ? null : 'conditions'),
    where: bar ? null : explained(compiled.root, evaluation),
  };
}

function explained(clause: Clause, evaluation: Evaluation): ExplainedNode {
  const { node, path, parts } = clause;
  const { holds, dueAt } = clause.answer(evaluation);
  const answer = { path, code: codeOf(node), holds, due_at: moment(dueAt) };
  if (parts.length) return { ...answer, parts: parts.map((part) => explained(part, evaluation)) };
  const account = clause.account?.(evaluation);
  return {
    ...answer,
    node,
    ...(account && { observed: account.observed }),
    ...('event' in node && { wanted: wantedOf(node) }),
    ...(account?.events && { events: account.events.slice(-mostEvents).reverse().map(shown) }),
    ...(account?.candidates && { candidates: account.candidates }),
  };
}

function codeOf(node: Node): NodeCode {
  if ('event' in node) return aggregateOf(node);
  return kinds.find((kind) => kind in node) ?? 'all';
}

function aggregateOf(node: EventNode): (typeof aggregates)[number] {
  return aggregates.find((aggregate) => aggregate in node) ?? 'count';
}

function wantedOf(node: EventNode): Comparison {
  const { gte, gt, lte, lt, eq } = node.count ??
    node.days ??
    node.distinct ??
    node.avg ??
    node.min ??
    node.max ??
    node.sum ?? { gte: 1 };
  return { gte, gt, lte, lt, eq };
}

function shown({ id, timestamp, event, channel }: BehaviourEvent): ExplainedEvent {
  return { id, timestamp: new Date(timestamp), event, channel };
}

function moment(at: number | null): Date | null {
  return at === null ? null : new Date(at);
}
