/**
 * Asks definitions about people, and writes what became another: membership, its log, the sizes and the outbox, in the transaction of the
 * caller, who holds the people (queue.ts).
 */
import { isDeepStrictEqual } from 'node:util';
import type { Knex } from 'knex';
import type { Logger } from '../log.ts';
import { publish } from '../outbox.ts';
import { createEvaluation, type Evaluation } from './evaluate.ts';
import { readPeople } from './people.ts';
import type { Rule, Rules } from './rules.ts';
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

export async function evaluatePeople({ trx, log, rules, at }: Round, asked: Asked): Promise<void> {
  const subs = [...asked.keys()];
  const wanted = new Set([...asked.values()].flatMap(({ rules }) => [...rules]));
  if (!wanted.size) return;
  const live = [...wanted].filter(({ is_paused }) => !is_paused);
  const people = await readPeople(trx, subs, rules.needs(live, at.getTime()));
  const before = Map.groupBy(await readStates(trx, subs), ({ subject_id }) => subject_id);
  const written: State[] = [];
  const deleted: State[] = [];
  const changes: Change[] = [];
  for (const [sub, { rules: asking, reason }] of asked) {
    const person = people.get(sub);
    if (!person) continue;
    const evaluation = createEvaluation(person, at.getTime());
    const known = new Map((before.get(sub) ?? []).map((state) => [state.build_id, state]));
    for (const rule of asking) {
      const state = known.get(rule.build_id);
      const now = rule.is_paused
        ? standstill(rule, { evaluation, state })
        : answer(rule, { evaluation, state, at, log });
      if (now && !isSame(state, now)) written.push(now);
      if (!now && state) deleted.push(state);
      const change = changeOf(state, now);
      if (change && rule.status === 'live')
        changes.push({
          segment_id: rule.segment_id,
          subject_id: sub,
          version: rule.version,
          change,
          reason,
          at,
          matched: (change === 'entered' ? now : state)?.matched ?? null,
        });
    }
  }
  await writeStates(trx, written);
  await deleteStates(trx, deleted);
  await tell(trx, at, changes, new Map([...wanted].map((rule) => [rule.segment_id, rule.segment_key])));
}

type Answering = { evaluation: Evaluation; state: State | undefined; at: Date; log: Logger };

/** Undefined: neither a member, nor one by time alone. While a build is made, that too is noted: it is newer than what the build saw. */
function answer(rule: Rule, { evaluation, state, at, log }: Answering): State | undefined {
  const base = { build_id: rule.build_id, subject_id: evaluation.person.sub };
  try {
    const { isMember, dueAt, matched } = rule.compiled.evaluateIn(evaluation);
    if (!isMember && dueAt === null && rule.status === 'live') return undefined;
    return {
      ...base,
      is_member: isMember,
      entered_at: isMember ? (state?.is_member && state.entered_at) || at : null,
      matched,
      due_at: laterDue(state?.due_at ?? null, dueAt, at),
    };
  } catch (error) {
    // A fault of ours in one definition: the others go on, and this one is tried again.
    log.error({ err: error, segment: rule.segment_key }, 'segments: evaluation failed');
    const nobody = { ...base, is_member: false, entered_at: null, matched: null };
    return { ...(state ?? nobody), due_at: new Date(at.getTime() + 60_000) };
  }
}

/** Of a segment that is paused nobody becomes a member, and only who may not be one any more ceases to be: a withdrawal does not wait. */
function standstill(
  { compiled }: Rule,
  { evaluation, state }: Pick<Answering, 'evaluation' | 'state'>,
): State | undefined {
  return compiled.barOf(evaluation.person) ? undefined : state;
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
