import type { Knex } from 'knex';

/** The person's own page: removals that wait, and which notices went out. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    create table pending_removals (
      identity_id uuid primary key references identities (id) on delete cascade,
      subject_id uuid not null references subjects (id),
      asked_at timestamptz not null default now(),
      due_at timestamptz not null
    );
    comment on table pending_removals is 'Ways of signing in that a person asked to remove without proving that very one: each goes when it is due, unless it was used or kept meanwhile.';
    create index pending_removals_due on pending_removals (due_at);
    create index pending_removals_subject on pending_removals (subject_id);

    create table notices_sent (
      key text primary key,
      sent_at timestamptz not null default now()
    );
    comment on table notices_sent is 'Which notice went to whom, as a keyed hash, so that a job that is tried again tells nobody twice. Rows go after a week.';
    create index notices_sent_at on notices_sent (sent_at);
  `);
}
