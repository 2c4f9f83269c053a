/**
 * Everything a profile says of one person, as of this moment. What is kept (counts, declared traits, tags, touches) is read; what is worked
 * out is worked out of the events that it asks for. Declared traits and touches are as of the last round of segments, all else is as of now.
 */
import type { Knex } from 'knex';
import { factsOf } from '../behaviour/facts.ts';
import { readBehaviour } from '../behaviour/history.ts';
import type { Scalar } from '../behaviour/language.ts';
import { needsOf } from '../behaviour/needs.ts';
import { valueFor } from '../behaviour/sql/computed.ts';
import type { Clock } from '../clock.ts';
import { readWorkings } from './computed.ts';
import { type KeptFacts, readFacts } from './person-store.ts';
import { type Profile, profileOf } from './profile.ts';
import { explainRfm, type Rfm, rfmParts } from './rfm.ts';
import type { ComputedTrait, Title } from './trait.ts';

export type ComputedItem = { name: string; title: Title; origin: 'system' | 'company'; value: Scalar | null };

export type PersonProfile = Profile &
  Omit<KeptFacts, 'locale'> & {
    /** Worked out, each with its value or null. */
    computed: ComputedItem[];
    /** Null for who never bought. */
    rfm: Rfm | null;
  };

/** @param sub one that stands */
export async function personProfile({ db, clock }: { db: Knex; clock: Clock }, sub: string): Promise<PersonProfile> {
  const [profile, { locale, ...facts }, worked] = await Promise.all([
    profileOf(db, sub),
    readFacts(db, sub),
    workOut(db, sub, clock.now()),
  ]);
  const { first_seen_at, last_seen_at, events_total } = profile;
  // These would need every event there is; kept, they are of all events, whatever these were collected for.
  const kept: Record<string, Scalar | null> = { first_seen_at, last_seen_at, events_total, locale };
  const computed = worked.traits.map(({ name, title, origin, value }) => ({
    name,
    title,
    origin,
    value: origin === 'system' && Object.hasOwn(kept, name) ? (kept[name] ?? null) : value,
  }));
  return { ...profile, ...facts, computed, rfm: worked.rfm };
}

/** For one value, in milliseconds, of somebody whose history is too long to be read. */
const patience = 5_000;

async function workOut(db: Knex, sub: string, at: Date) {
  const { traits, rfm } = await readWorkings(db);
  const all = [...traits.values()];
  const asked = all.filter((trait) => !isKept(trait));
  const needs = needsOf(
    asked.map(({ question }) => question),
    at.getTime(),
  );
  const events = await readBehaviour(db, sub, needs);
  const facts = events && factsOf(events);
  const work = async (worked: Pick<ComputedTrait, 'question' | 'sql'>) =>
    facts ? worked.question.value(facts, at.getTime()).value : valueFor(db, worked, { sub, at, timeout: patience });
  const values = new Map<string, Scalar | null>();
  // One after the other: by statements they are dear.
  for (const trait of asked) values.set(trait.name, await work(trait));
  const parts: (Scalar | null)[] = [];
  for (const part of rfmParts(rfm)) parts.push(await work(part));
  return {
    traits: all.map((trait) => ({ ...trait, value: values.get(trait.name) ?? null })),
    rfm: explainRfm(rfm, parts, at.getTime()),
  };
}

/** Of the system, and about any event. */
function isKept({ origin, definition }: ComputedTrait): boolean {
  return origin === 'system' && definition !== null && 'event' in definition && definition.event === '*';
}
