/** A compiled question about what one person did. */
import type { Facts } from './facts.ts';
import type { Answer, BehaviourEvent, Path, Scalar } from './language.ts';
import type { Matcher } from './match.ts';

export type Question = {
  /** Equal for questions that always have one answer. */
  key: string;
  /** @param at milliseconds since 1970; facts after it may be among the facts */
  answer(facts: Facts, at: number): Answer & { values?: Values };
  /** What the answer at this instant rests on; slower. */
  account(facts: Facts, at: number): Account;
  /** Every match that can change the answer. */
  matchers: Matcher[];
  /** All that it reads of an event besides what every event has. */
  paths: Path[];
  /** Events up to this timestamp (included) change no answer at this instant or later; null: all may. */
  since(at: number): number | null;
  /** Whether the answer about a person without events may be yes. */
  holdsOnNothing: boolean;
};

/** The values of a path that satisfy a Per, at most `mostValues` in order. They may be others from `dueAt` on. */
export type Values = { path: Path; satisfying: Scalar[]; dueAt: number | null };
export const mostValues = 100;

export type Account = {
  /** The number that was compared (of a sequence the positive steps reached, of a Per the values that satisfy); null when there is none. */
  observed: number | null;
  /** In order. */
  events: BehaviourEvent[];
  /** Of a Per: the values nearest to satisfying it, those that do first, with what each member says of them. */
  candidates?: Candidate[];
};

export type Candidate = { value: Scalar; holds: boolean; members: { holds: boolean; observed: number | null }[] };
export const mostCandidates = 10;
