/**
 * What the oracle is asked about: a whole world as it is stored, and definitions in the language of docs/segments.md. Moments are
 * milliseconds since 1970. These types are the oracle's own: it shares nothing with what it judges.
 */

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type Fields = { [name: string]: Json };

export type StoredEvent = {
  id: string;
  timestamp: number;
  /** The sub it was recorded under; null: known by its anonymous id alone. */
  sub: string | null;
  anonymousId: string | null;
  isAttributable: boolean;
  counts: boolean;
  event: string;
  channel: string;
  trust: 'claimed' | 'bound' | 'token' | 'server';
  consents: string[];
  properties: Fields;
  context: Fields;
};

export type World = {
  /** Purposes with the version in force. */
  versions: Record<string, string>;
  subjects: { sub: string; status: string; createdAt: number }[];
  aliases: { absorbed: string; survivor: string }[];
  consents: { id: string; sub: string; purpose: string; version: string; isGranted: boolean; at: number }[];
  personalisation: { id: string; sub: string; isOn: boolean; at: number }[];
  /** Verified ones. */
  identities: { sub: string; kind: string; issuer: string }[];
  /** Every word of it; null: taken away. `isOwn`: said by the person alone. */
  traits: { id: string; sub: string; name: string; value: Json; at: number; isOwn: boolean }[];
  /** Traits of the company that are worked out of events. */
  workings: Working[];
  /** Null: the usual thresholds. */
  rfm: Rfm | null;
  tags: { sub: string; tag: string }[];
  /** Members of the segment carry the tag. */
  tagRules: { tag: string; segment: string }[];
  lists: { segment: string; sub: string }[];
  /** The stretch of time in which events of the anonymous id that have no sub are this one's: from ≤ timestamp < until. */
  bindings: { sub: string; anonymousId: string; from: number; until: number }[];
  events: StoredEvent[];
};

export type Scalar = string | number | boolean;
export type Cond = { property: string; op: string; value: Scalar | Scalar[] } | { any: Cond[] };
export type Cmp = { gte?: number; gt?: number; lte?: number; lt?: number; eq?: number };
export type Unit = 'day' | 'week' | 'month' | 'quarter' | 'year';
export type Window = {
  within?: string;
  between?: [string, string];
  calendar?: { unit: Unit; offset?: number };
  after?: string;
  before?: string;
};
export type Match = {
  event: string | string[];
  channel?: string | string[];
  trust?: string;
  where?: Cond[];
  item?: Cond[];
  unless?: { event: string | string[]; same: string; where?: Cond[] };
};
type Of = { of: string };
export type EventNode = Match &
  Window & {
    count?: Cmp;
    days?: Cmp;
    first?: true;
    last?: true;
    distinct?: Of & Cmp;
    avg?: Of & Cmp;
    min?: Of & Cmp;
    max?: Of & Cmp;
    sum?: Of & Cmp & { minus?: Match & Of };
  };
export type Step = Match | { no: Match; for?: string };
/** A value instead of a yes or no (docs/profiles.md). */
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
export type Working = { name: string; definition: ValueNode | { ratio: [ValueNode, ValueNode] }; tz: string };
/** Thresholds of recency fall, the others rise. */
export type Rfm = {
  recency_days: number[];
  frequency: number[];
  monetary: number[];
  period_days: number;
  high: { recency: number; frequency: number; monetary: number };
};
export type SequenceNode = Window & { sequence: Step[]; in?: string; same?: string };
export type PerNode = { per: string; all: (EventNode | { not: EventNode } | SequenceNode)[] };
export type TraitNode = { trait: string; op: string; value: Scalar | Scalar[] };
export type HasNode =
  | { tag: string }
  | { segment: string }
  | { consent: string }
  | { identity: string; issuer?: string }
  | { sample: { percent: number; salt: string } };
export type Node =
  | { all: Node[] }
  | { any: Node[] }
  | { not: Node }
  | PerNode
  | EventNode
  | SequenceNode
  | TraitNode
  | HasNode;
/** A manual list has a purpose and no `where`. */
export type Definition = { key: string; purpose: string; tz?: string; where?: Node };
