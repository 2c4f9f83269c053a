import type { Knex } from 'knex';

/**
 * How events lie on disk: what repeats of their contexts is stored once, ids are 16 bytes and found by them, columns stand in the
 * order in which they pack, and whoever reads events reads a view that puts them together again.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    create table event_contexts (
      id bigint primary key,
      context jsonb not null,
      used_on date not null
    );
    comment on table event_contexts is 'What many events have in common of their context: the browser, the language, the campaign; and the page. Names nobody.';
    comment on column event_contexts.id is 'The start of the SHA-256 of its text: every process finds the same one. Another text that has the same one stays with its events.';
    comment on column event_contexts.used_on is 'The first day of the last month whose events refer to it: it goes with the partition of that month.';

    create function id_key(id text) returns uuid language sql immutable parallel safe as $$
      select case when id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-e][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$' then id::uuid
                  else overlay(md5(id) placing 'f' from 13)::uuid end
    $$;
    comment on function id_key is 'By what message ids and anonymous ids are stored and found: a UUID is itself, any other text its MD5 with the version 15, which no UUID has that is itself. Whoever makes two texts with one MD5 suppresses or mixes events of their own.';

    create temporary table former_events as select * from events;
    drop table events cascade;
    create table events (
      id uuid not null,
      received_at timestamptz not null,
      "timestamp" timestamptz not null,
      original_timestamp timestamptz,
      context_id bigint,
      page_id bigint,
      source_id integer not null,
      counts boolean not null default true,
      is_attributable boolean not null default true,
      subject_id uuid,
      message_key uuid not null,
      anonymous_key uuid,
      type text not null,
      event text not null,
      channel text not null,
      trust text not null check (trust in ('claimed', 'bound', 'token', 'server')),
      purposes text,
      message_id text,
      anonymous_id text,
      claimed_user_id text,
      original_event text,
      properties jsonb not null default '{}',
      context jsonb
    ) partition by range (received_at);
    comment on table events is 'Everything anybody did, as received. Partitioned by month of receipt; partitions are created ahead. The order of its columns leaves no gaps.';
    comment on column events.id is 'UUIDv7 of the moment of receipt with the position in the batch in its counter: events of one instant keep their order.';
    comment on column events.subject_id is 'The subject it was recorded with and never rewritten: an absorbed subject is looked up. Null: known by anonymous_id alone.';
    comment on column events.trust is 'How its subject is known. An event without one that a binding reaches later is read as bound.';
    comment on column events.counts is 'False when the trust is below what the catalogue asks: shown, but counts for no trait, segment, offer or point. Of an event without subject it is said for the case that a binding reaches it.';
    comment on column events.is_attributable is 'False for an event that a person''s token brought for another userId: a claim that no binding attributes.';
    comment on column events.original_event is 'The name it was sent with, where the catalogue calls it otherwise.';
    comment on column events.purposes is 'The consents, separated by spaces: purposes the person had agreed to when it was collected. Null: the service alone, which needs no consent.';
    comment on column events.message_key is 'id_key of the message id.';
    comment on column events.message_id is 'Null where the key says it.';
    comment on column events.anonymous_key is 'id_key of the anonymous id, if there is one.';
    comment on column events.anonymous_id is 'Null where the key says it.';
    comment on column events.context is 'What the event has of its context for itself; the whole is in recorded_events. Null: nothing.';
    comment on column events.context_id is 'Of event_contexts: the surroundings.';
    comment on column events.page_id is 'Of event_contexts: the page.';
    create index events_subject on events (subject_id, "timestamp" desc) where subject_id is not null;
    create index events_anonymous on events (anonymous_key, "timestamp" desc) where subject_id is null and anonymous_key is not null;

    -- Planned for a month that is still empty, a probe would read all of that month until the table is analysed anew: so no
    -- plan of this function reads a table through, whenever it is made. It is made once a connection (2 ms).
    create function known_messages(sources integer[], keys uuid[], since timestamptz, until timestamptz) returns setof integer language plpgsql stable
      set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
    begin
      return query
        select k.n::integer from unnest(sources, keys) with ordinality as k (source_id, key, n)
         cross join lateral (
           select from events e
            where e.message_key = k.key and e.source_id = k.source_id and e.received_at >= since and e.received_at < until limit 1) e;
    end
    $$;
    comment on function known_messages is 'Which of these message keys of these sources, counted from 1, are among the events received in this time.';

    create function event_partitions() returns table (name text, starts_at timestamptz) language sql stable as $$
      select c.relname::text, to_date(right(c.relname, 7), 'YYYY_MM')::timestamp at time zone 'UTC'
        from pg_inherits i join pg_class c on c.oid = i.inhrelid
       where i.inhparent = 'events'::regclass and c.relname ~ '^events_\\d{4}_\\d{2}$'
    $$;
    comment on function event_partitions is 'The months that are there.';

    create or replace function ensure_event_partition(at timestamptz) returns void language plpgsql as $$
    declare
      starts_at timestamptz := date_trunc('month', at at time zone 'UTC') at time zone 'UTC';
      ends_at timestamptz := (date_trunc('month', at at time zone 'UTC') + interval '1 month') at time zone 'UTC';
      name text := 'events_' || to_char(at at time zone 'UTC', 'YYYY_MM');
    begin
      if to_regclass(name) is not null then return; end if;
      lock table events in share update exclusive mode;
      if to_regclass(name) is not null then return; end if;
      execute format('create table %I (like events including defaults including constraints)', name);
      execute format('create unique index %I on %I (message_key, source_id)', name || '_message', name);
      execute format('alter table events attach partition %I for values from (%L) to (%L)', name, starts_at, ends_at);
    end
    $$;
    select ensure_event_partition(at) from (select now() union select now() + interval '1 month' union select received_at from former_events) m (at);
    insert into events
    select id, received_at, "timestamp", original_timestamp, null, null, source_id, counts, is_attributable, subject_id,
           id_key(message_id), id_key(anonymous_id), type, event, channel, trust,
           nullif(array_to_string(consents, ' '), 'service'), nullif(message_id, id_key(message_id)::text),
           nullif(anonymous_id, id_key(anonymous_id)::text), claimed_user_id, original_event, properties, context
      from former_events;
    drop table former_events;

    create function drop_event_partition(part text, expected bigint) returns boolean language plpgsql set lock_timeout = '2s' as $$
    declare
      n bigint;
    begin
      if not exists (select from event_partitions() where name = part) then return false; end if;
      execute format('lock table %I in exclusive mode', part);
      execute format('select count(*) from %I', part) into n;
      if n <> expected then return false; end if;
      execute format('alter table events detach partition %I', part);
      execute format('drop table %I', part);
      return true;
    end
    $$;
    comment on function drop_event_partition is 'Drops a month that holds as many events as were written elsewhere, else leaves it. Fails rather than keep readers waiting for more than two seconds.';

    alter table write_keys add column events_per_minute integer check (events_per_minute > 0);
    comment on column write_keys.events_per_minute is 'What it may send in a minute where that is not the usual.';

    create table event_quotas (
      source_id integer primary key,
      minute timestamptz not null,
      used bigint not null
    );
    comment on table event_quotas is 'What processes have taken of a source''s events of a minute; one row a source, begun anew each minute.';

    create view recorded_events as
      select e.id, e.received_at, e."timestamp", e.original_timestamp, e.subject_id, e.source_id, e.counts, e.is_attributable,
             coalesce(e.message_id, e.message_key::text) as message_id, e.type, e.event, e.original_event, e.channel, e.trust,
             coalesce(e.anonymous_id, e.anonymous_key::text) as anonymous_id, e.anonymous_key, e.claimed_user_id,
             coalesce(string_to_array(e.purposes, ' '), '{service}') as consents, e.properties,
             case when e.context_id is null and e.page_id is null then coalesce(e.context, '{}')
                  else coalesce(c.context, '{}') || coalesce(p.context, '{}') || coalesce(e.context, '{}') end as context
        from events e
        left join event_contexts c on c.id = e.context_id
        left join event_contexts p on p.id = e.page_id;
    comment on view recorded_events is 'Events as they were sent, for whoever reads them outside the file that stores them. Who does not ask for the context does not pay for it. An anonymous id is found by its anonymous_key.';

    create or replace view binding_lookbacks as
      select id as binding_id, anonymous_id, subject_id, is_counted, looks_back_to as from_at,
             least(coalesce(ends_at, 'infinity'), created_at + interval '6 minutes') as until_at, id_key(anonymous_id) as anonymous_key
        from anonymous_bindings;

    create view pending_activity as
      select subject_id, channel, event, counts, n, first_at, last_at from subject_activity
      union all
      select b.subject_id, e.channel, e.event, e.counts, 1, e."timestamp", e."timestamp"
        from binding_lookbacks b
        join recorded_events e on e.anonymous_key = b.anonymous_key and e.subject_id is null and e.is_attributable
                              and e."timestamp" >= b.from_at and e."timestamp" < b.until_at
       where not b.is_counted;
    comment on view pending_activity is 'What profile_counts does not hold yet; read by the profile, so that nobody sees stale numbers.';

    -- The context of an event is put together by recorded_events: whoever asks for it there, or for everybody, asks for the whole of it too.
    create view subject_events as
      select subject_id as recorded_sub, id, "timestamp", received_at, event, channel, trust, consents, properties, context
        from recorded_events where subject_id is not null and counts;
    comment on view subject_events is 'Events that count, with the sub they were recorded under.';
    create view looked_back_events as
      select b.subject_id as recorded_sub, e.id, e."timestamp", e.received_at, e.event, e.channel,
             case when e.trust = 'claimed' then 'bound' else e.trust end as trust, e.consents, e.properties, e.context
        from binding_lookbacks b
        join recorded_events e on e.anonymous_key = b.anonymous_key and e.subject_id is null and e.is_attributable and e.counts
                              and e."timestamp" >= b.from_at and e."timestamp" < b.until_at;
    comment on view looked_back_events is 'Events that count and that the look-back of a binding gives to a sub.';
    create view attributed_events as
      select * from subject_events union all select * from looked_back_events;
    comment on view attributed_events is 'Events that count, with the sub they were recorded under or that the look-back of a binding gives them. For one person: by a lateral join, as only that reaches the indexes below.';
    create view everybodys_events as
      select coalesce(a.subject_id, e.subject_id, b.subject_id) as subject_id, e.id, e."timestamp", e.received_at, e.event, e.channel,
             case when b.subject_id is not null and e.trust = 'claimed' then 'bound' else e.trust end as trust,
             e.consents, e.properties, e.context
        from recorded_events e
        left join binding_lookbacks b
               on b.anonymous_key = case when e.subject_id is null and e.is_attributable then e.anonymous_key end
              and e."timestamp" >= b.from_at and e."timestamp" < b.until_at
        left join behaviour_aliases a on a.member_id = coalesce(e.subject_id, b.subject_id)
       where e.counts and (e.subject_id is not null or b.subject_id is not null);
    comment on view everybodys_events is 'The same events with the person they read as, by one scan: for questions about everybody.';
  `);
}
