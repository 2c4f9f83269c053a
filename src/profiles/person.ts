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
import { isTimedOut } from '../database.ts';
import { inTurn } from '../events/admission.ts';
import { readWorkings } from './computed.ts';
import { type KeptFacts, readFacts } from './person-store.ts';
import { type Profile, profileOf } from './profile.ts';
import { explainRfm, type Rfm, rfmParts, rfmValue } from './rfm.ts';
import type { ComputedTrait, Title } from './trait.ts';

export type ComputedItem = {
  name: string;
  title: Title;
  origin: 'system' | 'company';
  value: Scalar | null;
  /** Of a history so long that it could not be worked out in time. */
  is_left_out: boolean;
};

export type PersonProfile = Profile &
  Omit<KeptFacts, 'locale'> & {
    /** Worked out, each with its value or null. */
    computed: ComputedItem[];
    /** Null for who never bought, and where it is left out. */
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
  const computed = worked.traits.map(({ name, title, origin, value, is_left_out }) => {
    const isKept = origin === 'system' && Object.hasOwn(kept, name);
    return {
      name,
      title,
      origin,
      ...(isKept ? { value: kept[name] ?? null, is_left_out: false } : { value, is_left_out }),
    };
  });
  return { ...profile, ...facts, computed, rfm: worked.rfm };
}

/** For all that is asked about a history too long to be read, in milliseconds: the rest is left out. Waiting for one's turn counts. */
const patience = 2_000;
const longOnes = inTurn(2);

/** Undefined: left out. */
type Found = Scalar | null | undefined;

async function workOut(db: Knex, sub: string, at: Date) {
  const ends = performance.now() + patience;
  const { traits, rfm: settings } = await readWorkings(db);
  const all = [...traits.values()];
  const parts = rfmParts(settings);
  const asked = [...parts, ...all.filter((trait) => !isKept(trait) && !isRfm(trait))];
  const needs = needsOf(
    asked.map(({ question }) => question),
    at.getTime(),
  );
  const events = await readBehaviour(db, sub, needs);
  const facts = events && factsOf(events);
  const values = new Map<string, Found>();
  if (facts) for (const { question } of asked) values.set(question.key, question.value(facts, at.getTime()).value);
  else await longOnes(() => askDatabase(db, asked, { sub, at, ends }, values));
  const found = parts.map(({ question }) => values.get(question.key));
  const rfm = found.includes(undefined)
    ? undefined
    : explainRfm(
        settings,
        found.map((value) => value ?? null),
        at.getTime(),
      );
  const told = (trait: ComputedTrait) =>
    isRfm(trait) ? rfm && rfmValue(rfm, trait.name) : values.get(trait.question.key);
  return {
    traits: all.map((trait) => {
      const value = told(trait);
      return { ...trait, value: value ?? null, is_left_out: value === undefined };
    }),
    rfm: rfm ?? null,
  };
}

type Asking = { sub: string; at: Date; ends: number };

/** One after the other: by statements they are dear. */
async function askDatabase(
  db: Knex,
  asked: Pick<ComputedTrait, 'question' | 'sql'>[],
  { sub, at, ends }: Asking,
  values: Map<string, Found>,
): Promise<void> {
  for (const worked of asked) {
    const timeout = Math.floor(ends - performance.now());
    if (timeout <= 0) return;
    if (values.has(worked.question.key)) continue;
    try {
      values.set(worked.question.key, await valueFor(db, worked, { sub, at, timeout }));
    } catch (error) {
      if (!isTimedOut(error)) throw error;
    }
  }
}

/** Of the system, and about any event. */
function isKept({ origin, definition }: ComputedTrait): boolean {
  return origin === 'system' && definition !== null && 'event' in definition && definition.event === '*';
}

/** A score, which is of the same values as what is told with it. */
function isRfm({ origin, definition }: ComputedTrait): boolean {
  return origin === 'system' && definition === null;
}
