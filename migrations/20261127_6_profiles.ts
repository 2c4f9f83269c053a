import type { Knex } from 'knex';

/** Traits that are worked out, tags by rule, where people came from. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    create table trait_definitions (
      name text primary key,
      title jsonb not null,
      definition jsonb not null,
      tz text not null,
      version integer not null default 1,
      created_at timestamptz not null,
      created_by text not null,
      updated_at timestamptz not null
    );
    comment on table trait_definitions is 'Traits that the company has worked out of events. The value is of the moment it is asked for, and kept nowhere.';

    create table rfm_settings (
      is_only boolean primary key default true check (is_only),
      settings jsonb not null,
      updated_at timestamptz not null,
      updated_by text not null
    );
    comment on table rfm_settings is 'One row, or none: the thresholds of recency, frequency and monetary value where they are not the usual ones.';

    create table tag_rules (
      tag text not null,
      segment_key text not null references segments (key),
      created_at timestamptz not null,
      created_by text not null,
      primary key (tag, segment_key)
    );
    comment on table tag_rules is 'Members of the segment carry the tag as long as they are members.';
    create index tag_rules_segment on tag_rules (segment_key);
    create view rule_tags as
      select m.subject_id, r.tag, r.segment_key, m.entered_at
        from tag_rules r join segment_members m on m.segment_key = r.segment_key;
    comment on view rule_tags is 'Who carries which tag by rule now.';
    comment on view current_tags is 'The tags that somebody gave each person, over all subs; those by rule are in rule_tags.';

    create table profile_touches (
      subject_id uuid not null,
      channel text not null,
      first_at timestamptz not null,
      first jsonb not null,
      last_at timestamptz not null,
      last jsonb not null,
      primary key (subject_id, channel)
    );
    comment on table profile_touches is 'From where a person came to each channel, first and last, as recorded under this sub.';
    create view sub_touches as select subject_id, channel, first_at, first, last_at, last from profile_touches;
    comment on view sub_touches is 'The same, for whoever puts a profile together.';
    create view tag_words as
      select m.subject_id, t.tag, t.added_at, t.added_by
        from subject_members m join profile_tags t on t.subject_id = m.member_id;
    comment on view tag_words is 'Who gave each person which tag and when, over all subs.';

    create or replace view current_traits as
      select * from (
        select distinct on (m.subject_id, t.name) m.subject_id, t.name, t.value, t.at, t.source
          from subject_members m join profile_traits t on t.subject_id = m.member_id
         order by m.subject_id, t.name, t.source = 'self', t.at desc, t.id desc) declared
      union all
      select id, 'created_at', to_jsonb(to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')), created_at, 'system'
        from subjects;
    comment on view current_traits is 'The word that counts of each declared trait, over all subs of a person: the newest, the person''s own after all others. Besides, when they were first known.';
  `);
}
