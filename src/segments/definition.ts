/** The definition of a segment as data. What each node means is docs/decisions/0021. */
import {
  type BehaviourNode,
  type CalendarUnit,
  conditionOps,
  type Duration,
  type Scalar,
} from '../behaviour/language.ts';

export const traitOps = [...conditionOps, 'in_last', 'in_next', 'anniversary_in'] as const;
export type TraitOp = (typeof traitOps)[number];
export type TraitNode = { trait: string; op: TraitOp; value: Scalar | Scalar[] | Duration | `this_${CalendarUnit}` };

export type HasNode =
  | { tag: string }
  | { segment: string }
  | { consent: string }
  | { identity: string; issuer?: string }
  | { sample: { percent: number; salt: string } };

export type Node = { all: Node[] } | { any: Node[] } | { not: Node } | BehaviourNode | TraitNode | HasNode;

export type Segment = {
  version: 1;
  key: string;
  name: string;
  purpose: string;
  /** IANA name; `Asia/Shanghai` unless said. */
  tz: string;
  where: Node;
};
