/**
 * Questions about what everybody did, as parts of one SQL statement: what a backfill and a preview run. The live evaluator asks the same
 * of one person's events in hand; a test holds the two against each other.
 *
 * sql/statement.ts holds the statement together, conditions.ts and windows.ts say which events, events.ts where they come from, and
 * aggregates.ts, alone.ts, sequence.ts and per.ts what is asked of them; relations.ts puts answers together.
 */
import type { BehaviourNode, PerNode } from './language.ts';
import { perUnit } from './sql/per.ts';
import { negatedUnit, type Term } from './sql/relations.ts';
import { sequenceUnit } from './sql/sequence.ts';
import type { Relation, Statement } from './sql/statement.ts';

/** @param onPer told the relation of a Per, whose `matched` and `values_due` are wanted besides */
export function behaviourTerm(
  q: Statement,
  node: BehaviourNode,
  isNegated: boolean,
  onPer: (node: PerNode, relation: Relation) => void,
): Term {
  if ('event' in node) return { node, isNegated };
  if ('sequence' in node) return signed(q, sequenceUnit(q, node), isNegated);
  const unit = perUnit(q, node);
  const told = {
    ...unit,
    relation(scope: Parameters<typeof unit.relation>[0]) {
      const relation = unit.relation(scope);
      onPer(node, relation);
      return relation;
    },
  };
  return signed(q, told, isNegated);
}

function signed(q: Statement, unit: ReturnType<typeof sequenceUnit>, isNegated: boolean): Term {
  return isNegated ? negatedUnit(q, unit) : unit;
}
