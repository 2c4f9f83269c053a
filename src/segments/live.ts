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
 * A round that fails by what it is about is taken apart, a person a transaction: whoever cannot be evaluated is set aside with their notes
 * and tried again later, and nobody else notices. So is whoever did more than can be held in memory: they are asked about alone, by SQL.
 * A withdrawal waits for none of that: whoever may not be a member any more is taken out at once, by what they said alone.
 *
 * Owns who is looked at, when. What is asked of a person and written is evaluate-people.ts; everybody at once is build.ts.
 */
import type { Knex } from 'knex';
import type { Clock } from '../clock.ts';
import { type Database, isAboutRows, isDatabaseAway, isTimedOut } from '../database.ts';
import { type Activity, takeActivity } from '../events/activity.ts';
import { faultOf, type Logger } from '../log.ts';
import { keepActivity } from '../profiles/profile.ts';
import { holdAside, keepChanges, postpone, readTriable, setAside, takeBack } from './aside-store.ts';
import { type Asked, evaluateLong, evaluatePeople, leaveBarred } from './evaluate-people.ts';
import { standingAfter, standingSubs } from './people.ts';
import {
  lockIdle,
  lockPeople,
  noteChange,
  readChangedAside,
  type SubjectChange,
  shareRound,
  takeChanges,
} from './queue.ts';
import { createRulesReader, type Rule, type Rules, type RulesReader } from './rules.ts';
import { deleteStates, readDue } from './state-store.ts';

export type RoundServices = { db: Database; clock: Clock; log: Logger; readRules: RulesReader };

/** Enough to share the statements of a round, few enough that nobody waits for long. */
const portion = 500;

/**
 * @param most notes of each kind
 * @returns how many notes were dealt with; none: there was nothing to do
 */
export async function evaluateRound(services: RoundServices, most = portion): Promise<number> {
  const dealt = await evaluateWaiting(services, most);
  for (const sub of await readChangedAside(services.db, mostAside)) await keepAside(services, sub);
  return dealt;
}

async function evaluateWaiting(services: RoundServices, most: number): Promise<number> {
  const subs = new Set<string>();
  try {
    return await services.db.transaction((trx) => takeRound(trx, services, { most, subs }));
  } catch (error) {
    // Nothing was taken: whoever cannot be evaluated must not keep the others waiting, now or with the next round.
    if (!isAboutRows(error) || !subs.size) throw error;
  }
  let dealt = 0;
  for (const sub of subs) dealt += await evaluateAlone(services, { sub, most, isTheirs: isOfOne });
  return dealt;
}

/** Those who were set aside and whose time has come, each alone: beside the rounds, which wait for none of them. @returns how many there were */
export async function tryAgain(services: RoundServices): Promise<number> {
  const subs = await readTriable(services.db, services.clock.now(), mostTries);
  // Whatever goes wrong with one, those behind have their turn.
  const isTheirs = (error: unknown) => !isDatabaseAway(error);
  for (const sub of subs) await evaluateAlone(services, { sub, most: portion, isTheirs });
  return subs.length;
}

/** So few that whoever stops the process does not wait for long, and a round not either. */
const [mostTries, mostAside] = [20, 100];

function isOfOne(error: unknown): boolean {
  return isAboutRows(error) || isTimedOut(error);
}

type Alone = {
  sub: string;
  most: number;
  /** Whether an error is a reason to set them aside. */
  isTheirs(error: unknown): boolean;
};

/** @returns how many notes were dealt with; one for who is set aside, whose notes stay */
async function evaluateAlone(services: RoundServices, { sub, most, isTheirs }: Alone): Promise<number> {
  const { db, log } = services;
  try {
    return await db.transaction(async (trx) => {
      await shareRound(trx);
      const aside = await takeBack(trx, sub);
      const dealt = await takeRound(trx, services, { most, sub, kept: aside?.changes });
      if (aside?.tries) log.info({ sub }, 'segments: somebody who was set aside is evaluated again');
      return dealt;
    });
  } catch (error) {
    if (!isTheirs(error)) throw error;
    await putAside(services, sub, error);
    return 1;
  }
}

/** Told once a person, not with each try. */
async function putAside(services: RoundServices, sub: string, error: unknown): Promise<void> {
  const { db, clock, log } = services;
  const tries = await setAside(db, { subject_id: sub, error: faultOf(error), at: clock.now() });
  if (tries === 1)
    log.error({ err: error, sub }, 'segments: somebody cannot be evaluated; set aside, to be tried again');
  await keepAside(services, sub);
}

/**
 * What changed of somebody who is set aside is kept until they are tried again; but if they may not be a member of something any more, they
 * leave it now. Nothing happens while somebody else looks at them: the note stays until then.
 */
async function keepAside(services: RoundServices, sub: string): Promise<void> {
  const { db, clock, log, readRules } = services;
  const keep = async (trx: Knex.Transaction, isLeaving: boolean) => {
    await shareRound(trx);
    const subs = [...new Set([sub, (await standingSubs(trx, [sub])).get(sub) ?? sub])];
    const isIdle = (await lockIdle(trx, subs)).length === subs.length;
    if (!isIdle || !(await holdAside(trx, sub))) return;
    const changes = await takeChanges(trx, portion, sub);
    await keepChanges(
      trx,
      sub,
      changes.map(({ what }) => what),
    );
    if (isLeaving) await leaveBarred({ trx, log, rules: await readRules(trx), at: clock.now() }, subs);
  };
  await db
    .transaction((trx) => keep(trx, true))
    .catch(async (error: unknown) => {
      if (isDatabaseAway(error)) throw error;
      log.error({ err: error, sub }, 'segments: somebody cannot be taken out of segments; tried again with all else');
      await db.transaction((trx) => keep(trx, false));
    });
}

type Take = {
  most: number;
  /** Of this subject alone. */
  sub?: string;
  /** What changed of it while it was set aside. */
  kept?: string[] | undefined;
  /** Is filled with whom the round is about. */
  subs?: Set<string>;
};

async function takeRound(
  trx: Knex.Transaction,
  { clock, log, readRules }: RoundServices,
  { most, sub, kept = [], subs }: Take,
): Promise<number> {
  await shareRound(trx);
  const { taken, sums } = await takeActivity(trx, most, sub);
  const changes = await takeChanges(trx, most, sub);
  if (sub !== undefined) changes.push(...kept.map((what) => ({ subject_id: sub, what })));
  const at = clock.now();
  const due = await readDue(trx, at, most, sub);
  if (!taken && !changes.length && !due.length) return 0;
  for (const { subject_id } of [...sums, ...changes, ...due]) subs?.add(subject_id);
  const rules = await readRules(trx);
  if (sums.length) await keepActivity(trx, sums);
  const { asked, passed } = await gather(trx, rules, { sums, changes, due });
  const round = { trx, log, rules, at };
  const left = await evaluatePeople(round, asked);
  const isAlone = sub !== undefined;
  if (isAlone) await evaluateLong(round, only(asked, left));
  for (const subject_id of left) {
    if (!isAlone) await noteChange(trx, { subject_id, what: 'events' });
    // After it too: the next event would make the round of everybody read it all again.
    await postpone(trx, { subject_id, at, isRest: isAlone });
  }
  return taken + changes.length + due.length - passed;
}

function only(asked: Asked, subs: string[]): Asked {
  return new Map([...asked].filter(([sub]) => subs.includes(sub)));
}

/** What a build is asked about everybody in place of its statement: as slow as that is, one person cannot stop it. */
export async function evaluateEverybody(
  { db, clock, log }: Pick<RoundServices, 'db' | 'clock' | 'log'>,
  build_id: number,
): Promise<void> {
  const services = { db, clock, log, readRules: createRulesReader({ log }) };
  const evaluate = (subs: string[]) =>
    db.transaction(async (trx) => {
      await shareRound(trx);
      const rules = await services.readRules(trx);
      const rule = rules.byBuild.get(build_id);
      // Given up meanwhile.
      if (!rule) return;
      await lockPeople(trx, subs);
      const asked: Asked = new Map(subs.map((sub) => [sub, { rules: new Set([rule]), reason: 'definition' }]));
      const round = { trx, log, rules, at: clock.now() };
      await evaluateLong(round, only(asked, await evaluatePeople(round, asked)));
    });
  for (let subs = await standingAfter(db, null, portion); subs.length; ) {
    await evaluate(subs).catch(async (error: unknown) => {
      if (!isOfOne(error)) throw error;
      for (const sub of subs)
        await evaluate([sub]).catch(async (error: unknown) => {
          if (!isOfOne(error)) throw error;
          // Whoever tries them again has to ask everything.
          await noteChange(db, { subject_id: sub, what: 'segment_builds' });
          await putAside(services, sub, error);
        });
    });
    subs = await standingAfter(db, subs.at(-1) ?? null, portion);
  }
}

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
  segment_builds: 'definition',
  events: 'event',
};
const rank = [...Object.values(reasons).filter((reason) => reason !== 'person'), 'event', 'person', 'time'];

type Notes = { sums: Activity[]; changes: SubjectChange[]; due: { build_id: number; subject_id: string }[] };

/** `passed`: how many who are due are left to whoever looks at them now. */
async function gather(
  trx: Knex.Transaction,
  rules: Rules,
  { sums, changes, due }: Notes,
): Promise<{ asked: Asked; passed: number }> {
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
  let passed = 0;
  for (const { build_id, subject_id } of due) {
    const rule = rules.byBuild.get(build_id);
    if (!rule) orphans.push({ build_id, subject_id });
    else if (asked.has(subject_id) || idle.has(subject_id)) ask(subject_id, [rule], 'time');
    else passed++;
  }
  // Of a build that is no more.
  await deleteStates(trx, orphans);
  return { asked, passed };
}
