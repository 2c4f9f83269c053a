import type { Knex } from 'knex';

/** What is said of a person besides what they do: declared traits and tags. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    create table profile_traits (
      subject_id uuid not null references subjects (id),
      name text not null,
      value jsonb not null,
      at timestamptz not null,
      source text not null,
      id uuid not null default uuid_v7(),
      primary key (subject_id, name)
    );
    comment on table profile_traits is 'Declared traits: the word that counts of each, as told under this sub. A trait that was taken away is a JSON null.';
    comment on column profile_traits.source is 'Who said so: identify:<write key id>, client:<client id>, staff:<sub>; or self, the person by a token of theirs, whose word counts only where nobody else has one.';
    comment on column profile_traits.id is 'The event that said so, or an id of that moment: of words of one instant the later one counts.';
    create view current_traits as
      select distinct on (m.subject_id, t.name) m.subject_id, t.name, t.value, t.at, t.source
        from subject_members m join profile_traits t on t.subject_id = m.member_id
       order by m.subject_id, t.name, t.source = 'self', t.at desc, t.id desc;
    comment on view current_traits is 'The word that counts of each declared trait, over all subs of a person: the newest, the person''s own after all others.';
    create trigger profile_traits_noted after insert or delete on profile_traits
      for each row execute function note_subject_change('subject_id');
    create trigger profile_traits_moved after update on profile_traits
      for each row when (old.value is distinct from new.value) execute function note_subject_change('subject_id');

    create table profile_tags (
      subject_id uuid not null references subjects (id),
      tag text not null,
      added_at timestamptz not null default now(),
      added_by text not null,
      primary key (subject_id, tag)
    );
    comment on table profile_tags is 'Tags by staff and by programs; those by rule are whoever is in a segment. added_by: staff:<sub>, client:<client id>.';
    create index profile_tags_tag on profile_tags (tag);
    create view current_tags as
      select distinct m.subject_id, t.tag
        from subject_members m join profile_tags t on t.subject_id = m.member_id;
    comment on view current_tags is 'The tags of each person, over all subs.';
    create trigger profile_tags_noted after insert or update or delete on profile_tags
      for each row execute function note_subject_change('subject_id');
  `);
}
