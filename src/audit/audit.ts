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

export type AuditRow = {
  id: string;
  at: Date;
  action: string;
  actor_kind: AuditEntry['actor_kind'];
  actor_id: string | null;
  subject_id: string | null;
  client_id: string | null;
  ip: string | null;
  request_id: string | null;
  details: Record<string, unknown>;
};

export type AuditFilter = {
  /** This person, under every sub of theirs. */
  subject_id?: string | undefined;
  /** A sub: what this member of staff did. */
  staff_id?: string | undefined;
  action?: string | undefined;
  /** The last entry of the page before. */
  before?: string | undefined;
  limit: number;
};

/** Newest first. `next` is null on the last page. The ids among the filters are UUIDs. */
export async function readAudit(
  db: Knex,
  { subject_id, staff_id, action, before, limit }: AuditFilter,
): Promise<{ entries: AuditRow[]; next: string | null }> {
  const query = db('audit_entries')
    .select('id', 'at', 'action', 'actor_kind', 'actor_id', 'subject_id', 'client_id', 'ip', 'request_id', 'details')
    .orderBy([
      { column: 'at', order: 'desc' },
      { column: 'id', order: 'desc' },
    ])
    .limit(limit + 1);
  if (subject_id)
    query.whereRaw('subject_id = any (array(select member_id from subject_members where subject_id = ?::uuid))', [
      subject_id,
    ]);
  if (staff_id) query.where({ actor_kind: 'staff', actor_id: staff_id });
  if (action) query.where({ action });
  if (before) query.whereRaw('(at, id) < (select at, id from audit_entries where id = ?::uuid)', [before]);
  const rows: AuditRow[] = await query;
  const entries = rows.slice(0, limit);
  return { entries, next: rows.length > limit ? (entries.at(-1)?.id ?? null) : null };
}
