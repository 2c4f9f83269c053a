/** The tables sms_deliveries and reviewer_numbers. */
import type { Knex } from 'knex';
import type { Database } from '../../database.ts';

type DeliveryRow = {
  otp_id: string;
  provider: string;
  message_id: string | null;
  state: 'accepted' | 'delivered' | 'failed';
  fault: string | null;
  accepted_at: Date;
  reported_at: Date | null;
};

export type ReviewerRow = {
  id: string;
  phone_hash: string;
  phone_sealed: string;
  code_sealed: string;
  note: string | null;
  created_at: Date;
  expires_at: Date;
};

declare module 'knex/types/tables.js' {
  interface Tables {
    sms_deliveries: DeliveryRow;
    reviewer_numbers: ReviewerRow;
  }
}

export async function insertDelivery(
  db: Database,
  accepted: { otp_id: string; provider: string; message_id: string | null },
): Promise<void> {
  await db('sms_deliveries').insert(accepted);
}

export type DeliveryReport = {
  message_id: string | null;
  otp_id: string | null;
  state: 'delivered' | 'failed';
  fault: string | null;
};

/** @returns whether a message of this provider was waiting for it. */
export async function updateDelivery(db: Database, provider: string, report: DeliveryReport): Promise<boolean> {
  // Delivered is the last word: a message in parts is reported in parts, and reports are repeated and overtake each other.
  const { rowCount } = await db.raw(
    `update sms_deliveries
        set state = :state, fault = :fault, reported_at = now()
      where provider = :provider and state <> 'delivered' and state <> :state
        and (message_id = :message_id or otp_id = cast(:otp_id as uuid))`,
    { provider, ...report },
  );
  return rowCount > 0;
}

export async function readDelivery(db: Database, otp_id: string): Promise<DeliveryRow['state'] | undefined> {
  return (await db('sms_deliveries').select('state').where({ otp_id }).first())?.state;
}

export async function purgeDeliveries(db: Database): Promise<void> {
  await db.raw(
    `delete from sms_deliveries where otp_id in (
       select otp_id from sms_deliveries where accepted_at < now() - interval '7 days' limit 100 for update skip locked)`,
  );
}

export type DeliveryCount = { provider: string; accepted: number; delivered: number; failed: number };

/** Of the last 24 hours; `accepted` counts all of them. */
export async function sumDeliveries(db: Database): Promise<DeliveryCount[]> {
  const { rows } = await db.raw(
    `select provider, count(*)::int as accepted,
            count(*) filter (where state = 'delivered')::int as delivered,
            count(*) filter (where state = 'failed')::int as failed
       from sms_deliveries where accepted_at > now() - interval '24 hours'
      group by provider order by provider`,
  );
  return rows;
}

// Numbers of reviewers

export async function findReviewer(db: Database, phone_hash: string): Promise<ReviewerRow | undefined> {
  return db('reviewer_numbers').where({ phone_hash }).where('expires_at', '>', db.fn.now()).first();
}

export async function readReviewer(db: Database, id: string): Promise<ReviewerRow | undefined> {
  return db('reviewer_numbers').where({ id }).where('expires_at', '>', db.fn.now()).first();
}

export async function insertOrReplaceReviewer(
  trx: Knex.Transaction,
  reviewer: Pick<ReviewerRow, 'phone_hash' | 'phone_sealed' | 'code_sealed' | 'note'> & { days: number },
): Promise<Pick<ReviewerRow, 'id' | 'expires_at'>> {
  const { rows } = await trx.raw(
    `insert into reviewer_numbers (phone_hash, phone_sealed, code_sealed, note, expires_at)
     values (:phone_hash, :phone_sealed, :code_sealed, :note, now() + make_interval(days => :days))
     on conflict (phone_hash) do update
       set phone_sealed = excluded.phone_sealed, code_sealed = excluded.code_sealed, note = excluded.note,
           created_at = now(), expires_at = excluded.expires_at
     returning id, expires_at`,
    reviewer,
  );
  return rows[0];
}

export async function allReviewers(db: Database): Promise<(ReviewerRow & { is_expired: boolean })[]> {
  return db('reviewer_numbers').select('*', db.raw('expires_at <= now() as is_expired')).orderBy('created_at');
}

export async function deleteReviewer(trx: Knex.Transaction, phone_hash: string): Promise<string | undefined> {
  return (await trx('reviewer_numbers').where({ phone_hash }).delete('id'))[0]?.id;
}
