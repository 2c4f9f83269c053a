/**
 * Asks definitions about people, and writes what became another: membership, its log, the sizes and the outbox, in the transaction of the
 * caller, who holds the people (queue.ts).
 */
import { isDeepStrictEqual } from 'node:util';
import type { Knex } from 'knex';
import { everything } from '../behaviour/needs.ts';
import type { Logger } from '../log.ts';
import { publish } from '../outbox.ts';
import { type Bar, createEvaluation, type Membership } from './evaluate.ts';
import { readPeople, readPerson } from './people.ts';
import type { Person } from './person.ts';
import { type Rule, type Rules, readReferences } from './rules.ts';
import { answerFor } from './sql.ts';
import {
  type Change,
  countChanges,
  deleteStates,
  insertChanges,
  readStates,
  type State,
  writeStates,
} from './state-store.ts';

/** Which definitions are asked about a person, and what gave rise to it. */
export type Asked = Map<string, { rules: Set<Rule>; reason: string }>;

export type Round = { trx: Knex.Transaction; log: Logger; rules: Rules; at: Date };

/** For all definitions, in milliseconds, of somebody whose history is too long to be read: builds are put in place after them. */
const patience = 30_000;
const noEvents = { ...everything, names: [] };

/** @returns who was left out: their history is too long to be read, and has to be asked about alone (evaluateLong) */
export async function evaluatePeople({ trx, log, rules, at }: Round, asked: Asked): Promise<string[]> {
  const subs = [...asked.keys()];
  const wanted = new Set([...asked.values()].flatMap(({ rules }) => [...rules]));
  if (!wanted.size) return [];
  const live = [...wanted].filter(({ is_paused }) => !is_paused);
  const before = Map.groupBy(await readStates(trx, subs), ({ subject_id }) => subject_id);
  const work = newWork(at);
  const left: string[] = [];
  for await (const { person, isTooLong } of readPeople(trx, subs, rules.needs(live, at.getTime()))) {
    const { sub } = person;
    if (isTooLong) {
      left.push(sub);
      continue;
    }
    const { rules: asking = [], reason = '' } = asked.get(sub) ?? {};
    const evaluation = createEvaluation(person, at.getTime());
    const known = new Map((before.get(sub) ?? []).map((state) => [state.build_id, state]));
    for (const rule of asking) {
      const state = known.get(rule.build_id);
      const ask = () => rule.compiled.evaluateIn(evaluation);
      const now = rule.is_paused ? standstill(rule, person, state) : answer(rule, { sub, ask, state, at, log });
      note(work, rule, { person, reason, state, now });
    }
  }
  await write(trx, work);
  return left;
}

/** The same of one person, each definition about events by its statement: slower, and in the memory of the database. */
export async function evaluateLong({ trx, log, rules, at }: Round, asked: Asked): Promise<void> {
  const references = await readReferences(trx);
  const ends = performance.now() + patience;
  const work = newWork(at);
  for (const [sub, { rules: asking, reason }] of asked) {
    const { person } = (await readPerson(trx, sub, { ...noEvents, traits: '*' })) ?? {};
    if (!person) continue;
    const evaluation = createEvaluation(person, at.getTime());
    const known = new Map((await readStates(trx, [sub])).map((state) => [state.build_id, state]));
    const answers: { rule: Rule; state: State | undefined; now: State | undefined }[] = [];
    for (const rule of asking) {
      const state = known.get(rule.build_id);
      const { segment } = rule.compiled;
      // Whoever may not be a member is asked nothing: what would take too long cannot keep them in.
      const isAsked = !rule.is_paused && !rule.compiled.barOf(person);
      const isOfEvents = isAsked && rules.needs([rule], at.getTime()).names.length > 0;
      const timeout = Math.max(1, Math.ceil(ends - performance.now()));
      const told = isOfEvents ? await answerFor(trx, segment, { at, only: sub, timeout, ...references }) : undefined;
      const ask = () => told ?? rule.compiled.evaluateIn(evaluation);
      const now = rule.is_paused ? standstill(rule, person, state) : answer(rule, { sub, ask, state, at, log });
      answers.push({ rule, state, now });
    }
    // That took a while: what they said meanwhile counts.
    const { person: still = person } = (await readPerson(trx, sub, { ...noEvents, traits: [] })) ?? {};
    for (const { rule, state, now } of answers)
      note(work, rule, { person: still, reason, state, now: rule.compiled.barOf(still) ? noMember(rule, sub) : now });
  }
  await write(trx, work);
}

/**
 * Takes out of their segments whoever may not be a member any more, by what they are and said alone: a withdrawal takes effect though all
 * else about the person cannot be evaluated (threat F16).
 */
export async function leaveBarred({ trx, rules, at }: Round, subs: string[]): Promise<void> {
  const work = newWork(at);
  const before = Map.groupBy(await readStates(trx, subs), ({ subject_id }) => subject_id);
  for await (const { person } of readPeople(trx, subs, { ...noEvents, traits: [] })) {
    const known = new Map((before.get(person.sub) ?? []).map((state) => [state.build_id, state]));
    for (const rule of rules.byBuild.values()) {
      const bar = rule.compiled.barOf(person);
      const state = known.get(rule.build_id);
      if (bar) note(work, rule, { person, reason: reasonOf[bar], state, now: noMember(rule, person.sub) });
    }
  }
  await write(trx, work);
}

const reasonOf: Record<Bar, string> = {
  not_active: 'person',
  no_consent: 'consent',
  personalisation_off: 'personalisation',
};

type Work = { at: Date; written: State[]; deleted: State[]; changes: Change[]; keys: Map<number, string> };

function newWork(at: Date): Work {
  return { at, written: [], deleted: [], changes: [], keys: new Map() };
}

type Found = { person: Person; reason: string; state: State | undefined; now: State | undefined };

function note({ at, written, deleted, changes, keys }: Work, rule: Rule, { person, reason, state, now }: Found): void {
  if (now && !isSame(state, now)) written.push(now);
  if (!now && state) deleted.push(state);
  const change = changeOf(state, now);
  if (!change || rule.status !== 'live') return;
  keys.set(rule.segment_id, rule.segment_key);
  // Of whoever may not be a member any more nothing they did goes out with the word that they left.
  const of = change === 'entered' ? now : rule.compiled.barOf(person) ? undefined : state;
  changes.push({
    segment_id: rule.segment_id,
    subject_id: person.sub,
    version: rule.version,
    change,
    reason,
    at,
    matched: of?.matched ?? null,
  });
}

async function write(trx: Knex.Transaction, { at, written, deleted, changes, keys }: Work): Promise<void> {
  await writeStates(trx, written);
  await deleteStates(trx, deleted);
  await tell(trx, at, changes, keys);
}

type Answering = { sub: string; ask(): Membership; state: State | undefined; at: Date; log: Logger };

function nobody({ build_id }: Rule, subject_id: string): State {
  return { build_id, subject_id, is_member: false, entered_at: null, matched: null, due_at: null };
}

/** Undefined; but while a build is made, that too is noted: it is newer than what the build saw. */
function noMember(rule: Rule, sub: string): State | undefined {
  return rule.status === 'live' ? undefined : nobody(rule, sub);
}

/** Undefined: neither a member, nor one by time alone. */
function answer(rule: Rule, { sub, ask, state, at, log }: Answering): State | undefined {
  try {
    const { isMember, dueAt, matched } = ask();
    if (!isMember && dueAt === null) return noMember(rule, sub);
    return {
      build_id: rule.build_id,
      subject_id: sub,
      is_member: isMember,
      entered_at: isMember ? (state?.is_member && state.entered_at) || at : null,
      matched,
      due_at: laterDue(state?.due_at ?? null, dueAt, at),
    };
  } catch (error) {
    // A fault of ours in one definition: the others go on, and this one is tried again.
    log.error({ err: error, segment: rule.segment_key }, 'segments: evaluation failed');
    return { ...(state ?? nobody(rule, sub)), due_at: new Date(at.getTime() + 60_000) };
  }
}

/** Of a segment that is paused nobody becomes a member, and only who may not be one any more ceases to be: a withdrawal does not wait. */
function standstill(rule: Rule, person: Person, state: State | undefined): State | undefined {
  return rule.compiled.barOf(person) ? noMember(rule, person.sub) : state;
}

/**
 * An earlier one that is still ahead stays: looking once too often costs less than writing with every event, of which each would
 * move the moment a little.
 */
function laterDue(known: Date | null, dueAt: number | null, at: Date): Date | null {
  if (dueAt === null) return null;
  const due = Math.min(dueAt, latest);
  return known && known > at && known.getTime() <= due ? known : new Date(due);
}

/** `9999-12-31T23:59:59-01:00` is a date that anybody may have for a trait, in a year that PostgreSQL does not read as JSON writes it. */
const latest = Date.UTC(9999, 11, 31);

function isSame(state: State | undefined, now: State): boolean {
  return (
    state !== undefined &&
    state.is_member === now.is_member &&
    state.due_at?.getTime() === now.due_at?.getTime() &&
    // The database keeps the paths in an order of its own.
    isDeepStrictEqual(state.matched, now.matched)
  );
}

function changeOf(state: State | undefined, now: State | undefined): Change['change'] | undefined {
  const [was, is] = [state?.is_member ?? false, now?.is_member ?? false];
  if (was === is) return undefined;
  return is ? 'entered' : 'exited';
}

/** The log, the sizes and the outbox, in the transaction of the change. */
async function tell(trx: Knex.Transaction, at: Date, changes: Change[], keys: Map<number, string>): Promise<void> {
  if (!changes.length) return;
  await insertChanges(trx, changes);
  const sums = Map.groupBy(changes, ({ segment_id }) => segment_id);
  const count = (of: Change[], change: Change['change']) => of.filter((one) => one.change === change).length;
  await countChanges(
    trx,
    at,
    [...sums].map(([segment_id, of]) => ({ segment_id, entered: count(of, 'entered'), exited: count(of, 'exited') })),
  );
  await publish(
    trx,
    ...changes.map(({ segment_id, subject_id, version, change, reason, matched }) => ({
      topic: `segment.${change}`,
      subject_id,
      payload: { segment: keys.get(segment_id), version, at: at.toISOString(), reason, ...(matched && { matched }) },
    })),
  );
}
