/**
 * Console sessions as the server remembers them. The cookie alone would open the console until it ends, wherever a copy of it lies:
 * signing out, and losing every role, takes the row away and the copy with it. A session belongs to the network that it began in
 * (threat D21). Owns the table staff_sessions.
 */
import type { Knex } from 'knex';
import { networkOf } from '../http/client-address.ts';
import type { Seal } from '../seal.ts';

type Services = { db: Knex; seal: Seal };

const hashId = (seal: Seal, id: string) => seal.hash(id, 'staff session');

/** As long as the cookie can live at most. */
const longestHours = 12;

type Presented = { id: string; sub: string; ip: string };

export async function openSession({ db, seal }: Services, { id, sub, ip }: Presented): Promise<void> {
  await db('staff_sessions').where('ends_at', '<=', db.fn.now()).delete();
  await db('staff_sessions').insert({
    id_hash: hashId(seal, id),
    subject_id: sub,
    network: networkOf(ip),
    ends_at: db.raw(`now() + interval '${longestHours} hours'`),
  });
}

export async function isOpen({ db, seal }: Services, { id, sub, ip }: Presented): Promise<boolean> {
  const row = await db('staff_sessions')
    .where({ id_hash: hashId(seal, id), subject_id: sub, network: networkOf(ip) })
    .andWhere('ends_at', '>', db.fn.now())
    .first('id_hash');
  return row !== undefined;
}

export async function endSession({ db, seal }: Services, id: string): Promise<void> {
  await db('staff_sessions')
    .where({ id_hash: hashId(seal, id) })
    .delete();
}

export async function endSessionsOf(db: Knex, sub: string): Promise<void> {
  await db('staff_sessions').where({ subject_id: sub }).delete();
}
