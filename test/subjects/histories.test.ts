/**
 * Random histories: a few people, everything that can happen to them, some of it at the same moment in two processes. After every
 * step all rules of graph.ts hold. A merge that is taken back at once leaves everything as it was; in the end every merge is undone,
 * in any order, and everybody has what was theirs.
 *
 * HISTORIES=200 tells four times as many. HISTORY_SEED=<n> HISTORIES=1 repeats one; what steps at the same moment decide is up to them.
 */
import { describe, expect, it } from 'vitest';
import { currentConsents } from '../../src/consent/consent.ts';
import { timeline } from '../../src/events/timeline.ts';
import { profileOf } from '../../src/profiles/profile.ts';
import { testDatabase } from '../helpers/database.ts';
import { byChannel, faultsIn, type Graph, membersBelow, readGraph, rootsOf } from './graph.ts';
import { type History, newHistory, nextTurn, type Turn } from './history.ts';
import { type Outcome, type Step, take } from './history-step.ts';
import { secondProcess } from './second-process.ts';

const firstSeed = Number(process.env.HISTORY_SEED ?? 20_261_126);
const count = Number(process.env.HISTORIES ?? 50);
const people = 6;
const steps = 40;
/** Histories that are busy at the same moment, over both processes. */
const atOnce = 12;

const { db, url } = await testDatabase();
const second = await secondProcess(url);
const nobody = await readGraph(db);

const refusals = new Set([
  'second_proof_needed',
  'subject_suspended',
  'identity_taken',
  'identity_contradicts',
  'not_found',
  'last_identity',
  'merge_refused',
  'case_decided',
]);

async function act(history: History, step: Step, at: number): Promise<unknown> {
  const outcome: Outcome = await (at % 2 ? second.take(step) : take(db, step));
  history.said.push(`${JSON.stringify(step)} → ${JSON.stringify(outcome)}`);
  if ('broke' in outcome) throw new Error(`${step.does} broke: ${outcome.broke}`);
  if ('refused' in outcome) {
    expect(refusals, `${step.does} was refused`).toContain(outcome.refused);
    return undefined;
  }
  if (step.does === 'sign in') remember(history, step, outcome.done as { sub: string; created: boolean });
  return outcome.done;
}

function remember(
  history: History,
  step: Step & { does: 'sign in' },
  { sub, created }: { sub: string; created: boolean },
) {
  const nickname = step.proofs[0].profile?.nickname;
  if (created && nickname) history.originals.set(sub, nickname);
}

async function inParallel<T>(items: T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const lane = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
}

/** What the history is and what was done in it, for whoever has to repeat it. */
function told(history: History | undefined, error: unknown): Error {
  const says = error instanceof Error ? error.message : String(error);
  return new Error(`HISTORY_SEED=${history?.seed} HISTORIES=1: ${says}\n\n${history?.said.slice(-12).join('\n')}`, {
    cause: error,
  });
}

function refuseFaults(history: History, graph: Graph): void {
  const [fault] = faultsIn(graph, history.originals);
  if (fault) throw told(history, `${fault.sub} ${fault.says}`);
}

// One person as everybody sees them

async function everythingOf(sub: string) {
  const { merge_id, ...subject } = await db('subjects as s')
    .join('current_subjects as c', 'c.requested_id', 's.id')
    .where({ id: sub })
    .first('s.id', 's.status', 's.nickname', 's.picture', 's.locale', 'c.subject_id', 'c.merge_id');
  return {
    subject,
    identities: await db('identities').where({ subject_id: sub }).orderBy('id'),
    members: (await db('subject_members').where({ subject_id: sub }).orderBy('member_id')).map((row) => row.member_id),
    events: await eventsOf(sub),
    profile: await profileOf(db, sub),
    consents: await currentConsents(db, sub),
  };
}

async function eventsOf(sub: string): Promise<string[]> {
  const { data, next_cursor } = await timeline(db, sub, { limit: 200 });
  expect(next_cursor).toBeNull();
  return data.map(({ id }) => id).sort();
}

async function thereAndBack(history: History, { survivor, absorbed, keep }: Turn & { kind: 'there and back' }) {
  const before = [await everythingOf(survivor), await everythingOf(absorbed)];
  const merge = (await act(history, { does: 'merge', survivor, absorbed, keep }, 0)) as { id: string } | undefined;
  if (!merge) throw new Error('two active subjects were not merged');
  const events = before.flatMap((side) => side.events).sort();
  for (const sub of [survivor, absorbed]) expect(await eventsOf(sub)).toEqual(events);
  await act(history, { does: 'undo', merge_id: merge.id }, 1);
  expect([await everythingOf(survivor), await everythingOf(absorbed)]).toEqual(before);
}

// One step alone: what it must have done follows from what was

async function alone(history: History, step: Step, before: Graph): Promise<void> {
  const done = await act(history, step, history.random.below(2));
  if (step.does === 'undo' && !before.merges.get(step.merge_id)?.is_undone) assertReturned(before, step.merge_id, done);
  if (step.does === 'merge' && done) await assertReadAsOne(history, step.survivor);
}

/** Exactly what came from the absorbed one goes back, and exactly what was added since stays. */
function assertReturned(before: Graph, merge_id: string, done: unknown): void {
  const merge = before.merges.get(merge_id);
  if (!merge || !done) throw new Error(`the undo of ${merge_id} was refused`);
  const root = rootsOf(before).get(merge.absorbed_id);
  const theirs = membersBelow(before, merge.absorbed_id);
  const held = [...before.identities.values()].filter(({ subject_id }) => subject_id === root);
  const isTheirs = ({ id }: { id: string }) => theirs.has(before.homes.get(id) ?? '');
  const added = held.filter((identity) => !isTheirs(identity) && identity.created_at > merge.merged_at);
  const { returned, stays } = done as { returned: { id: string }[]; stays: { id: string }[] };
  const ids = (rows: { id: string }[]) => rows.map(({ id }) => id).sort();
  expect(ids(returned), 'returned').toEqual(ids(held.filter(isTheirs)));
  expect(ids(stays), 'stays').toEqual(ids(added));
}

async function assertReadAsOne(history: History, sub: string): Promise<void> {
  const { rows } = await db.raw(
    `select requested_id from current_subjects
      where subject_id = (select subject_id from current_subjects where requested_id = ?)`,
    [sub],
  );
  const subs = rows.map(({ requested_id }: { requested_id: string }) => requested_id);
  const recorded = history.events.filter((event) => subs.includes(event.sub)).map(({ id }) => id);
  expect(await eventsOf(sub)).toEqual(recorded.sort());
}

/** A rule joins only what nothing speaks against: no differing identity of one kind, nobody who was parted from the other before. */
function assertRules(before: Graph, after: Graph): void {
  for (const merge of after.merges.values()) {
    if (merge.basis !== 'rule' || before.merges.has(merge.id)) continue;
    const [ours, theirs] = [membersBelow(before, merge.survivor_id), membersBelow(before, merge.absorbed_id)];
    for (const { is_undone, survivor_id, absorbed_id } of before.merges.values()) {
      const isBetween =
        (ours.has(survivor_id) && theirs.has(absorbed_id)) || (theirs.has(survivor_id) && ours.has(absorbed_id));
      expect(is_undone && isBetween, `${merge.id} joined two who were parted`).toBe(false);
    }
    const current = (sub: string) =>
      [...before.identities.values()]
        .filter(({ subject_id, is_superseded }) => subject_id === sub && !is_superseded)
        .map(({ kind, issuer }) => `${kind} ${issuer}`);
    const theirKinds = current(merge.absorbed_id);
    const differing = current(merge.survivor_id).filter((kind) => theirKinds.includes(kind));
    expect(differing, `${merge.id} joined two with differing identities`).toEqual([]);
  }
}

describe(`${count} random histories of ${people} people, ${people * 8} identities and ${steps} steps, over two processes`, () => {
  const histories = Array.from({ length: count }, (_, n) => newHistory(firstSeed + n, people, steps));

  it('keep every rule of the identity graph after every step', { timeout: 600_000 }, async () => {
    let graph = await readGraph(db);
    for (let busy = histories; busy.length; busy = histories.filter(({ left }) => left > 0)) {
      const before = byChannel(graph);
      const undisturbed = new Set<History>();
      await inParallel(busy, async (history) => {
        const mine = before.get(history.name) ?? nobody;
        const turn = nextTurn(history, mine);
        if (turn.kind !== 'at once') undisturbed.add(history);
        await play(history, turn, mine).catch((error) => Promise.reject(told(history, error)));
      });
      graph = await readGraph(db);
      const after = byChannel(graph);
      for (const history of busy) {
        refuseFaults(history, after.get(history.name) ?? nobody);
        if (undisturbed.has(history))
          assertRules(before.get(history.name) ?? nobody, after.get(history.name) ?? nobody);
      }
    }
    expect(graph.merges.size).toBeGreaterThan(count);
    expect([...graph.merges.values()].filter(({ basis }) => basis === 'rule').length).toBeGreaterThan(count / 10);
    expect(graph.cases.length).toBeGreaterThan(count / 10);
  });

  it('undo every merge, in any order, and give everybody back what was theirs, event for event', {
    timeout: 300_000,
  }, async () => {
    const before = byChannel(await readGraph(db));
    await inParallel(histories, async (history) => {
      const merges = [...(before.get(history.name)?.merges.values() ?? [])].filter(({ is_undone }) => !is_undone);
      while (merges.length) {
        const [merge] = merges.splice(history.random.below(merges.length), 1);
        await act(history, { does: 'undo', merge_id: merge?.id ?? '' }, merges.length);
      }
    });
    const after = byChannel(await readGraph(db));
    await inParallel(histories, async (history) => {
      const mine = after.get(history.name) ?? nobody;
      refuseFaults(history, mine);
      await assertOwn(history, mine).catch((error) => Promise.reject(told(history, error)));
    });
  });
});

async function play(history: History, turn: Turn, before: Graph): Promise<void> {
  if (turn.kind === 'there and back') await thereAndBack(history, turn);
  else if (turn.kind === 'at once') await Promise.all(turn.steps.map((step, at) => act(history, step, at)));
  else for (const step of turn.steps) await alone(history, step, before);
}

/** As if nobody had ever been merged. */
async function assertOwn(history: History, graph: Graph): Promise<void> {
  expect([...graph.merges.values()].filter(({ is_undone }) => !is_undone)).toEqual([]);
  for (const [id, home] of graph.homes)
    if (!graph.removed.has(id)) expect(graph.identities.get(id)?.subject_id).toBe(home);
  for (const { id, nickname } of graph.subjects.values()) {
    const events = history.events.filter(({ sub }) => sub === id).map((event) => event.id);
    expect(await eventsOf(id)).toEqual(events.sort());
    expect((await profileOf(db, id)).events_total).toBe(events.length);
    expect(nickname).toBe(history.originals.get(id) ?? null);
    const said = await db('consents').where({ subject_id: id }).distinct('purpose').orderBy('purpose');
    const current = await currentConsents(db, id);
    expect(current.map(({ purpose }) => purpose)).toEqual(said.map(({ purpose }) => purpose));
  }
}
