/**
 * Steps in order. Going through the events once, each step keeps the chain to it that began last, forgotten when a `{no}` of the gap
 * after it comes by; an event that completes the steps then counts like a match of its own, from one instant until another.
 */
import { earliest, isPresent, type Presence, presenceTally, sweep, walk } from './answer.ts';
import { readerOf } from './conditions.ts';
import { lengthOf } from './duration.ts';
import { type Facts, inOrder, isLater, scalarsOf } from './facts.ts';
import { keyOf } from './key.ts';
import type { Answer, BehaviourEvent, SequenceNode } from './language.ts';
import { compileMatch } from './match.ts';
import type { Question } from './question.ts';
import { type CompiledWindow, compileWindow } from './windows.ts';

/** An event with the steps that it matches, a bit for each. */
type Entry = { event: BehaviourEvent; steps: number };
/** The last event chosen, the ones before it, and when the first of them was. */
type Chain = { event: BehaviourEvent; previous: Chain | null; start: number; length: number };
type Trailing = { bit: number; length: number | null };

type Plan = {
  /** A bit for each positive step, and the bits of the `{no}` steps right before it. */
  positive: { bit: number; gap: number }[];
  trailing: Trailing[];
  within: number;
  window: CompiledWindow;
};

/** @param tz of a calendar window */
export function compileSequence(node: SequenceNode, tz: string): Question {
  const matchers = node.sequence.map((step) => compileMatch('no' in step ? step.no : step));
  const window = compileWindow(node, tz);
  const plan = planOf(node, window);
  const read = node.same === undefined ? null : readerOf(node.same);
  const mayCancel = matchers.some(({ hasUnless }) => hasUnless);

  function entriesAt(facts: Facts, at: number): Entry[] {
    const steps = new Map<BehaviourEvent, number>();
    matchers.forEach((matcher, index) => {
      for (const { event, until } of matcher.occurrences(facts))
        if (until > at) steps.set(event, (steps.get(event) ?? 0) | (1 << index));
    });
    return [...steps].map(([event, bits]) => ({ event, steps: bits })).sort((a, b) => inOrder(a.event, b.event));
  }
  /** The matches of an instant as if none were cancelled any more, and until when none is. */
  function step(facts: Facts, at: number): Answer {
    const completed = groupsOf(entriesAt(facts, at), read).flatMap((entries) => completions(entries, plan).completed);
    const { holds, dueAt } = sweep(completed, presenceTally(), at);
    return { holds, dueAt: mayCancel ? earliest(dueAt, nextCancelled(facts, at)) : dueAt };
  }
  function nextCancelled(facts: Facts, at: number): number | null {
    let next = Infinity;
    for (const matcher of matchers)
      for (const { until } of matcher.occurrences(facts)) if (until > at && until < next) next = until;
    return next === Infinity ? null : next;
  }
  return {
    key: `${keyOf(node)}${node.calendar ? tz : ''}`,
    matchers,
    since: (at) => {
      const since = window.since(at);
      return since === null || node.in === undefined ? null : since - plan.within;
    },
    holdsOnNothing: false,
    answer: (facts, at) => (mayCancel ? walk(at, (moment) => step(facts, moment)) : step(facts, at)),
    account: (facts, at) => {
      const entries = entriesAt(facts, at).filter(({ event }) => event.timestamp <= at);
      const all = groupsOf(entries, read).map((group) => completions(group, plan));
      const chains = all.flatMap(({ completed }) => completed.filter((presence) => isPresent(presence, at)));
      const chain = chains.at(-1)?.value ?? all.map(({ longest }) => longest).reduce(longer, null);
      return { observed: chain?.length ?? 0, events: eventsOf(chain) };
    },
  };
}

function planOf(node: SequenceNode, window: CompiledWindow): Plan {
  const positive: Plan['positive'] = [];
  let trailing: Trailing[] = [];
  node.sequence.forEach((step, index) => {
    const bit = 1 << index;
    if ('no' in step) {
      trailing.push({ bit, length: step.for === undefined ? null : lengthOf(step.for) });
    } else {
      positive.push({ bit, gap: trailing.reduce((bits, no) => bits | no.bit, 0) });
      trailing = [];
    }
  });
  return { positive, trailing, window, within: node.in === undefined ? Infinity : lengthOf(node.in) };
}

/** Without `same` all events together, with it those of each value. */
function groupsOf(entries: Entry[], read: ((event: BehaviourEvent) => unknown[]) | null): Entry[][] {
  if (!read) return [entries];
  const groups = new Map<unknown, Entry[]>();
  for (const entry of entries) {
    for (const value of scalarsOf(read(entry.event))) {
      const group = groups.get(value);
      if (group) group.push(entry);
      else groups.set(value, [entry]);
    }
  }
  return [...groups.values()];
}

function completions(entries: Entry[], plan: Plan): { completed: Presence<Chain>[]; longest: Chain | null } {
  const { positive, within, trailing } = plan;
  const open: (Chain | null)[] = positive.map(() => null);
  const completed: Presence<Chain>[] = [];
  const following = trailing.map(({ bit }) => followingMatches(entries, bit));
  let longest: Chain | null = null;
  entries.forEach(({ event, steps }, index) => {
    // From the last step to the first: what a step reads of the one before it is from before this event.
    for (let at = positive.length - 1; at >= 0; at--) {
      const { bit, gap } = positive[at] ?? { bit: 0, gap: 0 };
      const previous = at > 0 ? (open[at - 1] ?? null) : null;
      if (at > 0 && steps & gap) open[at - 1] = null;
      if (!(steps & bit) || (at > 0 && !previous)) continue;
      const chain: Chain = {
        event,
        previous,
        start: previous?.start ?? event.timestamp,
        length: (previous?.length ?? 0) + 1,
      };
      longest = longer(longest, chain);
      if (at < positive.length - 1) {
        if (chain.start >= (open[at]?.start ?? -Infinity)) open[at] = chain;
      } else if (event.timestamp - chain.start <= within) {
        const next = following.map((matches) => matches[index] ?? Infinity);
        completed.push({ value: chain, ...standing(event.timestamp, next, plan) });
      }
    }
  });
  return { completed, longest };
}

/** Of each entry, when the next one after it is that matches. */
function followingMatches(entries: Entry[], bit: number): number[] {
  let next = Infinity;
  return entries
    .map(({ event, steps }) => ({ steps, timestamp: event.timestamp }))
    .reverse()
    .map(({ steps, timestamp }) => {
      const found = next;
      if (steps & bit) next = timestamp;
      return found;
    })
    .reverse();
}

/** When a completed sequence counts: while its last event lies in the window, and nothing that may not follow has. */
function standing(timestamp: number, next: number[], { trailing, window }: Plan): { from: number; until: number } {
  let from = window.enters(timestamp);
  let until = window.leaves(timestamp);
  trailing.forEach(({ length }, index) => {
    const following = next[index] ?? Infinity;
    if (length === null) until = Math.min(until, following);
    else if (following <= timestamp + length) until = -Infinity;
    else from = Math.max(from, timestamp + length);
  });
  return { from, until };
}

function longer(a: Chain | null, b: Chain | null): Chain | null {
  if (!a || !b) return a ?? b;
  return b.length > a.length || (b.length === a.length && isLater(b.event, a.event)) ? b : a;
}

function eventsOf(chain: Chain | null): BehaviourEvent[] {
  return chain ? [...eventsOf(chain.previous), chain.event] : [];
}
