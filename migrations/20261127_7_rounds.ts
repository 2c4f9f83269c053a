import type { Knex } from 'knex';

/** Rounds of segments go on beside somebody who cannot be evaluated, and what builds leave behind is taken away. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    create table evaluations_set_aside (
      subject_id uuid primary key,
      since timestamptz not null,
      tries integer not null default 1,
      due_at timestamptz not null,
      error text not null,
      changes text[] not null default '{}'
    );
    comment on table evaluations_set_aside is 'Subjects whom no round could deal with. Notes of what they did stay where they are and are passed over; each is tried again, alone, at due_at, and later each time.';
    comment on column evaluations_set_aside.changes is 'What else changed of them meanwhile, by the table that noted it: taken out of subject_changes at once, for it may end memberships.';
    create index evaluations_set_aside_due on evaluations_set_aside (due_at);
    create view subjects_set_aside as select subject_id from evaluations_set_aside;
    comment on view subjects_set_aside is 'Whom rounds pass over when they take notes.';

    alter table segment_builds add column is_emptied boolean not null default false;
    comment on column segment_builds.is_emptied is 'Of a build that was replaced, given up or failed: whether its rows of segment_states are gone.';
    create index segment_builds_left on segment_builds (id) where status in ('retired', 'failed') and not is_emptied;

    -- NOT IN is a filter beside the scan, whatever PostgreSQL expects: the first row that is not passed over ends it.
    create or replace view waiting_evaluations as
      select exists (select from subject_activity where subject_id not in (select subject_id from subjects_set_aside))
             or exists (select from subject_changes) as is_noted,
             (select due_at from segment_states
               where due_at is not null and subject_id not in (select subject_id from subjects_set_aside)
               order by due_at limit 1) as next_due_at,
             exists (select from segment_builds where status = 'building')
             or exists (select from segment_builds where status in ('retired', 'failed') and not is_emptied) as is_building,
             (select min(due_at) from evaluations_set_aside) as next_try_at;
  `);
}
