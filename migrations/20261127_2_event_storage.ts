import type { Knex } from 'knex';

/**
 * How events lie on disk: what repeats of their contexts is stored once, the message id is found by 16 bytes of hash instead of its
 * text, and whoever reads events reads a view that puts them together again.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    create table event_contexts (
      id uuid primary key,
      context jsonb not null,
      used_on date not null
    );
    comment on table event_contexts is 'What many events have in common of their context: the browser, the language, the campaign; and the page. Names nobody.';
    comment on column event_contexts.id is 'The start of the SHA-256 of its text: every process finds the same one.';
    comment on column event_contexts.used_on is 'The first day of the last month whose events refer to it: it goes with the partition of that month.';

    alter table events add column context_id uuid, add column page_id uuid;
    comment on column events.context is 'What the event has of its context for itself; the whole is in recorded_events.';
    comment on column events.context_id is 'Of event_contexts: the surroundings.';
    comment on column events.page_id is 'Of event_contexts: the page.';

    create function message_key(source_id integer, message_id text) returns uuid
      language sql immutable parallel safe as $$ select md5(source_id::text || ' ' || message_id)::uuid $$;
    comment on function message_key is 'By what a message id is found within its source: a third of the bytes of the text in each entry of the index.';

    -- Planned for a month that is still empty, a probe would read all of that month until the table is analysed anew: so no
    -- plan of this function reads a table through, whenever it is made. It is made once a connection (2 ms).
    create function known_messages(keys uuid[], since timestamptz, until timestamptz) returns setof integer language plpgsql stable
      set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
    begin
      return query
        select k.n::integer from unnest(keys) with ordinality as k (key, n)
         cross join lateral (
           select from events e
            where message_key(e.source_id, e.message_id) = k.key and e.received_at >= since and e.received_at < until limit 1) e;
    end
    $$;
    comment on function known_messages is 'Which of these message keys, counted from 1, are among the events received in this time.';

    create function event_partitions() returns table (name text, starts_at timestamptz) language sql stable as $$
      select c.relname::text, to_date(right(c.relname, 7), 'YYYY_MM')::timestamp at time zone 'UTC'
        from pg_inherits i join pg_class c on c.oid = i.inhrelid
       where i.inhparent = 'events'::regclass and c.relname ~ '^events_\\d{4}_\\d{2}$'
    $$;
    comment on function event_partitions is 'The months that are there.';

    do $$
    declare part text;
    begin
      for part in select name from event_partitions() loop
        execute format('drop index %I', part || '_message');
        execute format('create unique index %I on %I (message_key(source_id, message_id))', part || '_message', part);
      end loop;
    end
    $$;

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
      execute format('create unique index %I on %I (message_key(source_id, message_id))', name || '_message', name);
      execute format('alter table events attach partition %I for values from (%L) to (%L)', name, starts_at, ends_at);
    end
    $$;

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
             e.message_id, e.type, e.event, e.original_event, e.channel, e.trust, e.anonymous_id, e.claimed_user_id, e.consents,
             e.properties,
             case when e.context_id is null and e.page_id is null then e.context
                  else coalesce(c.context, '{}') || coalesce(p.context, '{}') || e.context end as context
        from events e
        left join event_contexts c on c.id = e.context_id
        left join event_contexts p on p.id = e.page_id;
    comment on view recorded_events is 'Events as they were sent, for whoever reads them outside the file that stores them. Who does not ask for the context does not pay for it.';

    create or replace view pending_activity as
      select subject_id, channel, event, counts, n, first_at, last_at from subject_activity
      union all
      select b.subject_id, e.channel, e.event, e.counts, 1, e."timestamp", e."timestamp"
        from binding_lookbacks b
        join recorded_events e on e.anonymous_id = b.anonymous_id and e.subject_id is null and e.is_attributable
                              and e."timestamp" >= b.from_at and e."timestamp" < b.until_at
       where not b.is_counted;

    create or replace view attributed_events as
      select subject_id as recorded_sub, id, "timestamp", received_at, event, channel, trust, consents, properties, context
        from recorded_events where subject_id is not null and counts
      union all
      select b.subject_id, e.id, e."timestamp", e.received_at, e.event, e.channel,
             case when e.trust = 'claimed' then 'bound' else e.trust end, e.consents, e.properties, e.context
        from binding_lookbacks b
        join recorded_events e on e.anonymous_id = b.anonymous_id and e.subject_id is null and e.is_attributable and e.counts
                              and e."timestamp" >= b.from_at and e."timestamp" < b.until_at;
  `);
}
