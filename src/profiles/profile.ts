/**
 * One person over all channels: when they were first and last seen, and how often they did what.
 *
 * `counts` holds events that are trusted enough to count (the catalogue's least trust): a number in a profile is used to decide about
 * people, and anybody can send `order_paid` with a public key. What is shown on the timeline but does not count is in `uncounted`.
 * First and last seen and `events_total` are of both: they say when we heard of the person, not what it is worth.
 *
 * Kept numbers are added to and never counted again, so the cost does not grow with a person's history; a reader adds what was
 * not folded in yet.
 */
import type { Knex } from 'knex';
import { hasAgreed } from '../consent/consent.ts';
import type { Activity } from '../events/activity.ts';
import { keepDeclared } from './declared.ts';
import { addCounts, type Count, readCounts } from './store.ts';
import { keepTouches } from './touches.ts';

export type ChannelProfile = {
  first_seen_at: string;
  last_seen_at: string;
  counts: Record<string, number>;
  uncounted: Record<string, number>;
};
export type Profile = {
  sub: string;
  first_seen_at: string | null;
  last_seen_at: string | null;
  events_total: number;
  channels: Record<string, ChannelProfile>;
};

/** The two sides of a merge are read as one only with the profiling consent (identity rule 8). */
export async function profileOf(db: Knex, sub: string): Promise<Profile> {
  const counts = await readCounts(db, { sub, absorbed: await hasAgreed(db, sub, 'profiling') });
  const channels = [...Map.groupBy(counts, ({ channel }) => channel)];
  return {
    sub,
    ...seen(counts),
    events_total: counts.reduce((sum, { n }) => sum + n, 0),
    channels: Object.fromEntries(channels.map(([channel, ofChannel]) => [channel, channelProfile(ofChannel)])),
  };
}

function channelProfile(counts: Count[]): ChannelProfile {
  const summed = (wanted: boolean) =>
    Object.fromEntries(counts.filter((count) => count.counts === wanted).map(({ event, n }) => [event, n]));
  const { first_seen_at, last_seen_at } = seen(counts);
  return {
    first_seen_at: first_seen_at ?? '',
    last_seen_at: last_seen_at ?? '',
    counts: summed(true),
    uncounted: summed(false),
  };
}

function seen(counts: Count[]): { first_seen_at: string | null; last_seen_at: string | null } {
  const first = counts.map(({ first_at }) => first_at.getTime());
  const last = counts.map(({ last_at }) => last_at.getTime());
  if (!first.length) return { first_seen_at: null, last_seen_at: null };
  const at = (time: number) => new Date(time).toISOString();
  return {
    first_seen_at: at(first.reduce((a, b) => Math.min(a, b))),
    last_seen_at: at(last.reduce((a, b) => Math.max(a, b))),
  };
}

/** Folds what was recorded into what is kept, in the transaction that takes it out of what is pending. */
export async function keepActivity(trx: Knex.Transaction, sums: Activity[]): Promise<void> {
  await addCounts(trx, sums);
  await keepDeclared(trx, sums);
  await keepTouches(trx, sums);
}
