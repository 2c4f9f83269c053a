/** Questions about what a person did, answered from events in hand. A definition is compiled once and asked many times. */
import { compileEvent } from './aggregates.ts';
import type { BehaviourNode } from './language.ts';
import { compilePer } from './per.ts';
import type { Question } from './question.ts';
import { compileSequence } from './sequence.ts';

/** @param node validated @param tz of calendar windows and days */
export function compileBehaviour(node: BehaviourNode, tz: string): Question {
  if ('per' in node) return compilePer(node, tz);
  return 'sequence' in node ? compileSequence(node, tz) : compileEvent(node, tz);
}
