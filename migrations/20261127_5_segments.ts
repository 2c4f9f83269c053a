import type { Knex } from 'knex';

/** Segments: definitions with their versions, membership by build, and the log of who came and went. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    create table segments (
      id integer generated always as identity primary key,
      key text not null unique,
      name text not null,
      kind text not null check (kind in ('rule', 'list')),
      purpose text not null,
      status text not null default 'active' check (status in ('active', 'paused', 'archived')),
      version integer not null default 1,
      live_build_id integer,
      created_at timestamptz not null,
      created_by text not null,
      updated_at timestamptz not null
    );
    comment on table segments is 'One row a segment; what it asks is in segment_versions, who is in it in segment_states of its live build.';
    comment on column segments.kind is 'rule: who meets the definition. list: who was put on segment_list, as far as they agree to the purpose.';
    comment on column segments.live_build_id is 'The build whose members are the segment''s; null until the first one is done.';

    create table segment_versions (
      segment_id integer not null references segments (id),
      version integer not null,
      definition jsonb not null,
      created_at timestamptz not null,
      created_by text not null,
      primary key (segment_id, version)
    );
    comment on table segment_versions is 'Every definition a segment ever had.';

    create table segment_builds (
      id integer generated always as identity primary key,
      segment_id integer not null references segments (id),
      version integer not null,
      status text not null default 'building' check (status in ('building', 'live', 'retired', 'failed')),
      asked_at timestamptz not null,
      evaluated_at timestamptz,
      published_at timestamptz,
      members integer,
      took_ms integer,
      error text
    );
    comment on table segment_builds is 'A definition evaluated for everybody: made beside the build in force and put in its place in one transaction.';
    create unique index segment_builds_building on segment_builds (segment_id) where status = 'building';
    create index segment_builds_segment on segment_builds (segment_id, id);

    create table segment_revision (n bigint not null);
    comment on table segment_revision is 'One row: raised with whatever evaluators keep compiled. They compare it once a round.';
    insert into segment_revision values (1);

    create table segment_states (
      build_id integer not null references segment_builds (id),
      subject_id uuid not null,
      is_member boolean not null,
      entered_at timestamptz,
      matched jsonb,
      due_at timestamptz,
      primary key (subject_id, build_id)
    );
    comment on table segment_states is 'Who is a member, and who may become or cease to be one by time alone: due_at is no later than that. While a build is made, also who was found to be neither since.';
    create index segment_states_build on segment_states (build_id, is_member, subject_id);
    create index segment_states_due on segment_states (due_at) where due_at is not null;

    create unlogged table segment_built (
      build_id integer not null,
      subject_id uuid not null,
      is_member boolean not null,
      matched jsonb,
      due_at timestamptz
    );
    comment on table segment_built is 'What the statement of a build found, until it is copied into segment_states. Not logged: a build that a crash stopped is made again.';

    create view segment_members as
      select s.id as segment_id, s.key as segment_key, s.name as segment_name, t.subject_id, t.entered_at, t.matched
        from segments s join segment_states t on t.build_id = s.live_build_id and t.is_member
       where s.status <> 'archived';
    comment on view segment_members is 'Who is in which segment now.';

    create table segment_changes (
      id uuid primary key default uuid_v7(),
      segment_id integer not null references segments (id),
      subject_id uuid not null,
      version integer not null,
      change text not null check (change in ('entered', 'exited')),
      reason text not null,
      at timestamptz not null,
      matched jsonb
    );
    comment on table segment_changes is 'Who entered and who left, in order, and why: event, time, consent, merge, …, or definition when the segment itself was made or changed.';
    create index segment_changes_segment on segment_changes (segment_id, id);
    create index segment_changes_subject on segment_changes (subject_id, id);

    create table segment_sizes (
      segment_id integer not null references segments (id),
      hour timestamptz not null,
      entered integer not null,
      exited integer not null,
      size integer not null,
      primary key (segment_id, hour)
    );
    comment on table segment_sizes is 'How a segment grew: members at the end of each hour in which it changed.';

    create view current_segment_sizes as
      select s.id as segment_id,
             coalesce((select z.size from segment_sizes z where z.segment_id = s.id order by z.hour desc limit 1), 0) as size
        from segments s;
    comment on view current_segment_sizes is 'How many are in each segment now.';

    create view waiting_evaluations as
      select exists (select from subject_activity) or exists (select from subject_changes) as is_noted,
             (select min(due_at) from segment_states where due_at is not null) as next_due_at,
             exists (select from segment_builds where status = 'building') as is_building;
    comment on table subject_activity is 'What was just recorded about whom, summed per batch and written with it in one transaction: a subject here is dirty. Rounds of segments take it and fold it into profile_counts. Appended only, so that no two batches ever wait for each other.';
    comment on view waiting_evaluations is 'Whether evaluators have anything to do, at a cost that does not depend on how many segments there are.';

    create table segment_list (
      segment_id integer not null references segments (id),
      subject_id uuid not null references subjects (id),
      added_at timestamptz not null default now(),
      added_by text not null,
      primary key (segment_id, subject_id)
    );
    comment on table segment_list is 'Who was put into a segment of kind list.';
    create index segment_list_subject on segment_list (subject_id);
    create trigger segment_list_noted after insert or delete on segment_list
      for each row execute function note_subject_change('subject_id');
    create view segment_list_members as
      select distinct s.key as segment_key, m.subject_id
        from subject_members m join segment_list l on l.subject_id = m.member_id join segments s on s.id = l.segment_id;
    comment on view segment_list_members is 'Whom lists name, over all subs of a person.';

    create view member_identities as
      select m.subject_id, i.kind, i.issuer from subject_members m join identities i on i.subject_id = m.member_id;
    comment on view member_identities is 'Of which kinds a person has proven identities, over all subs.';
  `);
}
