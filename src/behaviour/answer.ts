/** How answers join, and how the moment is found at which one changes by time alone. */
import type { Answer } from './language.ts';

export const always: Answer = { holds: true, dueAt: null };

export function earliest(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.min(a, b);
}

/** A false one can become true once every false part could have; a true one falls with the first of its parts. */
export function allOf(answers: Answer[]): Answer {
  return joined(answers, true);
}

export function anyOf(answers: Answer[]): Answer {
  return joined(answers, false);
}

function joined(answers: Answer[], neutral: boolean): Answer {
  let decided: number | null = -Infinity;
  let first: number | null = null;
  let isNeutral = true;
  for (const { holds, dueAt } of answers) {
    if (holds === neutral) first = earliest(first, dueAt);
    else {
      isNeutral = false;
      decided = decided === null || dueAt === null ? null : Math.max(decided, dueAt);
    }
  }
  return isNeutral ? { holds: neutral, dueAt: first } : { holds: !neutral, dueAt: decided };
}

export function notOf({ holds, dueAt }: Answer): Answer {
  return { holds: !holds, dueAt };
}

/** Enough for every definition met; what takes longer is asked again, too early and never too late. */
const mostSteps = 20;
const mostMoments = 500;

/** An answer of which each step says no more than until when it surely stands: steps on until it turns. */
export function walk(at: number, step: (at: number) => Answer): Answer {
  const { holds, dueAt } = step(at);
  let due = dueAt;
  for (let steps = 0; due !== null && steps < mostSteps; steps++) {
    const next = step(due);
    if (next.holds !== holds) break;
    due = next.dueAt;
  }
  return { holds, dueAt: due };
}

/** Something that counts from one instant (included) to another (excluded), `Infinity` for ever. */
export type Presence<T> = { value: T; from: number; until: number };

/** What is present, told one by one. */
export type Tally<T> = { add(value: T): void; remove(value: T): void; holds(): boolean };

export function isPresent({ from, until }: { from: number; until: number }, at: number): boolean {
  return from <= at && at < until;
}

/** Holds while anything is present. */
export function presenceTally(): Tally<unknown> {
  let count = 0;
  return { add: () => void count++, remove: () => void count--, holds: () => count > 0 };
}

/** What a tally says at an instant, and when comings and goings turn it. */
export function sweep<T>(presences: Presence<T>[], tally: Tally<T>, at: number): Answer {
  const changes: { at: number; value: T; isComing: boolean }[] = [];
  for (const { value, from, until } of presences) {
    if (until <= at || from >= until) continue;
    if (from <= at) tally.add(value);
    else changes.push({ at: from, value, isComing: true });
    if (until !== Infinity) changes.push({ at: until, value, isComing: false });
  }
  const holds = tally.holds();
  if (!changes.length) return { holds, dueAt: null };
  changes.sort((a, b) => a.at - b.at);
  let moments = 0;
  for (let index = 0; index < changes.length; ) {
    const moment = changes[index]?.at ?? 0;
    for (let change = changes[index]; change && change.at === moment; change = changes[++index]) {
      if (change.isComing) tally.add(change.value);
      else tally.remove(change.value);
    }
    if (tally.holds() !== holds || ++moments === mostMoments) return { holds, dueAt: moment };
  }
  return { holds, dueAt: null };
}
