/**
 * What a person is signed in to, and the end of it: one device at a time from the account page, or everything at once (merge,
 * suspension, another phone number). Also the housekeeping of what has expired.
 */
import type { Knex } from 'knex';
import type { Database } from '../database.ts';
import { endBindings } from '../events/bind.ts';
import type { Seal } from '../seal.ts';
import { sealContext } from './adapter.ts';
import { words } from './scopes.ts';
import { deleteExpired, deleteOfSubject, grantsOfSubject, sessionsOfSubject } from './store.ts';

export type PersonGrant = {
  grant_id: string;
  client_id: string;
  scopes: string[];
  created_at: Date;
  /** When a token was last given to it. */
  last_used_at: Date;
};

export async function grantsOf({ db, seal }: { db: Knex; seal: Seal }, sub: string): Promise<PersonGrant[]> {
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

/** Ends one grant of this person; somebody else's is not touched. */
export async function endGrantOf(db: Knex, { sub, grant_id }: { sub: string; grant_id: string }): Promise<boolean> {
  const ended = await deleteOfSubject(db, sub, { grant_id });
  await endBindings(db, ended);
  return ended.length > 0;
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
