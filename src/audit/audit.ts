/**
 * The append-only record of who did what to whom; anyone may write to it, nobody changes it.
 * It holds ids, never a phone number, an e-mail, a code or a token: login records are kept for months by law.
 */
import type { Knex } from 'knex';

export type AuditEntry = {
  /** noun.verb, such as subject.created or identity.linked */
  action: string;
  actor_kind: 'person' | 'staff' | 'client' | 'system';
  actor_id?: string | undefined;
  subject_id?: string | undefined;
  client_id?: string | undefined;
  ip?: string | undefined;
  request_id?: string | undefined;
  details?: Record<string, unknown>;
};

/** Inside the transaction of what it records: both or neither. */
export async function recordAudit(db: Knex, entry: AuditEntry): Promise<void> {
  await db('audit_entries').insert({ ...entry, details: JSON.stringify(entry.details ?? {}) });
}
