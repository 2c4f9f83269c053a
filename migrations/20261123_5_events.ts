import type { Knex } from 'knex';

/** Behaviour: sources, catalogue, events, bindings, and the first profile. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    create sequence event_source_ids as integer;
    comment on sequence event_source_ids is 'Numbers write keys and token clients alike: a message id is unique within one of them.';

    create table write_keys (
      id integer primary key default nextval('event_source_ids'),
      key_hash text not null unique,
      kind text not null check (kind in ('client', 'server')),
      name text not null,
      client_ids text[] not null default '{}',
      origins text[] not null default '{}',
      channel text,
      catalogue jsonb not null default '{}',
      is_enabled boolean not null default true,
      source text not null default 'operator',
      created_at timestamptz not null default now()
    );
    comment on table write_keys is 'Who may send events. id is the source within which a message id is unique.';
    comment on column write_keys.client_ids is 'Clients whose ID tokens and access tokens this key speaks for.';
    comment on column write_keys.origins is 'Websites whose pages may use the key.';
    comment on column write_keys.catalogue is 'Least trust per event name where this key differs from the catalogue.';
    create index write_keys_origins on write_keys using gin (origins);

    create table token_sources (
      id integer primary key default nextval('event_source_ids'),
      client_id text not null unique
    );
    comment on table token_sources is 'Clients whose people send events with their access token: a source each, apart from every write key.';

    create table event_catalogue (
      name text primary key,
      title jsonb not null default '{}',
      least_trust text not null default 'claimed' check (least_trust in ('claimed', 'bound', 'token', 'server')),
      properties jsonb not null default '{}',
      aliases text[] not null default '{}'
    );
    comment on table event_catalogue is 'The company''s own additions to the built-in catalogue: canonical name, typed properties, other vendors'' names, least trust to count.';

    create table events (
      id uuid not null,
      received_at timestamptz not null,
      "timestamp" timestamptz not null,
      original_timestamp timestamptz,
      subject_id uuid,
      source_id integer not null,
      counts boolean not null default true,
      is_attributable boolean not null default true,
      message_id text not null,
      type text not null,
      event text not null,
      original_event text,
      channel text not null,
      trust text not null check (trust in ('claimed', 'bound', 'token', 'server')),
      anonymous_id text,
      claimed_user_id text,
      consents text[] not null default '{service}',
      properties jsonb not null default '{}',
      context jsonb not null default '{}'
    ) partition by range (received_at);
    comment on table events is 'Everything anybody did, as received. Partitioned by month of receipt; partitions are created ahead.';
    comment on column events.id is 'UUIDv7 of the moment of receipt with the position in the batch in its counter: events of one instant keep their order.';
    comment on column events.subject_id is 'The subject it was recorded with and never rewritten: an absorbed subject is looked up. Null: known by anonymous_id alone.';
    comment on column events.trust is 'How its subject is known. An event without one that a binding reaches later is read as bound.';
    comment on column events.counts is 'False when the trust is below what the catalogue asks: shown, but counts for no trait, segment, offer or point. Of an event without subject it is said for the case that a binding reaches it.';
    comment on column events.is_attributable is 'False for an event that a person''s token brought for another userId: a claim that no binding attributes.';
    comment on column events.original_event is 'The name it was sent with, where the catalogue calls it otherwise.';
    comment on column events.consents is 'Purposes the person had agreed to when it was collected; service needs no consent.';
    create index events_subject on events (subject_id, "timestamp" desc) where subject_id is not null;
    create index events_anonymous on events (anonymous_id, "timestamp" desc) where subject_id is null and anonymous_id is not null;

    -- A unique index of a partitioned table would have to hold the month too, so each partition has its own: it is the
    -- message ids seen that keep a retry from being stored twice. The lock is the one that
    -- attaching takes: one process at a time, and nobody who reads or writes waits.
    create function ensure_event_partition(at timestamptz) returns void language plpgsql as $$
    declare
      starts_at timestamptz := date_trunc('month', at at time zone 'UTC') at time zone 'UTC';
      ends_at timestamptz := (date_trunc('month', at at time zone 'UTC') + interval '1 month') at time zone 'UTC';
      name text := 'events_' || to_char(at at time zone 'UTC', 'YYYY_MM');
    begin
      if to_regclass(name) is not null then return; end if;
      lock table events in share update exclusive mode;
      if to_regclass(name) is not null then return; end if;
      execute format('create table %I (like events including defaults including constraints)', name);
      execute format('create unique index %I on %I (source_id, message_id)', name || '_message', name);
      execute format('alter table events attach partition %I for values from (%L) to (%L)', name, starts_at, ends_at);
    end
    $$;
    comment on function ensure_event_partition is 'Makes the partition of the month of this moment unless it is there; safe in several processes at once.';
    select ensure_event_partition(now()), ensure_event_partition(now() + interval '1 month');

    create table held_events (
      event_id uuid primary key,
      source_id integer not null,
      message_id text not null,
      received_at timestamptz not null
    );
    comment on table held_events is 'Server events about somebody nobody knows yet: attributed when the identity appears within 30 days.';
    create index held_events_received on held_events (received_at);
    create table held_event_identities (
      kind text not null,
      issuer text not null,
      lookup text not null,
      event_id uuid not null references held_events (event_id) on delete cascade,
      primary key (kind, lookup, issuer, event_id)
    );
    comment on table held_event_identities is 'The identities by which a held event may find its person. lookup as in identities; an empty issuer is any.';
    create index held_event_identities_event on held_event_identities (event_id);
    create view identity_subjects as
      select i.kind, i.issuer, i.lookup, c.subject_id, c.status
        from identities i join current_subjects c on c.requested_id = i.subject_id;
    comment on view identity_subjects is 'Whose an identity is today; read where events name a person by one.';

    create view identity_issuers as
      with recursive pairs as (
        (select kind, issuer from identities order by kind, issuer limit 1)
        union all
        select n.kind, n.issuer from pairs p cross join lateral (
          select kind, issuer from identities i where (i.kind, i.issuer) > (p.kind, p.issuer) order by kind, issuer limit 1) n
      )
      select kind, issuer from pairs;
    comment on view identity_issuers is 'The few apps and platforms that identities are of, by one probe of the index each: an external id may come without.';
    create view subject_members as
      select id as subject_id, id as member_id from subjects
      union all
      select survivor_id, absorbed_id from subject_aliases;
    comment on view subject_members is 'The subs whose events are a standing subject''s: its own and those it absorbed. current_subjects the other way round, by index.';

    create table event_rejections (
      id uuid primary key default uuid_v7(),
      source_id integer not null,
      received_at timestamptz not null,
      message_id text,
      code text not null,
      message text not null,
      sample text
    );
    comment on table event_rejections is 'Events that were refused, kept seven days for the key''s owner.';
    create index event_rejections_source on event_rejections (source_id, received_at desc);
    create index event_rejections_received on event_rejections (received_at);

    create table anonymous_bindings (
      id uuid primary key default uuid_v7(),
      anonymous_id text not null,
      subject_id uuid not null,
      looks_back_to timestamptz not null,
      bound_at timestamptz not null,
      created_at timestamptz not null default now(),
      ends_at timestamptz,
      last_seen_at timestamptz not null,
      grant_id text,
      method text not null check (method in ('token', 'server', 'id_token')),
      is_counted boolean not null default false
    );
    comment on table anonymous_bindings is 'Which subject an anonymous id belonged to, by interval: a shared device splits cleanly.';
    comment on column anonymous_bindings.ends_at is 'When its grant ended or another subject bound the id. Besides, thirty idle days end it.';
    comment on column anonymous_bindings.is_counted is 'Whether the events it looks back to are in the profile yet; until then they are counted while reading.';
    create index anonymous_bindings_anonymous on anonymous_bindings (anonymous_id, bound_at desc);
    create index anonymous_bindings_subject on anonymous_bindings (subject_id);
    create index anonymous_bindings_grant on anonymous_bindings (grant_id) where grant_id is not null;
    create index anonymous_bindings_uncounted on anonymous_bindings (created_at) where not is_counted;

    -- Events stored before their anonymous id was bound carry no subject. What arrives after the binding carries it, but for
    -- the few that were being stored at that instant or whose clock ran ahead (5 minutes at most): hence the end.
    create view binding_lookbacks as
      select id as binding_id, anonymous_id, subject_id, is_counted, looks_back_to as from_at,
             least(coalesce(ends_at, 'infinity'), created_at + interval '6 minutes') as until_at
        from anonymous_bindings;
    comment on view binding_lookbacks is 'The stretch of time in which an event without subject belongs to the subject of its anonymous id.';

    create table subject_activity (
      subject_id uuid not null,
      channel text not null,
      event text not null,
      counts boolean not null,
      n bigint not null,
      first_at timestamptz not null,
      last_at timestamptz not null
    );
    comment on table subject_activity is 'What was just recorded about whom, summed per batch and written with it in one transaction: a subject here is dirty. The profile job folds it in. Appended only, so that no two batches ever wait for each other.';
    create index subject_activity_subject on subject_activity (subject_id);
    create view pending_activity as
      select subject_id, channel, event, counts, n, first_at, last_at from subject_activity
      union all
      select b.subject_id, e.channel, e.event, e.counts, 1, e."timestamp", e."timestamp"
        from binding_lookbacks b
        join events e on e.anonymous_id = b.anonymous_id and e.subject_id is null and e.is_attributable
                     and e."timestamp" >= b.from_at and e."timestamp" < b.until_at
       where not b.is_counted;
    comment on view pending_activity is 'What profile_counts does not hold yet; read by the profile, so that nobody sees stale numbers.';

    create table profile_counts (
      subject_id uuid not null,
      channel text not null,
      event text not null,
      counts boolean not null,
      n bigint not null,
      first_at timestamptz not null,
      last_at timestamptz not null,
      primary key (subject_id, channel, event, counts)
    );
    comment on table profile_counts is 'How often and when a subject did what on which channel, as folded so far. counts as in events.';
  `);
}
