/** Who does something to a person, for the record; and how what was done is told. */
import type { Knex } from 'knex';
import { type AuditEntry, recordAudit } from '../audit/audit.ts';
import type { IdentityKind } from '../connectors/contract.ts';
import type { Jobs } from '../jobs.ts';

export type Actor = Pick<AuditEntry, 'actor_kind' | 'actor_id' | 'client_id' | 'ip' | 'request_id'>;

export type SendJobs = Pick<Jobs, 'send'>;

/** Job `subject.notify`: what the person hears on their other channels. Holds a masked hint, never the value. */
export type Notice = {
  sub: string;
  what: 'identity_linked' | 'identity_unlinked' | 'removal_asked' | 'merged' | 'merge_undone' | 'phone_detached';
  kind?: IdentityKind;
  hint?: string;
  /** The phone or e-mail that was taken away, sealed as it was stored: it hears of it too (threat B19). */
  former?: string;
  /** The identity that was just used or added: telling it what it did itself warns nobody. */
  not_to?: string;
  /** RFC 3339. */
  at: string;
};

/** Job `subject.ended`: what was signed in under this sub before that moment must not be any more; its clients are told first. */
export type Ended = { sub: string; merge_id?: string /** RFC 3339. */; before: string };

type Telling = { trx: Knex.Transaction; jobs: SendJobs };

export async function notify({ trx, jobs }: Telling, notice: Omit<Notice, 'at'>): Promise<void> {
  await jobs.send('subject.notify', { ...notice, at: await databaseTime(trx) } satisfies Notice, trx);
}

export async function endEverywhere({ trx, jobs }: Telling, ended: Omit<Ended, 'before'>): Promise<void> {
  await jobs.send('subject.ended', { ...ended, before: await databaseTime(trx) } satisfies Ended, trx);
}

async function databaseTime(trx: Knex.Transaction): Promise<string> {
  const { rows } = await trx.raw('select clock_timestamp() as at');
  return rows[0].at.toISOString();
}

export async function recordFor(trx: Knex, actor: Actor, entry: Omit<AuditEntry, keyof Actor>): Promise<void> {
  await recordAudit(trx, { ...actor, ...entry });
}
