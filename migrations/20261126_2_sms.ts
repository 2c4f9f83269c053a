import type { Knex } from 'knex';

/** What became of text messages, and numbers that get a fixed code instead of one. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    create table sms_deliveries (
      otp_id uuid primary key,
      provider text not null,
      message_id text,
      state text not null default 'accepted' check (state in ('accepted', 'delivered', 'failed')),
      fault text,
      accepted_at timestamptz not null default now(),
      reported_at timestamptz
    );
    comment on table sms_deliveries is 'What the providers reported of each code sent by SMS, without the number; kept for seven days.';
    comment on column sms_deliveries.message_id is 'The provider''s id of the message. Reports name it, or the otp_id.';
    comment on column sms_deliveries.fault is 'The provider''s code of a failure.';
    create index sms_deliveries_message on sms_deliveries (provider, message_id);
    create index sms_deliveries_accepted on sms_deliveries (accepted_at);

    create table reviewer_numbers (
      id uuid primary key default uuid_v7(),
      phone_hash text not null unique,
      phone_sealed text not null,
      code_sealed text not null,
      note text,
      created_at timestamptz not null default now(),
      expires_at timestamptz not null
    );
    comment on table reviewer_numbers is 'Numbers for the reviewers of app stores: nothing is sent to them, a fixed code signs in to a subject of its own.';
    comment on column reviewer_numbers.phone_hash is 'Keyed hash of the number, by which it is found.';
  `);
}
