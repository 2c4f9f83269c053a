import type { Knex } from 'knex';

/**
 * What segments and traits read, and how they hear that something changed. The notes are written by triggers: the fact and its note
 * are one statement for every writer there is or will be, and a writer of identities or consents knows nothing of segments.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    create table subject_changes (
      id bigint generated always as identity,
      subject_id uuid not null,
      what text not null
    );
    comment on table subject_changes is 'Subjects of whom something changed that is no event; events note themselves in subject_activity. Appended only, taken out by whoever evaluates segments.';

    create function note_subject_change() returns trigger language plpgsql as $$
    begin
      if tg_op <> 'INSERT' then
        insert into subject_changes (subject_id, what) select (to_jsonb(old) ->> column_name)::uuid, tg_table_name
          from unnest(tg_argv) as column_name where to_jsonb(old) ->> column_name is not null;
      end if;
      if tg_op <> 'DELETE' then
        insert into subject_changes (subject_id, what) select (to_jsonb(new) ->> column_name)::uuid, tg_table_name
          from unnest(tg_argv) as column_name where to_jsonb(new) ->> column_name is not null;
      end if;
      return null;
    end
    $$;
    comment on function note_subject_change is 'Notes the subjects that the columns named as arguments hold, before and after.';

    create trigger subjects_noted after insert on subjects
      for each row execute function note_subject_change('id');
    create trigger subjects_status_noted after update on subjects
      for each row when (old.status is distinct from new.status) execute function note_subject_change('id');
    create trigger subject_aliases_noted after insert or update or delete on subject_aliases
      for each row execute function note_subject_change('absorbed_id', 'survivor_id');
    create trigger identities_noted after insert or delete on identities
      for each row execute function note_subject_change('subject_id');
    create trigger identities_moved after update on identities
      for each row when (old.subject_id is distinct from new.subject_id) execute function note_subject_change('subject_id');
    create trigger consents_noted after insert on consents
      for each row execute function note_subject_change('subject_id');
    create trigger anonymous_bindings_noted after insert or delete on anonymous_bindings
      for each row execute function note_subject_change('subject_id');
    create trigger anonymous_bindings_moved after update on anonymous_bindings
      for each row when (old.ends_at is distinct from new.ends_at or old.subject_id is distinct from new.subject_id)
      execute function note_subject_change('subject_id');

    create table personalisation_choices (
      id uuid primary key default uuid_v7(),
      subject_id uuid not null references subjects (id),
      is_on boolean not null,
      at timestamptz not null default now(),
      channel text not null,
      evidence jsonb not null default '{}'
    );
    comment on table personalisation_choices is 'Append-only: who switched personalisation off or on again (PIPL article 24). The newest row of a person counts; without one it is on.';
    create index personalisation_choices_subject on personalisation_choices (subject_id, at desc);
    create trigger personalisation_choices_noted after insert on personalisation_choices
      for each row execute function note_subject_change('subject_id');
    create view current_personalisation as
      select distinct on (m.subject_id) m.subject_id, p.is_on, p.at
        from subject_members m join personalisation_choices p on p.subject_id = m.member_id
       order by m.subject_id, p.at desc, p.id desc;
    comment on view current_personalisation is 'The newest word of each person about personalisation, over all subs; no row: on.';

    -- The newest word of whoever absorbed nobody, flat, so that a join takes it by index for few people and by hash for all of them;
    -- the few who absorbed somebody are asked one by one. Ordering everybody's words instead (current_consents) takes thrice as long.
    create view lone_agreements as
      select k.subject_id, k.purpose, k.version
        from consents k
       where k.is_granted
         and not exists (select from consents n
                          where n.subject_id = k.subject_id and n.purpose = k.purpose and (n.at, n.id) > (k.at, k.id))
         and not exists (select from subject_aliases a where a.survivor_id = k.subject_id);
    comment on view lone_agreements is 'Purposes that people who absorbed nobody agree to, with the version: current_consents for everybody at once.';
    create view absorbing_subjects as select distinct survivor_id as subject_id from subject_aliases;
    comment on view absorbing_subjects is 'The few whose words were spoken under several subs: lone_agreements leaves them out, and current_consents is asked for each.';
    create view standing_subjects as select id as subject_id from subjects where status = 'active';
    comment on view standing_subjects is 'Who can be a member of a segment.';
    create view unpersonalised as
      select subject_id
        from (select distinct on (coalesce(a.survivor_id, p.subject_id)) coalesce(a.survivor_id, p.subject_id) as subject_id, p.is_on
                from personalisation_choices p left join subject_aliases a on a.absorbed_id = p.subject_id
               order by coalesce(a.survivor_id, p.subject_id), p.at desc, p.id desc) newest
       where not is_on;
    comment on view unpersonalised is 'Who switched personalisation off: current_personalisation for everybody at once.';

    create view behaviour_aliases as
      select a.absorbed_id as member_id, a.survivor_id as subject_id
        from subject_aliases a
        cross join lateral (
          select k.is_granted from subject_members m join consents k on k.subject_id = m.member_id
           where m.subject_id = a.survivor_id and k.purpose = 'profiling'
           order by k.at desc, k.id desc limit 1) c
       where c.is_granted;
    comment on view behaviour_aliases is 'Absorbed subs whose behaviour reads as the survivor''s: only with the profiling consent (identity rule 8).';
    create view behaviour_members as
      select s.id as subject_id, s.id as member_id from subjects s where s.status <> 'absorbed'
      union all
      select subject_id, member_id from behaviour_aliases;
    comment on view behaviour_members is 'The subs whose behaviour reads as one person''s.';
  `);
}
