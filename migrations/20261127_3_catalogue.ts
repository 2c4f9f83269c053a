import type { Knex } from 'knex';

/**
 * What events mean and what becomes of those that break it: enforced definitions, reasons with their place, purposes that a key declares
 * and that people take back.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    alter table event_catalogue
      add column mode text not null default 'document' check (mode in ('document', 'enforce')),
      add column updated_at timestamptz not null default now(),
      alter column least_trust drop not null,
      alter column least_trust drop default;
    comment on column event_catalogue.mode is 'document: types are said. enforce: an event that breaks them is refused.';
    comment on column event_catalogue.least_trust is 'Null: that of the built-in definition, or of its kind of name.';
    comment on column event_catalogue.properties is 'By name: {type, required?}.';

    create view defined_events as select name from event_catalogue;
    comment on view defined_events is 'Names that the company says something about, besides those that are built in.';

    alter table event_rejections add column path text;
    comment on column event_rejections.path is 'The property that broke its type.';

    -- Events lie in the order of receipt: a few bytes for each 128 pages find those of the last minutes.
    create index events_received on events using brin (received_at) with (pages_per_range = 32);

    alter table write_keys
      add column declared_consents text[] not null default '{}',
      add column declared_by text,
      add column declared_at timestamptz;
    comment on column write_keys.declared_consents is 'Purposes under which its trackers collect, for events that say nothing of consent themselves.';
    comment on column write_keys.declared_by is 'Who answers for that.';

    create index consents_withdrawn on consents (subject_id) where not is_granted;
    create view withdrawn_purposes as
      select c.requested_id, k.purpose, k.at
        from current_subjects c
        join subject_members m on m.subject_id = c.subject_id
        join consents k on k.subject_id = m.member_id and not k.is_granted
       where not exists (select from subject_members o join consents n on n.subject_id = o.member_id
                          where o.subject_id = c.subject_id and n.purpose = k.purpose and (n.at, n.id) > (k.at, k.id));
    comment on view withdrawn_purposes is 'Purposes that the person of a sub took back, over all their subs, and since when: the newest word is no.';
  `);
}
