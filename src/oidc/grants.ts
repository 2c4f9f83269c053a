/**
 * What a person is signed in to, and the end of it: one device at a time from the account page, or everything at once (merge,
 * suspension, another phone number). Also the housekeeping of what has expired.
 */
import type { Knex } from 'knex';
import { type Database, inTransaction } from '../database.ts';
import { endBindings } from '../events/bind.ts';
import type { Jobs } from '../jobs.ts';
import type { Seal } from '../seal.ts';
import { sealContext } from './adapter.ts';
import { type EndedSessions, grantsIn, informedOf } from './informed.ts';
import { words } from './scopes.ts';
import {
  deleteExpired,
  deleteOfSubject,
  grantsOfSubject,
  sessionOfSubject,
  sessionsAndGrantsOf,
  sessionsOfSubject,
  type Which,
} from './store.ts';

type Services = { db: Knex; seal: Seal };

export type PersonGrant = {
  grant_id: string;
  client_id: string;
  scopes: string[];
  created_at: Date;
  /** When a token was last given to it. */
  last_used_at: Date;
};

export async function grantsOf({ db, seal }: Services, sub: string): Promise<PersonGrant[]> {
  const rows = await grantsOfSubject(db, sub);
  return rows.map(({ id, payload_sealed, client_id, created_at, last_used_at }) => {
    const { openid, resources } = JSON.parse(seal.open(payload_sealed, sealContext('Grant', id)));
    const scopes = [openid?.scope, ...Object.values(resources ?? {})].flatMap(words);
    return { grant_id: id, client_id, scopes, created_at, last_used_at };
  });
}

/** Browsers in which the person is signed in to us. */
export async function browserSessionsOf(db: Knex, sub: string) {
  return sessionsOfSubject(db, sub);
}

/** Ends every session, grant, code and token of a person, or those that began before a moment, in the caller's transaction. */
export async function endAllOf(db: Knex, sub: string, only: { before?: string } = {}): Promise<void> {
  await endBindings(db, await deleteOfSubject(db, sub, only));
}

type Ending = Services & { jobs: Pick<Jobs, 'send'> };

/** Ends one grant of this person; somebody else's is not touched. */
export async function endGrantOf(
  services: Ending,
  { sub, grant_id }: { sub: string; grant_id: string },
): Promise<boolean> {
  return end(services, sub, { ids: [grant_id] });
}

/** One browser: its session, and every grant that was given from it. Somebody else's is not touched. */
export async function endSessionOf(services: Ending, { sub, uid }: { sub: string; uid: string }): Promise<boolean> {
  const session = await sessionOfSubject(services.db, sub, uid);
  return session !== undefined && end(services, sub, { ids: [session.id, ...grantsIn(services.seal, session)] });
}

/** Everything but this browser and what was given from it; without one, everything. */
export async function endOthersOf(services: Ending, { sub, uid }: { sub: string; uid?: string }): Promise<void> {
  const session = uid === undefined ? undefined : await sessionOfSubject(services.db, sub, uid);
  await end(services, sub, { but: session ? [session.id, ...grantsIn(services.seal, session)] : [] });
}

/** At once; the clients hear of it right after (backchannel.ts). False when there was nothing. */
async function end({ db, seal, jobs }: Ending, sub: string, only: Which): Promise<boolean> {
  return inTransaction(db, async (trx) => {
    const artifacts = await sessionsAndGrantsOf(trx, sub, only);
    await endBindings(trx, await deleteOfSubject(trx, sub, only));
    const informed = informedOf(seal, artifacts);
    if (informed.length) await jobs.send('session.ended', { sub, informed } satisfies EndedSessions, trx);
    return artifacts.length > 0;
  });
}

const batch = 2_000;

/** In batches, so that no statement holds its locks for long. */
export async function purgeExpired(db: Database): Promise<number> {
  let total = 0;
  for (;;) {
    const { count, grants } = await deleteExpired(db, batch);
    await endBindings(db, grants);
    total += count;
    if (count < batch) return total;
  }
}
