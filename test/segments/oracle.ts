/**
 * Who is in which segment at an instant, and by which values: the brute force that live evaluation and backfill are held
 * against. Written from docs/segments.md, docs/decisions/0021 and docs/profiles.md alone, by enumerating and filtering, with
 * nothing shared with src: two programs that agree by accident are unlikely, two that share a function agree always.
 */
import { createHash } from 'node:crypto';
import { has, isLater, select } from './oracle-matches.ts';
import { workedOut } from './oracle-traits.ts';
import {
  byText,
  comesBack,
  compare,
  dayIn,
  different,
  type Exact,
  exact,
  holdsOf,
  isInside,
  lengthOf,
  meets,
  minus,
  numeric,
  period,
  plus,
  reach,
  readDate,
} from './oracle-values.ts';
import type {
  Cmp,
  Definition,
  EventNode,
  Json,
  Match,
  Node,
  PerNode,
  Scalar,
  SequenceNode,
  StoredEvent,
  TraitNode,
  Unit,
  World,
} from './oracle-world.ts';

export type Matched = Record<string, Scalar[]>;
/** Members of each segment by its key, each with what the language calls `matched`. */
export type Membership = Map<string, Map<string, Matched>>;

/** One person as one definition sees them at one instant. */
type View = { world: World; definitions: Definition[]; sub: string; t: number; tz: string; events: StoredEvent[] };

export function membersAt(world: World, definitions: Definition[], t: number): Membership {
  const members = (definition: Definition) =>
    world.subjects.flatMap(({ sub }): [string, Matched][] => {
      const matched = membershipOf({ world, definitions, sub, t }, definition);
      return matched ? [[sub, matched]] : [];
    });
  return new Map(definitions.map((definition) => [definition.key, new Map(members(definition))]));
}

type Asked = { world: World; definitions: Definition[]; sub: string; t: number };

/** Undefined: no member. */
export function membershipOf({ world, definitions, sub, t }: Asked, definition: Definition): Matched | undefined {
  if (!isMember(world, definitions, definition, sub, t)) return undefined;
  return definition.where ? matchedOf(definition.where, viewOf(world, definitions, definition, sub, t)) : {};
}

/** Whatever they did. */
export function mayBeMember(world: World, { purpose }: Definition, sub: string): boolean {
  return (
    world.subjects.some((subject) => subject.sub === sub && subject.status === 'active') &&
    hasAgreed(world, sub, purpose) &&
    isPersonalised(world, sub)
  );
}

function isMember(world: World, definitions: Definition[], definition: Definition, sub: string, t: number): boolean {
  return (
    mayBeMember(world, definition, sub) &&
    (definition.where
      ? holds(definition.where, viewOf(world, definitions, definition, sub, t))
      : world.lists.some((entry) => entry.segment === definition.key && subsOf(world, sub).includes(entry.sub)))
  );
}

// Facts

const subsOf = (world: World, sub: string) => [
  sub,
  ...world.aliases.filter(({ survivor }) => survivor === sub).map(({ absorbed }) => absorbed),
];

function newest<T extends { at: number; id: string }>(rows: T[]): T | undefined {
  return rows.toSorted((a, b) => a.at - b.at || (a.id < b.id ? -1 : 1)).at(-1);
}

const wordOf = (world: World, sub: string, purpose: string) =>
  newest(world.consents.filter((said) => said.purpose === purpose && subsOf(world, sub).includes(said.sub)));

function hasAgreed(world: World, sub: string, purpose: string): boolean {
  if (purpose === 'service') return true;
  const word = wordOf(world, sub, purpose);
  return word?.isGranted === true && word.version === world.versions[purpose];
}

function isPersonalised(world: World, sub: string): boolean {
  return newest(world.personalisation.filter((said) => subsOf(world, sub).includes(said.sub)))?.isOn ?? true;
}

/** In order, none later than t. */
function eventsOf(world: World, sub: string, purpose: string, t: number): StoredEvent[] {
  const subs = wordOf(world, sub, 'profiling')?.isGranted ? subsOf(world, sub) : [sub];
  const bindings = world.bindings.filter((binding) => subs.includes(binding.sub));
  const isLookedBackTo = (event: StoredEvent) =>
    event.sub === null &&
    event.isAttributable &&
    bindings.some(
      ({ anonymousId, from, until }) =>
        anonymousId === event.anonymousId && from <= event.timestamp && event.timestamp < until,
    );
  return world.events
    .filter((event) => event.timestamp <= t && event.counts)
    .filter((event) => purpose === 'service' || event.consents.includes(purpose))
    .filter((event) => (event.sub !== null && subs.includes(event.sub)) || isLookedBackTo(event))
    .map((event) => (event.sub === null && event.trust === 'claimed' ? { ...event, trust: 'bound' as const } : event))
    .sort((a, b) => (isLater(a, b) ? 1 : -1));
}

function viewOf(world: World, definitions: Definition[], definition: Definition, sub: string, t: number): View {
  const { tz = 'Asia/Shanghai', purpose } = definition;
  return { world, definitions, sub, t, tz, events: eventsOf(world, sub, purpose, t) };
}

// Nodes

function holds(node: Node, view: View): boolean {
  if ('all' in node && !('per' in node)) return node.all.every((one) => holds(one, view));
  if ('any' in node) return node.any.some((one) => holds(one, view));
  if ('not' in node) return !holds(node.not, view);
  if ('per' in node) return satisfying(node, view).length > 0;
  if ('event' in node) return holdsEvent(node, view);
  if ('sequence' in node) return holdsSequence(node, view);
  if ('trait' in node) return holdsTrait(node, view);
  const { world, sub } = view;
  if ('tag' in node) {
    const rules = world.tagRules.filter(({ tag }) => tag === node.tag);
    return (
      world.tags.some((entry) => entry.tag === node.tag && subsOf(world, sub).includes(entry.sub)) ||
      rules.some(({ segment }) => isMemberOf(segment, view))
    );
  }
  if ('consent' in node) return hasAgreed(world, sub, node.consent);
  if ('identity' in node) {
    return world.identities.some(
      ({ sub: owner, kind, issuer }) =>
        subsOf(world, sub).includes(owner) &&
        kind === node.identity &&
        (node.issuer === undefined || issuer === node.issuer),
    );
  }
  if ('segment' in node) return isMemberOf(node.segment, view);
  const drawn = createHash('md5').update(`${node.sample.salt}:${sub}`).digest('hex').slice(0, 8);
  return compare({ over: BigInt(`0x${drawn}`) * 100n, under: 2n ** 32n }, exact(node.sample.percent)) < 0;
}

function isMemberOf(key: string, { world, definitions, sub, t }: View): boolean {
  const other = definitions.find((definition) => definition.key === key);
  return other !== undefined && isMember(world, definitions, other, sub, t);
}

// Events

function holdsEvent(node: EventNode, { events, t, tz }: View): boolean {
  const inWindow = (event: StoredEvent) => isInside(node, event.timestamp, t, tz);
  const ever = select(node, events);
  const matches = ever.filter(inWindow);
  const numbers = (of: string, from: StoredEvent[]): Exact[] =>
    from
      .flatMap((event) => reach(of, event))
      .map(numeric)
      .filter((number) => number !== undefined);
  const total = (of: string, from: StoredEvent[]) => numbers(of, from).reduce(plus, exact(0));
  const count = (n: number, cmp: Cmp) => meets(exact(n), cmp);

  if (node.first) return ever.slice(0, 1).some(inWindow);
  if (node.last) return ever.slice(-1).some(inWindow);
  if (node.days) return count(new Set(matches.map(({ timestamp }) => dayIn(tz, timestamp))).size, node.days);
  if (node.distinct) {
    const { of } = node.distinct;
    return count(different(matches.flatMap((event) => reach(of, event))).length, node.distinct);
  }
  if (node.sum) {
    const off = node.sum.minus;
    const less = off ? total(off.of, select(off, events).filter(inWindow)) : exact(0);
    return meets(minus(total(node.sum.of, matches), less), node.sum);
  }
  if (node.avg) {
    const n = BigInt(numbers(node.avg.of, matches).length);
    const { over, under } = total(node.avg.of, matches);
    return n > 0n && meets({ over, under: under * n }, node.avg);
  }
  if (node.min) {
    const [least] = numbers(node.min.of, matches).sort(compare);
    return least !== undefined && meets(least, node.min);
  }
  if (node.max) {
    const most = numbers(node.max.of, matches).sort(compare).at(-1);
    return most !== undefined && meets(most, node.max);
  }
  return count(matches.length, node.count ?? { gte: 1 });
}

// Sequences: every way to choose an event for each positive step, then all that was asked of the choice

function holdsSequence(node: SequenceNode, view: View): boolean {
  const { same } = node;
  if (same === undefined) return canChoose(node, view, () => true);
  const values = different(view.events.flatMap((event) => reach(same, event)));
  return values.some((value) => canChoose(node, view, (event) => has(event, same, value)));
}

function canChoose(node: SequenceNode, view: View, isSeen: (event: StoredEvent) => boolean): boolean {
  const positive = node.sequence.filter((step) => !('no' in step)) as Match[];
  let ways: StoredEvent[][] = [[]];
  for (const step of positive) {
    const matches = select(step, view.events).filter(isSeen);
    ways = ways.flatMap((way) =>
      matches.filter((event) => way.every((before) => isLater(event, before))).map((event) => [...way, event]),
    );
  }
  return ways.some((way) => isAllowed(way, node, view, isSeen));
}

function isAllowed(
  way: StoredEvent[],
  node: SequenceNode,
  { events, t, tz }: View,
  isSeen: (event: StoredEvent) => boolean,
): boolean {
  const [first, last] = [way[0], way.at(-1)];
  if (!first || !last || !isInside(node, last.timestamp, t, tz)) return false;
  if (node.in && last.timestamp - first.timestamp > lengthOf(node.in)) return false;
  let at = -1;
  return node.sequence.every((step) => {
    if (!('no' in step)) return ++at >= 0;
    const [before, after] = [way[at], way[at + 1]];
    const between = select(step.no, events.filter(isSeen)).filter(
      (event) => before && isLater(event, before) && (!after || isLater(after, event)),
    );
    if (!step.for) return between.length === 0;
    const end = last.timestamp + lengthOf(step.for);
    return t >= end && between.every(({ timestamp }) => timestamp > end);
  });
}

// Per

/** The candidates that meet every member. */
function satisfying(node: PerNode, view: View): Scalar[] {
  const matches = node.all.flatMap(matchesIn).flatMap((match) => select(match, view.events));
  return different(matches.flatMap((event) => reach(node.per, event))).filter((value) => {
    const own = { ...view, events: view.events.filter((event) => has(event, node.per, value)) };
    return node.all.every((member) => holds(member, own));
  });
}

function matchesIn(member: PerNode['all'][number]): Match[] {
  if ('not' in member) return matchesIn(member.not);
  if ('sequence' in member) return member.sequence.map((step) => ('no' in step ? step.no : step));
  return member.sum?.minus ? [member, member.sum.minus] : [member];
}

/** Of every Per that no `not` stands above. */
function matchedOf(node: Node, view: View): Matched {
  const matched: Record<string, Scalar[]> = {};
  const visit = (below: Node): void => {
    if ('per' in below) matched[below.per] = [...(matched[below.per] ?? []), ...satisfying(below, view)];
    else if ('all' in below) below.all.forEach(visit);
    else if ('any' in below) below.any.forEach(visit);
  };
  visit(node);
  const inOrder = (values: Scalar[]) => different(values).sort(byText).slice(0, 100);
  return Object.fromEntries(
    Object.entries(matched)
      .filter(([, values]) => values.length > 0)
      .map(([path, values]) => [path, inOrder(values)]),
  );
}

// Traits

function traitOf(trait: string, { world, sub, t, events }: View): Json {
  const worked = workedOut(trait, { world, sub, t, events });
  if (worked !== undefined) return worked;
  const said = world.traits.filter((word) => subsOf(world, sub).includes(word.sub) && word.name === trait);
  const others = said.filter((word) => !word.isOwn);
  return newest(others.length > 0 ? others : said)?.value ?? null;
}

function holdsTrait({ trait, op, value: named }: TraitNode, view: View): boolean {
  const { t, tz } = view;
  const value = traitOf(trait, view);
  const date = readDate(value, tz);
  const today = dayIn(tz, t);
  const thisPeriod = /^this_(day|week|month|quarter|year)$/.exec(String(named))?.[1] as Unit | undefined;
  switch (op) {
    case 'in_last':
    case 'in_next': {
      if (!date) return false;
      const isOnThatSide = op === 'in_last' ? date.moment <= t : date.moment > t;
      if (thisPeriod) {
        const [from, to] = period(thisPeriod, today, 0);
        return isOnThatSide && from <= date.day && date.day < to;
      }
      const reachOfTime = lengthOf(String(named));
      return isOnThatSide && (op === 'in_last' ? t - reachOfTime < date.moment : date.moment <= t + reachOfTime);
    }
    case 'anniversary_in': {
      if (!date) return false;
      if (thisPeriod) return comesBack(date.day, ...period(thisPeriod, today, 0));
      return comesBack(date.day, today, today + lengthOf(String(named)) / lengthOf('1d') + 1);
    }
    default: {
      const other = readDate(typeof named === 'string' ? named : undefined, tz);
      if (date && other) {
        const order = date.moment - other.moment;
        if (op === 'gt') return order > 0;
        if (op === 'gte') return order >= 0;
        if (op === 'lt') return order < 0;
        if (op === 'lte') return order <= 0;
        if (op === 'eq') return order === 0;
        if (op === 'ne') return order !== 0;
      }
      return holdsOf(value === null ? [] : [value], op, named);
    }
  }
}
