/** D15: a process that dies in the middle of a merge, or of its undo. All of it happened, or nothing. */
import { once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';
import type { Knex } from 'knex';
import { describe, expect, it } from 'vitest';
import { testDatabase } from '../helpers/database.ts';
import { faultsIn, readGraph } from './graph.ts';
import { type Step, take } from './history-step.ts';
import { openid, phone, proof, unionid } from './people.ts';
import { secondProcess } from './second-process.ts';

const { db, url } = await testDatabase();

async function done<T>(step: Step): Promise<T> {
  const outcome = await take(db, step);
  if (!('done' in outcome)) throw new Error(`${step.does}: ${JSON.stringify(outcome)}`);
  return outcome.done as T;
}

const signIn = async (...identities: Parameters<typeof proof>) =>
  (await done<{ sub: string }>({ does: 'sign in', channel: 'website', proofs: [proof(...identities)] })).sub;

/** Two who both have a phone and a person they absorbed before, with an open question between them. */
async function sides() {
  const union = unionid();
  const make = async () => {
    const [sub, before] = [await signIn(phone()), await signIn(openid())];
    await done({ does: 'merge', survivor: sub, absorbed: before, keep: [] });
    return sub;
  };
  const [survivor, absorbed] = [await make(), await make()];
  const { kind, issuer, external_id: lookup } = union;
  const key = { identity_kind: kind, identity_issuer: issuer, identity_lookup: lookup };
  await db('link_cases').insert({ ...key, reason: 'test', subject_id: survivor, other_subject_id: absorbed });
  return { survivor, absorbed };
}

type Sides = Awaited<ReturnType<typeof sides>>;

/** All that a merge may change. */
async function everything() {
  const tables = [
    'subjects',
    'identities',
    'merges',
    'merge_identities',
    'subject_aliases',
    'link_cases',
    'audit_entries',
  ];
  const rows = await Promise.all([...tables, 'outbox'].map((table) => db(table).orderByRaw(`${table}::text`)));
  return JSON.stringify(rows);
}

async function sessions(where: string): Promise<number> {
  const { rows } = await db.raw(
    `select count(*)::integer as n from pg_stat_activity
      where datname = current_database() and application_name = 'second process' and ${where}`,
  );
  return rows[0].n;
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 20_000; !(await isSo()); ) {
    if (Date.now() > end) throw new Error('it did not come to that');
    await wait(2);
  }
}

/** A process that has connected and does nothing else yet: loading it takes longer than all that it is killed in. */
async function loaded() {
  const process = await secondProcess(url);
  await process.take({ does: 'reinstate', sub: crypto.randomUUID() });
  return process;
}

/** Starts it elsewhere, kills that process when `ready`, and lets the database notice. */
async function killIn(step: Step, ready: () => Promise<unknown>, hold?: (trx: Knex.Transaction) => Promise<unknown>) {
  const { child, take: elsewhere } = await loaded();
  const trx = hold && (await db.transaction());
  await (trx && hold?.(trx));
  const answer = elsewhere(step).catch(() => undefined);
  await ready();
  const dead = once(child, 'exit');
  child.kill('SIGKILL');
  await dead;
  await answer;
  await trx?.rollback();
  await until(async () => (await sessions('true')) === 0);
}

const waiting = () => until(async () => (await sessions(`wait_event_type = 'Lock'`)) > 0);
const merging = ({ survivor, absorbed }: Sides): Step => ({ does: 'merge', survivor, absorbed, keep: [] });

const points: [string, (trx: Knex.Transaction, sides: Sides) => Promise<unknown>][] = [
  ['nothing is written yet', (trx, { absorbed }) => trx('subjects').where({ id: absorbed }).forUpdate()],
  [
    'identities are about to move',
    (trx, { absorbed }) => trx('identities').where({ subject_id: absorbed }).forUpdate(),
  ],
  ['aliases are rewritten', (trx, { absorbed }) => trx('subject_aliases').where({ survivor_id: absorbed }).forUpdate()],
  ['cases are closed', (trx, { survivor }) => trx('link_cases').where({ subject_id: survivor }).forUpdate()],
  ['it is recorded', (trx) => trx.raw('lock table audit_entries in share mode')],
  ['others are told', (trx) => trx.raw('lock table outbox in share mode')],
];

describe('D15: kill -9 of a process that merges', () => {
  it.each(points)('while %s: nothing has happened, and the next one merges', async (_title, hold) => {
    const both = await sides();
    const before = await everything();
    await killIn(merging(both), waiting, (trx) => hold(trx, both));
    expect(await everything()).toBe(before);
    await done(merging(both));
    expect(faultsIn(await readGraph(db), new Map())).toEqual([]);
  });

  it('while others are told of an undo: nothing has happened, and the next one undoes it', async () => {
    const both = await sides();
    const { id } = await done<{ id: string }>(merging(both));
    const before = await everything();
    const step: Step = { does: 'undo', merge_id: id };
    await killIn(step, waiting, (trx) => trx.raw('lock table outbox in share mode'));
    expect(await everything()).toBe(before);
    await done(step);
    expect(faultsIn(await readGraph(db), new Map())).toEqual([]);
  });

  it('at eight random moments: all of it or nothing', { timeout: 120_000 }, async () => {
    for (let kill = 0; kill < 8; kill++) {
      const both = await sides();
      const before = await everything();
      await killIn(merging(both), () => wait(Math.random() * 40));
      const standing = await db('merges').where({ absorbed_id: both.absorbed }).whereNull('undone_at');
      if (!standing.length) expect(await everything()).toBe(before);
      expect(faultsIn(await readGraph(db), new Map())).toEqual([]);
      await done(merging(both));
      expect(await db('merges').where({ absorbed_id: both.absorbed })).toHaveLength(1);
    }
  });
});
