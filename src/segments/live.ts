/**
 * Segments are live: what is recorded about a person, or comes due by time alone, is followed by membership within the second.
 *
 *   subject_activity (events)  ─┐
 *   subject_changes (the rest) ─┼─► one round, one transaction: profile counts, memberships, their log, the outbox
 *   segment_states.due_at      ─┘
 *
 * A round asks, for each person it is about, only the definitions that what happened can change, over the events themselves: nothing is
 * counted up that a late event, a merge or an undo would have to be taken out of again. Notes are taken and their effect is written in one
 * transaction, so neither is without the other, wherever a process dies. Idle costs one statement a poll, whatever there is of segments.
 *
 * Owns membership and its log. Who is asked what is definition.ts, the answer evaluate.ts; everybody at once is build.ts.
 */
import type { Knex } from 'knex';
import type { Clock } from '../clock.ts';
import type { Database } from '../database.ts';
import { type Activity, takeActivity } from '../events/activity.ts';
import type { Logger } from '../log.ts';
import { publish } from '../outbox.ts';
import { keepActivity } from '../profiles/profile.ts';
import { createEvaluation, type Evaluation } from './evaluate.ts';
import { readPeople } from './people.ts';
import { lockIdle, lockPeople, type SubjectChange, shareRound, standingSubs, takeChanges } from './queue.ts';
import type { Rule, Rules, RulesReader } from './rules.ts';
import {
  type Change,
  countChanges,
  deleteStates,
  insertChanges,
  readDue,
  readStates,
  type State,
  writeStates,
} from './state-store.ts';

export type RoundServices = { db: Database; clock: Clock; log: Logger; readRules: RulesReader };

/**
 * @param most notes of each kind: enough to share the statements of a round, few enough that nobody waits for long
 * @returns how many notes were dealt with; none: there was nothing to do
 */
export async function evaluateRound({ db, clock, log, readRules }: RoundServices, most = 500): Promise<number> {
  return db.transaction(async (trx) => {
    await shareRound(trx);
    const { taken, sums } = await takeActivity(trx, most);
    const changes = await takeChanges(trx, most);
    const at = clock.now();
    const due = await readDue(trx, at, most);
    if (!taken && !changes.length && !due.length) return 0;
    const rules = await readRules(trx);
    if (sums.length) await keepActivity(trx, sums);
    const asked = await gather(trx, rules, { sums, changes, due });
    if (asked.size) await evaluatePeople({ trx, log, rules, at }, asked);
    return taken + changes.length + due.length;
  });
}

/** Which definitions are asked about a person, and what gave rise to it. */
type Asked = Map<string, { rules: Set<Rule>; reason: string }>;

/** What gave rise to it, by the table that noted it: of several, the first named here is given as the reason. */
const reasons: Record<string, string> = {
  subject_aliases: 'merge',
  consents: 'consent',
  personalisation_choices: 'personalisation',
  segment_list: 'list',
  profile_tags: 'tag',
  profile_traits: 'trait',
  anonymous_bindings: 'binding',
  identities: 'identity',
  subjects: 'person',
};
const rank = [...Object.values(reasons).filter((reason) => reason !== 'person'), 'event', 'person', 'time'];

type Notes = { sums: Activity[]; changes: SubjectChange[]; due: { build_id: number; subject_id: string }[] };

async function gather(trx: Knex.Transaction, rules: Rules, { sums, changes, due }: Notes): Promise<Asked> {
  const asked: Asked = new Map();
  const ask = (sub: string, wanted: Iterable<Rule>, reason: string) => {
    const known = asked.get(sub) ?? { rules: new Set<Rule>(), reason };
    for (const rule of wanted) known.rules.add(rule);
    if (rank.indexOf(reason) < rank.indexOf(known.reason)) known.reason = reason;
    asked.set(sub, known);
  };
  const counted = sums.filter(({ counts }) => counts);
  const noted = [...counted, ...changes].map(({ subject_id }) => subject_id);
  const standing = await standingSubs(trx, [...new Set(noted)]);
  for (const { subject_id, event, channel } of counted) {
    const touched = rules.touchedBy(event, channel);
    if (touched.length) ask(standing.get(subject_id) ?? subject_id, touched, 'event');
  }
  const all = [...rules.byBuild.values()];
  for (const { subject_id, what } of changes) {
    // Who was absorbed, or came back: both are looked at.
    for (const sub of new Set([subject_id, standing.get(subject_id) ?? subject_id]))
      ask(sub, all, reasons[what] ?? what);
  }
  await lockPeople(trx, [...asked.keys()]);
  const others = [...new Set(due.map(({ subject_id }) => subject_id))].filter((sub) => !asked.has(sub));
  const idle = new Set(await lockIdle(trx, others));
  const orphans: typeof due = [];
  for (const { build_id, subject_id } of due) {
    const rule = rules.byBuild.get(build_id);
    if (!rule) orphans.push({ build_id, subject_id });
    else if (asked.has(subject_id) || idle.has(subject_id)) ask(subject_id, [rule], 'time');
  }
  // Of a build that is no more.
  await deleteStates(trx, orphans);
  return asked;
}

type Round = { trx: Knex.Transaction; log: Logger; rules: Rules; at: Date };

async function evaluatePeople({ trx, log, rules, at }: Round, asked: Asked): Promise<void> {
  const subs = [...asked.keys()];
  const wanted = new Set([...asked.values()].flatMap(({ rules }) => [...rules]));
  if (!wanted.size) return;
  const people = await readPeople(trx, subs, rules.needs(wanted, at.getTime()));
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
      const now = answer(rule, { evaluation, state, at, log });
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
    JSON.stringify(state.matched) === JSON.stringify(now.matched)
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
