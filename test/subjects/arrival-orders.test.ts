/**
 * In whatever order the identities of people arrive, and wherever: one person ends as one wherever a proof joins what they are known
 * by, and two people stay two. What must come out is reckoned here from the proofs alone: identities proven in one go are one
 * person's; identities of two people that differ in kind and issuer are never one's.
 *
 * ARRIVAL_SEED=<n> repeats a run that failed.
 */
import { array, assert, asyncProperty, boolean, constantFrom, integer, record, uniqueArray } from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Identity, Proof } from '../../src/connectors/contract.ts';
import { createSeal } from '../../src/seal.ts';
import { resolveSubject } from '../../src/subjects/resolve.ts';
import { currentSubject, identitiesOf } from '../../src/subjects/subjects.ts';
import { testDatabase } from '../helpers/database.ts';
import { noJobs } from '../helpers/jobs.ts';

const { db } = await testDatabase();
const services = { db, seal: createSeal('a secret of at least thirty-two characters'), jobs: noJobs };
const seed = Number(process.env.ARRIVAL_SEED ?? 20_261_126);

/** The doors of the company: apps of two open-platform accounts and of none, codes by phone and by mail. */
const apps = {
  web: { appid: 'wxweb', platform: 'main' },
  official: { appid: 'wxofficial', platform: 'main' },
  mini: { appid: 'wxmini', platform: 'main' },
  otherMini: { appid: 'wxother', platform: 'second' },
  unbound: { appid: 'wxunbound', platform: undefined },
} as const;
type App = keyof typeof apps;
type Arrival = {
  door: App | 'phone' | 'email';
  /** WeChat gives the unionid, or not yet. */
  withUnion: boolean;
  /** The mini-program asks for the phone in the same go. */
  withPhone: boolean;
};

const doors = [...(Object.keys(apps) as App[]), 'phone', 'email'] as const;
const arrival = record({ door: constantFrom(...doors), withUnion: boolean(), withPhone: boolean() });

let serial = 0;
/** Nobody of an earlier run. */
const newName = () => `${process.pid}-${++serial}`;

function identityAt(name: string, door: Arrival['door']): Identity {
  if (door === 'phone') return { kind: 'phone', issuer: '', external_id: phoneOf(name) };
  if (door === 'email') return { kind: 'email', issuer: '', external_id: `${name}@example.com` };
  return { kind: 'wechat_openid', issuer: apps[door].appid, external_id: `${door}-${name}` };
}
const phoneOf = (name: string) => `+86138${name.split('-')[1]?.padStart(8, '0')}`;

/** As the connectors prove it: the openid first, then the unionid; the phone is a proof of its own. `phoneFrom`: whose phone it is. */
function proofsOf(name: string, { door, withUnion, withPhone }: Arrival, phoneFrom = name): [Proof, ...Proof[]] {
  const first = identityAt(name, door);
  const platform = door === 'phone' || door === 'email' ? undefined : apps[door].platform;
  const union = { kind: 'wechat_unionid' as const, issuer: platform ?? '', external_id: `union-${name}` };
  const proof = { connector: door, identities: platform && withUnion ? [first, union] : [first] };
  const phone = { connector: 'phone', identities: [identityAt(phoneFrom, 'phone')] };
  return withPhone && first.kind === 'wechat_openid' ? [proof, phone] : [proof];
}

async function signIn(proofs: [Proof, ...Proof[]]): Promise<string> {
  return (await resolveSubject(services, { proofs, create: true, context: { channel: 'website' } })).sub;
}

const nameOf = ({ kind, issuer, external_id }: Identity) => `${kind} ${issuer} ${external_id}`;

/** Identities that some sign-in proved together, directly or by way of others. */
function createJoined() {
  const parent = new Map<string, string>();
  const find = (name: string): string => {
    const up = parent.get(name) ?? name;
    return up === name ? name : find(up);
  };
  return {
    add(names: string[]) {
      for (const name of names) {
        if (!parent.has(name)) parent.set(name, name);
        parent.set(find(name), find(names[0] ?? name));
      }
    },
    groups: () => [...Map.groupBy(parent.keys(), find).values()].map((group) => group.sort()),
  };
}

/** What the subjects hold today, those of these subs that stand. */
async function heldBy(subs: Iterable<string>): Promise<Map<string, Identity[]>> {
  const held = new Map<string, Identity[]>();
  for (const sub of subs) {
    const current = await currentSubject(db, sub);
    expect(current?.status).toBe('active');
    if (current) held.set(current.sub, await identitiesOf(services, current.sub));
  }
  return held;
}

const sorted = (groups: string[][]) =>
  groups.map((group) => group.sort()).sort((a, b) => String(a).localeCompare(String(b)));

describe('whatever the order in which one person’s identities arrive', () => {
  it('C9: after every arrival they are as many subjects as their proofs leave apart, and every sub ever given leads to one of them', {
    timeout: 120_000,
  }, async () => {
    await assert(
      asyncProperty(array(arrival, { minLength: 2, maxLength: 12 }), async (arrivals) => {
        const name = newName();
        const joined = createJoined();
        const subs = new Set<string>();
        for (const one of arrivals) {
          const proofs = proofsOf(name, one);
          const proven = proofs.flatMap(({ identities }) => identities.map(nameOf));
          joined.add(proven);
          const sub = await signIn(proofs);
          subs.add(sub);
          const held = await heldBy(subs);
          expect(held.get(sub)?.map(nameOf)).toEqual(expect.arrayContaining(proven));
          expect(sorted([...held.values()].map((identities) => identities.map(nameOf)))).toEqual(
            sorted(joined.groups()),
          );
        }
      }),
      { seed, numRuns: 60 },
    );
  });

  it('they are one in the end, when all that they are known by was proven with the phone or a unionid once', {
    timeout: 120_000,
  }, async () => {
    const order = uniqueArray(integer({ min: 0, max: 9 }), { minLength: 10, maxLength: 10 });
    await assert(
      asyncProperty(order, async (positions) => {
        const name = newName();
        const alone = doors.map((door) => ({ door, withUnion: false, withPhone: false }));
        const joining: Arrival[] = [
          { door: 'web', withUnion: true, withPhone: false },
          { door: 'official', withUnion: true, withPhone: false },
          { door: 'mini', withUnion: true, withPhone: true },
        ];
        const all = [...alone, ...joining].slice(0, 10);
        const subs = new Set<string>();
        for (const at of positions)
          subs.add(
            await signIn(proofsOf(name, all[at] ?? alone[0] ?? { door: 'web', withUnion: false, withPhone: false })),
          );
        for (const door of ['unbound', 'otherMini'] as const)
          subs.add(await signIn(proofsOf(name, { door, withUnion: true, withPhone: true })));
        const held = await heldBy(subs);
        // The mail was never proven with anything else: by mail alone they are somebody else.
        expect(held.size).toBe(2);
      }),
      { seed, numRuns: 30 },
    );
  });
});

describe('whatever the order in which several people’s identities arrive', () => {
  const people = 3;
  const meeting = record({
    who: integer({ min: 0, max: people - 1 }),
    phoneOf: integer({ min: 0, max: people - 1 }),
    at: arrival,
  });

  it('B17, C10: who lends a phone or borrows one stays who they are, and nothing that was somebody’s ever becomes another’s', {
    timeout: 120_000,
  }, async () => {
    await assert(
      asyncProperty(array(meeting, { minLength: 4, maxLength: 20 }), async (meetings) => {
        const names = Array.from({ length: people }, newName);
        const subs = new Set<string>();
        // Everybody is known by the mini-program, with their unionid and their own phone, before phones are lent.
        for (const name of names)
          subs.add(await signIn(proofsOf(name, { door: 'mini', withUnion: true, withPhone: true })));
        for (const { who, phoneOf: lender, at } of meetings)
          subs.add(await signIn(proofsOf(names[who] ?? '', at, names[isKnownAt(at) ? lender : who])));
        for (const identities of (await heldBy(subs)).values()) assertOne(names, identities);
      }),
      { seed, numRuns: 40 },
    );
  });
});

/**
 * Where WeChat says who it is, by an openid or a unionid that was proven before. An unknown openid with a lent phone and nothing else
 * is the lender's, as far as anybody can know (rule 7).
 */
const isKnownAt = ({ door, withUnion }: Arrival) =>
  door === 'mini' || ((door === 'web' || door === 'official') && withUnion);

/** Nothing of two people, and no two of one kind and issuer. */
function assertOne(names: string[], identities: Identity[]): void {
  const ownerOf = ({ kind, external_id }: Identity) =>
    names.find((name) => (kind === 'phone' ? external_id === phoneOf(name) : external_id.includes(name)));
  expect(new Set(identities.map(ownerOf)).size, identities.map(nameOf).join(', ')).toBe(1);
  const kinds = identities.map(({ kind, issuer }) => `${kind} ${issuer}`);
  expect(new Set(kinds).size).toBe(kinds.length);
}
