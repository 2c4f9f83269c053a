/**
 * What a person is signed in to, and the end of it: one device at a time from the account page, or everything at once (merge,
 * suspension, another phone number). Also the housekeeping of what has expired.
 */
import type { Knex } from 'knex';
import type { Database } from '../database.ts';
import { endBindings } from '../events/bind.ts';
import type { Seal } from '../seal.ts';
import { artifactId, sealContext } from './adapter.ts';
import { words } from './scopes.ts';
import { deleteExpired, deleteOfSubject, grantsOfSubject, sessionOfSubject, sessionsOfSubject } from './store.ts';

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

/** Ends one grant of this person; somebody else's is not touched. */
export async function endGrantOf(db: Knex, { sub, grant_id }: { sub: string; grant_id: string }): Promise<boolean> {
  const ended = await deleteOfSubject(db, sub, { ids: [grant_id] });
  await endBindings(db, ended);
  return ended.length > 0;
}

/** One browser: its session, and every grant that was given from it. Somebody else's is not touched. */
export async function endSessionOf(
  { db, seal }: Services,
  { sub, uid }: { sub: string; uid: string },
): Promise<boolean> {
  const session = await sessionOfSubject(db, sub, uid);
  if (!session) return false;
  await endBindings(db, await deleteOfSubject(db, sub, { ids: [session.id, ...grantsIn(seal, session)] }));
  return true;
}

/** Everything but this browser and what was given from it. */
export async function endOthersOf({ db, seal }: Services, { sub, uid }: { sub: string; uid: string }): Promise<void> {
  const session = await sessionOfSubject(db, sub, uid);
  const but = session ? [session.id, ...grantsIn(seal, session)] : [];
  await endBindings(db, await deleteOfSubject(db, sub, { but }));
}

function grantsIn(seal: Seal, { id, payload_sealed }: { id: string; payload_sealed: string }): string[] {
  const { authorizations = {} } = JSON.parse(seal.open(payload_sealed, sealContext('Session', id)));
  const given: { grantId?: string }[] = Object.values(authorizations);
  return given.flatMap(({ grantId }) => (grantId ? [artifactId(grantId)] : []));
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
