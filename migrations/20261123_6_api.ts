import type { Knex } from 'knex';

/** What makes a repeated write of the management API harmless. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    create table idempotency_keys (
      client_id text not null,
      key_hash text not null,
      request_hash text not null,
      answer_sealed text,
      expires_at timestamptz not null default now() + interval '24 hours',
      primary key (client_id, key_hash)
    );
    comment on table idempotency_keys is 'Writes that were done under an Idempotency-Key, kept a day. Written in the transaction of the write itself.';
    comment on column idempotency_keys.answer_sealed is 'What was answered, sealed because it may hold a secret that is shown once.';
    create index idempotency_keys_expires on idempotency_keys (expires_at);
  `);
}
