/**
 * Who is in a segment at an instant, from a person in hand. A definition is compiled once; one evaluation asks any number of segments
 * about one person, and what is equal in them (a condition, a match, a segment referred to) is worked out once.
 */
import { hash } from 'node:crypto';
import { allOf, always, anyOf, earliest, notOf } from '../behaviour/answer.ts';
import { compileBehaviour } from '../behaviour/evaluate.ts';
import { type Facts, factsOf, remembered } from '../behaviour/facts.ts';
import type { Answer, BehaviourNode, Scalar } from '../behaviour/language.ts';
import { byText } from '../behaviour/per.ts';
import { type Account, mostValues, type Question } from '../behaviour/question.ts';
import type { ComputedTrait } from '../profiles/trait.ts';
import type { HasNode, Node, Segment, TraitNode } from './definition.ts';
import type { Person } from './person.ts';
import { compileTrait } from './traits.ts';

export type Membership = {
  isMember: boolean;
  /** Milliseconds since 1970: until then time alone changes neither the membership nor `matched`. Null: never. */
  dueAt: number | null;
  /** The values of each Per path that the member is one for; null when there are none, and of who is no member. */
  matched: Record<string, Scalar[]> | null;
};

/** Why somebody cannot be a member, whatever they did. */
export type Bar = 'not_active' | 'no_consent' | 'personalisation_off';

export type CompiledSegment = {
  segment: Segment;
  root: Clause;
  evaluate(person: Person, at: number): Membership;
  /** The same within an evaluation that other segments share. */
  evaluateIn(evaluation: Evaluation): Membership;
  barOf(person: Person): Bar | null;
  /** What the definition reads: all it asks of events, names of traits and tags, keys of segments. */
  reads: {
    questions: Pick<Question, 'matchers' | 'paths' | 'since'>[];
    traits: string[];
    tags: string[];
    segments: string[];
  };
};

export type Evaluation = {
  person: Person;
  at: number;
  purposes: Map<string, { facts: Facts; answers: Map<string, ReturnType<Question['answer']>> }>;
  standings: Map<CompiledSegment, Answer>;
};

/** One person at one instant, for as many segments as one likes. */
export function createEvaluation(person: Person, at: number): Evaluation {
  return { person, at, purposes: new Map(), standings: new Map() };
}

/** One node of a definition, compiled. */
export type Clause = {
  node: Node;
  /** Where it stands: `where.all[0].not`. */
  path: string;
  parts: Clause[];
  answer(evaluation: Evaluation): Answer;
  /** What the answer rests on: of a question about events, and the value of a trait. */
  account?(evaluation: Evaluation): { observed: unknown } & Partial<Omit<Account, 'observed'>>;
};

export type CompileOptions = {
  /** The segment in force under a key, a list too: its definition is itself, which means whom it names. */
  segmentOf(key: string): CompiledSegment | undefined;
  /** A trait that is worked out of events; undefined for a declared one, whose value the person has. */
  traitOf?: (name: string) => Pick<ComputedTrait, 'question'> | undefined;
  /** Keys of the segments whose members carry the tag. */
  segmentsTagging?: (tag: string) => string[];
};

/** @param segment validated */
export function compileSegment(
  segment: Segment,
  { segmentOf, traitOf = () => undefined, segmentsTagging = () => [] }: CompileOptions,
): CompiledSegment {
  const { purpose, tz } = segment;
  const reads: CompiledSegment['reads'] = { questions: [], traits: [], tags: [], segments: [] };
  const pers: Question[] = [];

  function compile(node: Node, path: string, isNegated: boolean): Clause {
    if ('per' in node) return behaviour(node, path, isNegated);
    if ('all' in node || 'any' in node) return joined(node, path, isNegated);
    if ('not' in node) {
      const part = compile(node.not, `${path}.not`, true);
      return { node, path, parts: [part], answer: (evaluation) => notOf(part.answer(evaluation)) };
    }
    if ('event' in node || 'sequence' in node) return behaviour(node, path, isNegated);
    return { node, path, parts: [], ...('trait' in node ? trait(node) : { answer: has(node) }) };
  }
  function joined(node: { all: Node[] } | { any: Node[] }, path: string, isNegated: boolean): Clause {
    const [nodes, name, join] =
      'all' in node ? ([node.all, 'all', allOf] as const) : ([node.any, 'any', anyOf] as const);
    const parts = nodes.map((part, index) => compile(part, `${path}.${name}[${index}]`, isNegated));
    return { node, path, parts, answer: (evaluation) => join(parts.map((part) => part.answer(evaluation))) };
  }
  function behaviour(node: BehaviourNode, path: string, isNegated: boolean): Clause {
    const question = compileBehaviour(node, tz);
    reads.questions.push(question);
    if ('per' in node && !isNegated) pers.push(question);
    return {
      node,
      path,
      parts: [],
      answer: (evaluation) => answerOf(question, purpose, evaluation),
      account: (evaluation) => question.account(factsFor(purpose, evaluation).facts, evaluation.at),
    };
  }
  function trait(node: TraitNode): Pick<Clause, 'answer' | 'account'> {
    const test = compileTrait(node, tz);
    reads.traits.push(node.trait);
    const question = traitOf(node.trait)?.question;
    if (question) reads.questions.push(question);
    const valueIn = (evaluation: Evaluation): { value: unknown; dueAt: number | null } => {
      if (!question) return { value: evaluation.person.traits.get(node.trait) ?? null, dueAt: null };
      const { facts } = factsFor(purpose, evaluation);
      return remembered(facts, `computed ${question.key}`, () => question.value(facts, evaluation.at));
    };
    return {
      answer: (evaluation) => {
        const { value, dueAt } = valueIn(evaluation);
        const answer = test(value, evaluation.at);
        return { holds: answer.holds, dueAt: earliest(answer.dueAt, dueAt) };
      },
      account: (evaluation) => ({ observed: valueIn(evaluation).value ?? null }),
    };
  }
  function has(node: HasNode): Clause['answer'] {
    if ('segment' in node) return memberOf(node.segment);
    const test = compileHas(node);
    const given: Clause['answer'] = ({ person }) => plain(test(person));
    if (!('tag' in node)) return given;
    reads.tags.push(node.tag);
    const ways = [given, ...segmentsTagging(node.tag).map(memberOf)];
    return (evaluation) => anyOf(ways.map((answer) => answer(evaluation)));
  }
  function memberOf(key: string): Clause['answer'] {
    reads.segments.push(key);
    return (evaluation) => {
      const other = key === segment.key ? undefined : segmentOf(key);
      return other ? standingOf(other, evaluation) : plain(evaluation.person.lists.has(key));
    };
  }

  const compiled: CompiledSegment = {
    segment,
    reads,
    root: compile(segment.where, 'where', false),
    barOf: (person) => {
      if (!person.isActive) return 'not_active';
      if (purpose !== 'service' && !person.agreed.has(purpose)) return 'no_consent';
      return person.isPersonalised ? null : 'personalisation_off';
    },
    evaluate: (person, at) => compiled.evaluateIn(createEvaluation(person, at)),
    evaluateIn: (evaluation) => {
      const { holds, dueAt } = standingOf(compiled, evaluation);
      if (!holds || !pers.length) return { isMember: holds, dueAt, matched: null };
      const values = pers
        .map((per) => answerOf(per, purpose, evaluation).values)
        .filter((found) => found !== undefined);
      return {
        isMember: true,
        dueAt: values.reduce((due, found) => earliest(due, found.dueAt), dueAt),
        matched: matchedOf(values),
      };
    },
  };
  return compiled;
}

function plain(holds: boolean): Answer {
  return holds ? always : { holds: false, dueAt: null };
}

/** Whether somebody is a member, without the values. A definition that leads back to itself makes nobody one. */
function standingOf(compiled: CompiledSegment, evaluation: Evaluation): Answer {
  const known = evaluation.standings.get(compiled);
  if (known) return known;
  evaluation.standings.set(compiled, plain(false));
  const standing = compiled.barOf(evaluation.person) ? plain(false) : compiled.root.answer(evaluation);
  evaluation.standings.set(compiled, standing);
  return standing;
}

/** The events that were collected under a purpose; all of them were for the service. */
function factsFor(purpose: string, { person, purposes }: Evaluation) {
  const known = purposes.get(purpose);
  if (known) return known;
  const events =
    purpose === 'service' ? person.events : person.events.filter(({ consents }) => consents.includes(purpose));
  const made = { facts: factsOf(events), answers: new Map() };
  purposes.set(purpose, made);
  return made;
}

function answerOf(question: Question, purpose: string, evaluation: Evaluation) {
  const { facts, answers } = factsFor(purpose, evaluation);
  const known = answers.get(question.key);
  if (known) return known;
  const answer = question.answer(facts, evaluation.at);
  answers.set(question.key, answer);
  return answer;
}

function compileHas(node: Exclude<HasNode, { segment: string }>): (person: Person) => boolean {
  if ('tag' in node) return ({ tags }) => tags.has(node.tag);
  if ('consent' in node) return ({ agreed }) => node.consent === 'service' || agreed.has(node.consent);
  if ('identity' in node) {
    return ({ identities }) =>
      identities.some(
        ({ kind, issuer }) => kind === node.identity && (node.issuer === undefined || issuer === node.issuer),
      );
  }
  const { percent, salt } = node.sample;
  return ({ sub }) => (Number.parseInt(hash('md5', `${salt}:${sub}`).slice(0, 8), 16) / 2 ** 32) * 100 < percent;
}

function matchedOf(values: { path: string; satisfying: Scalar[] }[]): Membership['matched'] {
  const byPath = Map.groupBy(
    values.filter(({ satisfying }) => satisfying.length),
    ({ path }) => path,
  );
  if (!byPath.size) return null;
  return Object.fromEntries(
    [...byPath].map(([path, found]) => {
      const [only] = found;
      if (only && found.length === 1) return [path, only.satisfying];
      const all = new Set(found.flatMap(({ satisfying }) => satisfying));
      return [path, [...all].sort(byText).slice(0, mostValues)];
    }),
  );
}
