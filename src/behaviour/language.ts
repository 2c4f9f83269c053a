/**
 * The part of the definition language that asks what a person did: conditions on one event, aggregates over a window, sequences,
 * and the same for one value of a path. Types only; what each means is docs/decisions/0021.
 *
 * The folder owns questions about events, values worked out of them, and the two evaluators of both, over events in hand and in SQL. It leaves
 * the tree of all/any/not, traits and consents to segments/, and what a computed trait is called to profiles/.
 */
import type { Trust } from '../events/trust.ts';

export type Scalar = string | number | boolean;
export type Path = string;
/** `30d`, `24h`, `15m`, `2w` */
export type Duration = string;
export const calendarUnits = ['day', 'week', 'month', 'quarter', 'year'] as const;
export type CalendarUnit = (typeof calendarUnits)[number];

export const conditionOps = [
  'eq',
  'ne',
  'in',
  'nin',
  'gt',
  'gte',
  'lt',
  'lte',
  'contains',
  'starts_with',
  'exists',
] as const;
export type ConditionOp = (typeof conditionOps)[number];
export type Condition = { property: Path; op: ConditionOp; value: Scalar | Scalar[] } | { any: Condition[] };

/** What is worked out over the events that match; an event asks at most one. */
export const aggregates = ['count', 'days', 'first', 'last', 'distinct', 'sum', 'avg', 'min', 'max'] as const;
export const comparisons = ['gte', 'gt', 'lte', 'lt', 'eq'] as const;
export type Comparison = { gte?: number; gt?: number; lte?: number; lt?: number; eq?: number };

export type Match = {
  event: string | string[];
  channel?: string | string[];
  trust?: Trust;
  where?: Condition[];
  item?: Condition[];
  unless?: { event: string | string[]; same: Path; where?: Condition[] };
};

export type Window = {
  within?: Duration;
  between?: [Duration, Duration];
  calendar?: { unit: CalendarUnit; offset?: number };
  after?: string;
  before?: string;
};

export type AggregateOf = { of: Path } & Comparison;
/** At most one of the aggregates; none is `count: { gte: 1 }`. */
export type EventNode = Match &
  Window & {
    count?: Comparison;
    days?: Comparison;
    first?: true;
    last?: true;
    distinct?: AggregateOf;
    avg?: AggregateOf;
    min?: AggregateOf;
    max?: AggregateOf;
    sum?: AggregateOf & { minus?: Match & { of: Path } };
  };

export type SequenceStep = Match | { no: Match; for?: Duration };
export type SequenceNode = { sequence: SequenceStep[]; in?: Duration; same?: Path } & Window;

export type PerNode = { per: Path; all: (EventNode | { not: EventNode } | SequenceNode)[] };

/** Questions that events alone answer. */
export type BehaviourNode = EventNode | SequenceNode | PerNode;

type Of = { of: Path };
/** A value instead of a yes or no: one aggregate over the matches in the window. `first` and `last` of nothing but `true` are moments. */
export type ValueNode = Match &
  Window & {
    count?: true;
    days?: true;
    first?: true | Of;
    last?: true | Of;
    distinct?: Of;
    most_frequent?: Of;
    avg?: Of;
    min?: Of;
    max?: Of;
    sum?: Of & { minus?: Match & Of };
  };
/** The first divided by the second. Both are numbers. */
export type RatioNode = { ratio: [ValueNode, ValueNode] };
export type ComputedNode = ValueNode | RatioNode;

/** An event that counts, as a question sees it. */
export type BehaviourEvent = {
  /** UUIDv7 of the moment of receipt with the position in the batch: breaks ties of the timestamp. */
  id: string;
  /** Milliseconds since 1970, corrected. */
  timestamp: number;
  event: string;
  channel: string;
  trust: Trust;
  consents: string[];
  properties: Record<string, unknown>;
  context: Record<string, unknown>;
};

/**
 * What a question answers at an instant.
 *
 * `dueAt` is a lower bound, in milliseconds since 1970, of the next instant at which the answer may be another though nothing new
 * became known: an event leaves or enters a window, a period ends. Null: never. It may be too early, never too late.
 */
export type Answer = { holds: boolean; dueAt: number | null };
