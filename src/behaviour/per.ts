/** The same for one value of a path: every member is asked about the events that have the value, and about no others. */
import { compileEvent } from './aggregates.ts';
import { allOf, always, anyOf, earliest, notOf, type Presence, presenceTally, sweep } from './answer.ts';
import { readerOf } from './conditions.ts';
import { type Facts, factsOf, inOrder, scalarsOf } from './facts.ts';
import { keyOf } from './key.ts';
import type { Answer, BehaviourEvent, PerNode, Scalar } from './language.ts';
import type { Matcher, Occurrence } from './match.ts';
import { pathsIn } from './path.ts';
import { mostCandidates, mostValues, type Question } from './question.ts';
import { compileSequence } from './sequence.ts';

type Member = { question: Question; isNegated: boolean };

/** @param tz of the members */
export function compilePer(node: PerNode, tz: string): Question {
  const members = node.all.map((member): Member => {
    if ('not' in member) return { question: compileEvent(member.not, tz), isNegated: true };
    const question = 'sequence' in member ? compileSequence(member, tz) : compileEvent(member, tz);
    return { question, isNegated: false };
  });
  const all = members.flatMap(({ question }) => question.matchers);
  const matchers = [...new Map(all.map((matcher) => [matcher.key, matcher])).values()];
  const read = readerOf(node.per);
  // Without a member that needs an event in its window, a value counts that was seen once, however long ago. So it does where events cancel
  // others: what a member finds among those of the value alone may be cancelled among all, and then an older match is what the value was seen by.
  const isSeenByEvents =
    members.some(({ question, isNegated }) => !isNegated && !question.holdsOnNothing) &&
    !matchers.some(({ hasUnless }) => hasUnless);

  const answersAt = (facts: Facts, at: number) =>
    [...candidatesOf(facts, matchers, read)].map(([value, { own, presences }]) => {
      const seen = isSeen(presences, at);
      const asked = members.map(({ question, isNegated }) => {
        const answer = question.answer(own, at);
        return isNegated ? notOf(answer) : answer;
      });
      return { value, own, asked, answer: allOf([seen, ...asked]) };
    });
  return {
    key: `${keyOf(node)} ${members.map(({ question }) => question.key).join()}`,
    matchers,
    paths: pathsIn(node),
    since: (at) => {
      const sinces = members.map(({ question }) => question.since(at));
      return isSeenByEvents && sinces.every((since) => since !== null) ? Math.min(...sinces) : null;
    },
    holdsOnNothing: false,
    answer: (facts, at) => {
      const answers = answersAt(facts, at);
      const whole = anyOf(answers.map(({ answer }) => answer));
      const dueAt = answers.reduce((due: number | null, { answer }) => earliest(due, answer.dueAt), null);
      return { ...whole, values: { path: node.per, satisfying: satisfying(answers), dueAt } };
    },
    account: (facts, at) => {
      const answers = answersAt(facts, at);
      const nearest = answers
        .toSorted((a, b) => nearness(b) - nearness(a) || byText(a.value, b.value))
        .slice(0, mostCandidates);
      const accounts = nearest.map(({ value, own, asked, answer }) => ({
        candidate: { value, holds: answer.holds },
        members: members.map(({ question }, index) => ({
          holds: asked[index]?.holds ?? false,
          ...question.account(own, at),
        })),
      }));
      const resting = accounts.filter(({ candidate }) => candidate.holds || !accounts[0]?.candidate.holds);
      const events = new Set(resting.flatMap(({ members }) => members.flatMap(({ events }) => events)));
      return {
        observed: answers.filter(({ answer }) => answer.holds).length,
        events: [...events].sort(inOrder),
        candidates: accounts.map(({ candidate, members }) => ({
          ...candidate,
          members: members.map(({ holds, observed }) => ({ holds, observed })),
        })),
      };
    },
  };
}

type Seen = { own: Facts; presences: Presence<BehaviourEvent>[] };

/** The values of all matches of all members, whatever their windows, and of each the events that the members see. */
function candidatesOf(
  facts: Facts,
  matchers: Matcher[],
  read: (event: BehaviourEvent) => unknown[],
): Map<Scalar, Seen> {
  const candidates = new Map<Scalar, Seen>();
  for (const matcher of matchers) {
    for (const occurrence of matcher.occurrences(facts)) {
      const { event, until } = occurrence;
      for (const value of scalarsOf(read(event))) {
        const { own, presences } = candidates.get(value) ?? newCandidate(matchers);
        if (!presences.length) candidates.set(value, { own, presences });
        presences.push({ value: event, from: event.timestamp, until });
        // What matches among all events matches among its own too, unless others there are to cancel it.
        if (!matcher.hasUnless) (own.remembered.get(matcher.key) as Occurrence[]).push(occurrence);
      }
    }
  }
  const cancellable = matchers.filter(({ hasUnless }) => hasUnless);
  if (cancellable.length) {
    for (const event of facts.events) {
      if (!cancellable.some((matcher) => matcher.isTouchedBy(event.event, event.channel))) continue;
      for (const value of scalarsOf(read(event))) candidates.get(value)?.own.events.push(event);
    }
  }
  return candidates;
}

function newCandidate(matchers: Matcher[]): Seen {
  const found = matchers.filter(({ hasUnless }) => !hasUnless).map(({ key }): [string, Occurrence[]] => [key, []]);
  return { own: factsOf([], new Map(found)), presences: [] };
}

function isSeen(presences: Presence<BehaviourEvent>[], at: number): Answer {
  if (presences.some(({ from, until }) => from <= at && until === Infinity)) return always;
  return sweep(presences, presenceTally(), at);
}

function nearness({ answer, asked }: { answer: Answer; asked: Answer[] }): number {
  return answer.holds ? Infinity : asked.filter(({ holds }) => holds).length;
}

/** By text, as code points are ordered; a boolean before a number before a string of the same text. */
function satisfying(answers: { value: Scalar; answer: Answer }[]): Scalar[] {
  const found = answers.filter(({ answer }) => answer.holds).map(({ value }) => value);
  return found.sort(byText).slice(0, mostValues);
}

export function byText(a: Scalar, b: Scalar): number {
  const [left, right] = [String(a), String(b)];
  if (left === right) return typeof a < typeof b ? -1 : typeof a > typeof b ? 1 : 0;
  return Buffer.compare(Buffer.from(left), Buffer.from(right));
}
