import type { Knex } from 'knex';

/** Behaviour: sources, catalogue, events, bindings, and the first profile. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    create table write_keys (
      id integer primary key generated always as identity,
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
    comment on column write_keys.catalogue is 'Least trust per event name where this key differs from the catalogue.';

    create table event_catalogue (
      name text primary key,
      title jsonb not null default '{}',
      least_trust text not null default 'claimed' check (least_trust in ('claimed', 'bound', 'token', 'server')),
      properties jsonb not null default '{}',
      aliases text[] not null default '{}'
    );
    comment on table event_catalogue is 'The events that this company knows: canonical name, typed properties, other vendors'' names, least trust to count.';

    create table event_messages (
      source_id integer not null,
      message_id text not null,
      received_at timestamptz not null,
      primary key (source_id, message_id)
    );
    comment on table event_messages is 'Message ids seen in the last 30 days, per source: what makes a retry harmless.';
    create index event_messages_received on event_messages using brin (received_at);

    create table events (
      id uuid not null,
      source_id integer not null,
      message_id text not null,
      type text not null,
      event text not null,
      original_event text,
      channel text not null,
      "timestamp" timestamptz not null,
      original_timestamp timestamptz,
      received_at timestamptz not null,
      batch_position integer not null default 0,
      subject_id uuid,
      anonymous_id text,
      claimed_user_id text,
      trust text not null,
      counts boolean not null default true,
      consents text[] not null default '{service}',
      properties jsonb not null default '{}',
      context jsonb not null default '{}'
    ) partition by range (received_at);
    comment on table events is 'Everything anybody did, as received. Partitioned by month of receipt; partitions are created ahead.';
    comment on column events.subject_id is 'The subject it was recorded with and never rewritten: an absorbed subject is looked up. Null: known by anonymous_id alone.';
    comment on column events.counts is 'False when the trust is below what the catalogue asks: shown, but counts for no trait, segment, offer or point.';
    comment on column events.consents is 'Purposes the person had agreed to when it was collected; service needs no consent.';
    create index events_subject on events (subject_id, "timestamp" desc) where subject_id is not null;
    create index events_anonymous on events (anonymous_id, "timestamp" desc) where subject_id is null and anonymous_id is not null;

    create table held_events (
      event_id uuid primary key,
      received_at timestamptz not null,
      external_ids jsonb not null,
      expires_at timestamptz not null
    );
    comment on table held_events is 'Server events about somebody nobody knows yet: attributed when the identity appears within 30 days.';
    create table held_event_identities (
      kind text not null,
      issuer text not null,
      lookup text not null,
      event_id uuid not null references held_events (event_id) on delete cascade,
      primary key (kind, issuer, lookup, event_id)
    );
    comment on table held_event_identities is 'The identities by which a held event may find its person.';

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

    create table anonymous_bindings (
      id uuid primary key default uuid_v7(),
      anonymous_id text not null,
      subject_id uuid not null,
      looks_back_to timestamptz not null,
      bound_at timestamptz not null,
      ends_at timestamptz,
      last_seen_at timestamptz not null,
      grant_id text,
      method text not null
    );
    comment on table anonymous_bindings is 'Which subject an anonymous id belonged to, by interval: a shared device splits cleanly.';
    create index anonymous_bindings_anonymous on anonymous_bindings (anonymous_id, bound_at desc);
    create index anonymous_bindings_subject on anonymous_bindings (subject_id);
    create index anonymous_bindings_grant on anonymous_bindings (grant_id) where grant_id is not null;

    create table profile_channels (
      subject_id uuid not null,
      channel text not null,
      first_seen_at timestamptz not null,
      last_seen_at timestamptz not null,
      event_counts jsonb not null default '{}',
      primary key (subject_id, channel)
    );
    comment on table profile_channels is 'When and how often a subject was seen on each channel. Rebuilt from events for dirty subjects.';
    create table dirty_profiles (
      subject_id uuid primary key,
      since timestamptz not null default now()
    );
    comment on table dirty_profiles is 'Subjects whose profile is behind their events; written with the events, in one transaction.';
  `);
}
