/**
 * Steps in order. Going through the events once, each step keeps the chain to it that began last, forgotten when a `{no}` of the gap
 * after it comes by; an event that completes the steps then counts like a match of its own, from one instant until another.
 */
import { earliest, isPresent, type Presence, presenceTally, sweep, walk } from './answer.ts';
import { readerOf } from './conditions.ts';
import { lengthOf } from './duration.ts';
import { type Facts, factsOf, inOrder, isLater, scalarsOf } from './facts.ts';
import { keyOf } from './key.ts';
import type { Answer, BehaviourEvent, SequenceNode } from './language.ts';
import { compileMatch, type Matcher, type Occurrence } from './match.ts';
import { pathsIn } from './path.ts';
import type { Question } from './question.ts';
import { type CompiledWindow, compileWindow } from './windows.ts';

/** What the steps find among events that may be chosen together, a bit for each step. */
type Found = { bit: number; occurrences: Occurrence[] }[];
/** An event with the steps that it matches. */
type Entry = { event: BehaviourEvent; steps: number };
/** The last event chosen, the ones before it, and when the first of them was. */
type Chain = { event: BehaviourEvent; previous: Chain | null; start: number; length: number };

type Plan = {
  /** A bit for each positive step, and the bits of the `{no}` steps right before it. */
  positive: { bit: number; gap: number }[];
  trailing: { bit: number; length: number | null }[];
  within: number;
  window: CompiledWindow;
};

type Step = { matcher: Matcher; bit: number; isNegated: boolean };

/** @param tz of a calendar window */
export function compileSequence(node: SequenceNode, tz: string): Question {
  const steps = node.sequence.map((step, index): Step => {
    const isNegated = 'no' in step;
    return { matcher: compileMatch(isNegated ? step.no : step), bit: 1 << index, isNegated };
  });
  const window = compileWindow(node, tz);
  const plan = planOf(node, window);
  const find = node.same === undefined ? findTogether(steps) : findByValue(steps, readerOf(node.same));
  const mayCancel = steps.some(({ matcher }) => matcher.hasUnless);

  /** As if nothing were cancelled any more, and until when nothing is. */
  function step(groups: Found[], at: number): Answer {
    const completed = groups.flatMap((found) => completions(entriesAt(found, at), plan).completed);
    const { holds, dueAt } = sweep(completed, presenceTally(), at);
    return { holds, dueAt: mayCancel ? earliest(dueAt, nextCancelled(groups, at)) : dueAt };
  }
  return {
    key: `${keyOf(node)}${node.calendar ? tz : ''}`,
    matchers: steps.map(({ matcher }) => matcher),
    paths: pathsIn(node),
    since: (at) => {
      const since = window.since(at);
      return since === null || node.in === undefined ? null : since - plan.within;
    },
    holdsOnNothing: false,
    answer: (facts, at) => {
      const groups = find(facts);
      return mayCancel ? walk(at, (moment) => step(groups, moment)) : step(groups, at);
    },
    account: (facts, at) => {
      const known = (found: Found) => entriesAt(found, at).filter(({ event }) => event.timestamp <= at);
      const all = find(facts).map((found) => completions(known(found), plan));
      const counting = all.flatMap(({ completed }) => completed.filter((presence) => isPresent(presence, at)));
      const chain = counting.at(-1)?.value ?? all.map(({ longest }) => longest).reduce(longer, null);
      return { observed: chain?.length ?? 0, events: eventsOf(chain) };
    },
  };
}

function findTogether(steps: Step[]): (facts: Facts) => Found[] {
  return (facts) => [steps.map(({ matcher, bit }) => ({ bit, occurrences: matcher.occurrences(facts) }))];
}

/** For each value that the first step finds: a `{no}` sees only the events that have it, the `unless` of other steps sees all. */
function findByValue(steps: Step[], read: (event: BehaviourEvent) => unknown[]): (facts: Facts) => Found[] {
  const byValue = <T>(items: T[], eventOf: (item: T) => BehaviourEvent) => {
    const groups = new Map<unknown, T[]>();
    for (const item of items) {
      for (const value of scalarsOf(read(eventOf(item)))) {
        const group = groups.get(value);
        if (group) group.push(item);
        else groups.set(value, [item]);
      }
    }
    return groups;
  };
  const isBlinkered = ({ isNegated, matcher }: Step) => isNegated && matcher.hasUnless;
  return (facts) => {
    const found = steps.map((step) => {
      const occurrences = isBlinkered(step) ? null : byValue(step.matcher.occurrences(facts), ({ event }) => event);
      return { step, occurrences };
    });
    const events = steps.some(isBlinkered) ? byValue(facts.events, (event) => event) : null;
    return [...(found[0]?.occurrences?.keys() ?? [])].map((value) => {
      const seen = events && factsOf(events.get(value) ?? []);
      return found.map(({ step, occurrences }) => ({
        bit: step.bit,
        occurrences: (occurrences ? occurrences.get(value) : seen && step.matcher.occurrences(seen)) ?? [],
      }));
    });
  };
}

function entriesAt(found: Found, at: number): Entry[] {
  const steps = new Map<BehaviourEvent, number>();
  for (const { bit, occurrences } of found) {
    for (const { event, until } of occurrences) if (until > at) steps.set(event, (steps.get(event) ?? 0) | bit);
  }
  return [...steps].map(([event, bits]) => ({ event, steps: bits })).sort((a, b) => inOrder(a.event, b.event));
}

function nextCancelled(groups: Found[], at: number): number | null {
  let next = Infinity;
  for (const { occurrences } of groups.flat())
    for (const { until } of occurrences) if (until > at && until < next) next = until;
  return next === Infinity ? null : next;
}

function planOf(node: SequenceNode, window: CompiledWindow): Plan {
  const positive: Plan['positive'] = [];
  let trailing: Plan['trailing'] = [];
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
