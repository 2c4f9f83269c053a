/**
 * Random groups of people who share devices, and everything that can happen to them, each step done by the product itself: events by
 * the real intake (late, duplicated, with wrong clocks, somewhat in the future), bindings, consents, merges and their undoing.
 */
import fc, { type Arbitrary } from 'fast-check';
import type { Knex } from 'knex';
import { recordConsents } from '../../src/consent/consent.ts';
import type { Database } from '../../src/database.ts';
import { AppError } from '../../src/errors.ts';
import { bindAnonymous } from '../../src/events/bind.ts';
import { type CatalogueOverride, catalogueReader } from '../../src/events/catalogue.ts';
import { claimHeld } from '../../src/events/held.ts';
import { takeIn } from '../../src/events/intake.ts';
import type { Speaker } from '../../src/events/speaker.ts';
import { createLogger } from '../../src/log.ts';
import { declareTraits } from '../../src/profiles/declared.ts';
import { createSeal } from '../../src/seal.ts';
import { keyOf } from '../../src/subjects/identity-key.ts';
import { linkProof } from '../../src/subjects/link.ts';
import { mergeSubjects } from '../../src/subjects/merge.ts';
import { resolveSubject } from '../../src/subjects/resolve.ts';
import { undoMerge } from '../../src/subjects/undo.ts';
import { noJobs } from '../helpers/jobs.ts';
import type { Fields, Json } from './oracle-world.ts';
import { dates } from './trait-nodes.ts';
import { ages, channels, events, minute, numbers, purposes, scalars, tags, texts, traitNames } from './vocabulary.ts';

export type Tracked = {
  event: string;
  ago: number;
  channel: string | undefined;
  properties: Fields;
  context: Fields;
  agreed: string[];
  messageId: string | undefined;
  /** How far the sender's clock is ahead; undefined: it does not say when it sent. */
  ahead: number | undefined;
};
const speakers = ['token', 'client', 'server', 'server by phone', 'server by device'] as const;

/** `who` is one of the group's people, `device` one of its devices. */
export type Happening =
  | { does: 'events'; speaker: (typeof speakers)[number]; who: number; device: number; events: Tracked[] }
  | { does: 'consent'; who: number; purpose: string; granted: boolean }
  | { does: 'personalise'; who: number; on: boolean }
  | { does: 'trait'; who: number; name: string; value: Json; own: boolean }
  | { does: 'tag'; who: number; tag: string; on: boolean }
  | { does: 'bind'; who: number; device: number; ago: number }
  | { does: 'appear'; who: number; as: 'phone' | 'email' | 'openid' }
  | { does: 'merge'; who: number; other: number }
  | { does: 'undo'; which: number }
  | { does: 'suspend'; who: number; on: boolean };

export const groupSize = 3;
const who = fc.nat(groupSize - 1);
const one = <T>(of: readonly T[]): Arbitrary<T> => fc.constantFrom(...of);

const value = one<Json>([...scalars, null, [], {}]);
const product = fc.record(
  { sku: one<Json>(['a', 'b', 7, '7', null]), price: one<Json>([...numbers, '9.50', 'x']) },
  { requiredKeys: [] },
);
const long = Array.from({ length: 250 }, (_, n) => (n * 7919).toString(36)).join(' ');
const properties: Arbitrary<Fields> = fc
  .record(
    {
      product_id: fc.oneof({ weight: 5, arbitrary: one<Json>(['a', 'b', 7, '7']) }, { weight: 1, arbitrary: value }),
      order_id: fc.oneof({ weight: 5, arbitrary: one<Json>([1, 2, '1']) }, { weight: 1, arbitrary: value }),
      // Of a longer event no more is read than is asked for.
      note: one<Json>([long]),
      total: one<Json>([...numbers, '9.50', '0.1', null]),
      price: fc.oneof(
        { weight: 4, arbitrary: one<Json>([...numbers, '9.50', '0.1', '5000', '0005000.0']) },
        {
          weight: 1,
          arbitrary: one<Json>([...texts, null, '1e3', ' 7', '99999999999999999999.0000000001', 1e21, 1e-7]),
        },
      ),
      labels: fc.oneof(
        {
          weight: 4,
          arbitrary: fc.array(one<Json>(['a', 'b', 7, '7', 0.1, '红色相机', null, {}, ['a']]), { maxLength: 3 }),
        },
        { weight: 1, arbitrary: value },
      ),
      products: fc.oneof(
        {
          weight: 4,
          arbitrary: fc.array(fc.oneof({ weight: 5, arbitrary: product }, { weight: 1, arbitrary: value }), {
            maxLength: 3,
          }),
        },
        { weight: 1, arbitrary: value },
      ),
      deep: fc.oneof(fc.record({ a: fc.record({ b: value }) }), fc.record({ a: value }), value),
    },
    { requiredKeys: [] },
  )
  .map((fields) => fields as Fields);
const context = fc.record(
  {
    note: one<Json>([long]),
    locale: one<Json>(['zh-CN', 'en']),
    campaign: fc.record({ source: one<Json>(['a', 'b', '7', null]) }),
    scenes: fc.array(fc.record({ id: one<Json>([1, 7, '7', 'a']) }), { maxLength: 2 }),
  },
  { requiredKeys: [] },
) as Arbitrary<Fields>;

/** Also late, and sometimes a little ahead of our clock. */
export const happenedAgo: Arbitrary<number> = fc.oneof(
  { weight: 9, arbitrary: ages },
  { weight: 1, arbitrary: fc.integer({ min: -6, max: 0 }).map((minutes) => minutes * minute) },
);

const maybe = <T>(arbitrary: Arbitrary<T>, freq = 2) => fc.option(arbitrary, { nil: undefined, freq });

const tracked = (ago: Arbitrary<number>): Arbitrary<Tracked> =>
  fc.record({
    event: fc.oneof(
      { weight: 8, arbitrary: one<string>(events) },
      { weight: 1, arbitrary: one(['Order Completed', 'something else']) },
    ),
    ago,
    channel: maybe(one<string>(channels)),
    properties,
    context,
    agreed: fc.oneof(
      { weight: 2, arbitrary: fc.constant<string[]>([...purposes]) },
      { weight: 1, arbitrary: fc.subarray<string>([...purposes]) },
    ),
    messageId: fc.option(one(['m1', 'm2', 'm3', 'm4']), { nil: undefined, freq: 1 }),
    ahead: fc.option(
      fc.integer({ min: -3 * 24 * 60, max: 3 * 24 * 60 }).map((minutes) => minutes * minute),
      { nil: undefined },
    ),
  });

const traitValue: Record<string, Arbitrary<Json>> = {
  level: one<Json>(['a', '红色相机', '7', null]),
  points: one<Json>([...numbers, '9.50', 'x', null]),
  birthday: one<Json>([...dates]),
  joined_at: one<Json>([...dates, 7]),
  labels: one<Json>([['a', 7], [], 'a', ['红色相机', null]]),
  vip: one<Json>([true, false, 'true']),
};

/** @param ago how long before it is sent what is tracked happened, by the right clock */
export function happenings(ago: Arbitrary<number> = happenedAgo): Arbitrary<Happening> {
  const is = <D extends Happening['does']>(does: D) => fc.constant(does);
  return fc.oneof(
    {
      weight: 24,
      arbitrary: fc.record({
        does: is('events'),
        speaker: one(speakers),
        who,
        device: who,
        events: fc.array(tracked(ago), { minLength: 1, maxLength: 6 }),
      }),
    },
    {
      weight: 8,
      arbitrary: fc.record({
        does: is('consent'),
        who,
        purpose: one(purposes.slice(1)),
        granted: fc.boolean(),
      }),
    },
    { weight: 3, arbitrary: fc.record({ does: is('personalise'), who, on: one([true, true, false]) }) },
    {
      weight: 5,
      arbitrary: one(traitNames).chain((name) =>
        fc.record({
          does: is('trait'),
          who,
          name: fc.constant(name),
          value: traitValue[name] ?? value,
          own: one([true, false, false]),
        }),
      ),
    },
    { weight: 4, arbitrary: fc.record({ does: is('tag'), who, tag: one<string>(tags), on: fc.boolean() }) },
    {
      weight: 6,
      arbitrary: fc.record({
        does: is('bind'),
        who,
        device: who,
        ago: one([0, 5, 9]).map((minutes) => minutes * minute),
      }),
    },
    { weight: 1, arbitrary: fc.record({ does: is('appear'), who, as: one(['phone', 'email', 'openid'] as const) }) },
    { weight: 5, arbitrary: fc.record({ does: is('merge'), who, other: who }) },
    { weight: 4, arbitrary: fc.record({ does: is('undo'), which: fc.nat(9) }) },
    { weight: 4, arbitrary: fc.record({ does: is('suspend'), who, on: fc.boolean() }) },
  ) as Arbitrary<Happening>;
}

// A group in the database

export type Group = { name: string; subs: string[]; merges: string[] };

export const seal = createSeal('a secret of at least thirty-two characters');
export const log = createLogger({ level: process.env.DEBUG_LOG ?? 'silent' });
const staff = { actor_kind: 'staff' as const, actor_id: 'somebody' };
const servicesOf = (db: Database) => ({ db, seal, jobs: noJobs });
let made = 0;

export async function newGroup(db: Database, now: Date): Promise<Group> {
  const name = `g${++made}`;
  const subs: string[] = [];
  for (let n = 0; n < groupSize; n++) {
    const identities = [{ kind: 'wechat_openid' as const, issuer: 'wx1', external_id: `${name}-${n}` }];
    const { sub } = await resolveSubject(servicesOf(db), {
      proofs: [{ connector: 'test', identities }],
      create: true,
      context: { channel: 'website' },
    });
    await db('subjects').where({ id: sub }).update({ created_at: now });
    // The first agrees to everything, the second to be read as one, the third to nothing yet.
    for (const purpose of n === 0 ? purposes.slice(1) : n === 1 ? ['profiling'] : [])
      await agree(db, sub, purpose, true);
    subs.push(sub);
  }
  return { name, subs, merges: [] };
}

/** Done by the product, or refused by it. */
export async function happen(db: Database, group: Group, happening: Happening, now: Date): Promise<void> {
  try {
    await act(db, group, happening, now);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
  }
}

async function act(db: Database, group: Group, happening: Happening, now: Date): Promise<unknown> {
  const subOf = (at: number) => group.subs[at] ?? '';
  const at = now;
  switch (happening.does) {
    case 'events':
      return track(db, group, happening, now);
    case 'consent':
      return agree(db, subOf(happening.who), happening.purpose, happening.granted);
    case 'personalise':
      return db('personalisation_choices').insert({
        subject_id: subOf(happening.who),
        is_on: happening.on,
        channel: 'website',
      });
    case 'trait':
      return say(db, subOf(happening.who), happening, now);
    case 'tag': {
      const row = { subject_id: subOf(happening.who), tag: happening.tag };
      if (!happening.on) return db('profile_tags').where(row).delete();
      return db('profile_tags')
        .insert({ ...row, added_by: 'staff:somebody' })
        .onConflict()
        .ignore();
    }
    case 'bind':
      return bind(
        db,
        subOf(happening.who),
        deviceOf(group, happening.device),
        new Date(at.getTime() - happening.ago),
        now,
      );
    case 'appear': {
      const sub = subOf(happening.who);
      await linkProof(servicesOf(db), {
        sub,
        proof: { connector: 'test', identities: [identityOf(group, happening)] },
        actor: { actor_kind: 'person', actor_id: sub },
      });
      return claimHeld(db, null);
    }
    case 'merge': {
      const [survivor, absorbed] = [subOf(happening.who), subOf(happening.other)];
      const { id } = await mergeSubjects(servicesOf(db), {
        survivor,
        absorbed,
        keep: [],
        reason: 'one person',
        basis: 'staff',
        actor: staff,
      });
      return group.merges.push(id);
    }
    case 'undo': {
      const [merge_id] = group.merges.splice(happening.which % (group.merges.length || 1), 1);
      return merge_id && undoMerge(servicesOf(db), { merge_id, reason: 'two people', actor: staff });
    }
    case 'suspend': {
      const [from, to] = happening.on ? ['active', 'suspended'] : ['suspended', 'active'];
      return db('subjects')
        .where({ id: subOf(happening.who), status: from })
        .update({ status: to });
    }
  }
}

/** All that is known of these groups and of nobody else. */
export const knownOf = (groups: Group[]) => ({
  subs: groups.flatMap(({ subs }) => subs),
  devices: groups.flatMap((group) => group.subs.map((_, at) => deviceOf(group, at))),
});

const deviceOf = ({ name }: Group, at: number) => `${name}-device-${at}`;
const phoneOf = ({ name }: Group, at: number) => `+86138${String(Number(name.slice(1)) * 10 + at).padStart(8, '0')}`;

function identityOf(group: Group, { who: at, as }: Happening & { does: 'appear' }) {
  if (as === 'phone') return { kind: 'phone' as const, issuer: '', external_id: phoneOf(group, at) };
  if (as === 'email') return { kind: 'email' as const, issuer: '', external_id: `${group.name}-${at}@example.com` };
  return { kind: 'wechat_openid' as const, issuer: 'wx2', external_id: `${group.name}-${at}` };
}

function agree(db: Database, subject_id: string, purpose: string, is_granted: boolean): Promise<unknown> {
  const consents = [{ purpose: purpose as 'marketing', version: '1' }];
  return recordConsents(db, { subject_id, consents, is_granted, channel: 'website', evidence: {} });
}

/** The person says it by a token, or staff. */
async function say(db: Database, sub: string, { name, value: said, own }: Happening & { does: 'trait' }, now: Date) {
  const traits = { [name]: said };
  if (own) return takeItems(db, speakerOf('token', sub), [{ type: 'identify', traits }], now);
  return db.transaction((trx) => declareTraits(trx, { clock: { now: () => now } }, { sub, traits, source: 'staff:x' }));
}

/** Bindings are made by the clock of the database: theirs is moved to it and back, so that a run is the same whenever it is made. */
async function bind(db: Database, subject_id: string, anonymous_id: string, at: Date, now: Date): Promise<void> {
  await db.transaction(async (trx: Knex.Transaction) => {
    const { rows } = await trx.raw('select clock_timestamp() as real');
    const ahead = rows[0].real.getTime() - now.getTime();
    const move = (ms: number) =>
      trx.raw(
        `update anonymous_bindings
            set looks_back_to = looks_back_to + moved, bound_at = bound_at + moved, created_at = created_at + moved,
                last_seen_at = last_seen_at + moved, ends_at = ends_at + moved
           from (select ? * interval '1 millisecond' as moved) m where anonymous_id = ?`,
        [ms, anonymous_id],
      );
    await move(ahead);
    await bindAnonymous(trx, { anonymous_id, subject_id, method: 'token', at: new Date(at.getTime() + ahead) });
    await move(-ahead);
  });
}

const sources: Record<(typeof speakers)[number], number> = {
  token: 1,
  client: 2,
  server: 3,
  'server by phone': 3,
  'server by device': 3,
};

function speakerOf(speaker: (typeof speakers)[number], sub: string): Speaker {
  const source = {
    source_id: sources[speaker],
    catalogue: (speaker === 'token' ? { order_paid: 'token' } : {}) as CatalogueOverride,
    channel: 'website',
    origins: [],
    events_per_minute: 100_000,
    declared_consents: [],
  };
  if (speaker === 'token') return { kind: 'token', sub, ...source };
  return speaker === 'client' ? { kind: 'client', client_ids: [], ...source } : { kind: 'server', ...source };
}

async function track(
  db: Database,
  group: Group,
  { speaker, who: at, device, events: given }: Happening & { does: 'events' },
  now: Date,
) {
  const names = {
    token: { anonymousId: deviceOf(group, device) },
    client: { anonymousId: deviceOf(group, device) },
    server: { userId: group.subs[at] },
    'server by phone': {},
    'server by device': { anonymousId: deviceOf(group, device) },
  }[speaker];
  const externalIds =
    speaker === 'server by phone'
      ? [{ id: phoneOf(group, at), type: 'phone', collection: 'users', encoding: 'none' }]
      : undefined;
  const iso = (time: number) => new Date(time).toISOString();
  const items = given.map(({ ahead, ago, messageId, agreed, ...tracked }) => ({
    type: 'track',
    event: tracked.event,
    ...names,
    ...(messageId && { messageId: `${group.name}-${messageId}` }),
    timestamp: iso(now.getTime() - ago + (ahead ?? 0)),
    ...(ahead !== undefined && { sentAt: iso(now.getTime() + ahead) }),
    properties: tracked.properties,
    context: {
      ...tracked.context,
      ...(tracked.channel && { channel: tracked.channel }),
      ...(externalIds && { externalIds }),
      consent: { categoryPreferences: Object.fromEntries(agreed.map((purpose) => [purpose, true])) },
    },
  }));
  await takeItems(db, speakerOf(speaker, group.subs[at] ?? ''), items, now);
}

async function takeItems(db: Database, speaker: Speaker, items: unknown[], now: Date): Promise<void> {
  const clock = { now: () => now };
  const services = {
    db,
    clock,
    log,
    keyOf: (identity: Parameters<typeof keyOf>[1]) => keyOf(seal, identity),
    readIdToken: async () => undefined,
    inTurn: <T>(work: () => Promise<T>) => work(),
    readCatalogue: catalogueReader({ db, clock }),
  };
  const batch = { items, type: undefined, sentAt: undefined, context: undefined };
  const rejected = await takeIn(services, speaker, batch, { userAgent: '', ownHost: '' });
  if (rejected.length) throw new Error(`refused: ${JSON.stringify(rejected)}`);
}
