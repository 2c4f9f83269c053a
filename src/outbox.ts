/**
 * What others are to hear of. A message is a row written in the transaction of the change it tells, so it exists exactly when the
 * change does; who delivers reads in the order of the ids. Owns the table outbox.
 */
import type { Knex } from 'knex';

export type OutboxMessage = {
  /** noun.verb in the past, such as subject.merged */
  topic: string;
  subject_id?: string | undefined;
  /** Ids and times; never a phone number, an e-mail or a token. */
  payload: Record<string, unknown>;
};

/** As one parameter: a statement has 65,535 at most, and a round of segments may have more to tell. */
export async function publish(trx: Knex.Transaction, ...messages: OutboxMessage[]): Promise<void> {
  await trx.raw(
    `insert into outbox (topic, subject_id, payload)
     select topic, subject_id, payload from json_to_recordset(?::json) as r (topic text, subject_id uuid, payload jsonb)`,
    [JSON.stringify(messages)],
  );
}
