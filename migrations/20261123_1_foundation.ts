import type { Knex } from 'knex';

/** Foundation, limits, audit. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    -- PostgreSQL 18 has uuidv7() built in; 14 to 17 do not (RFC 9562 section 5.7: 48 bits of milliseconds, then random).
    create function uuid_v7() returns uuid language sql volatile parallel safe as $$
      select encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
               placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6),
               52, 1), 53, 1), 'hex')::uuid
    $$;
    comment on function uuid_v7() is 'Time-ordered id, so that new rows land together in the index.';

    create table seal_check (
      id smallint primary key check (id = 1),
      probe text not null
    );
    comment on table seal_check is 'One value sealed with the root secret, so that a start with another secret is refused.';

    create table rate_limits (
      key varchar(255) primary key,
      points integer not null default 0,
      expire bigint
    );
    comment on table rate_limits is 'Counters of rate-limiter-flexible, shared by all processes. Keys are keyed hashes.';

    create table audit_entries (
      id uuid primary key default uuid_v7(),
      at timestamptz not null default now(),
      action text not null,
      actor_kind text not null,
      actor_id text,
      subject_id uuid,
      client_id text,
      ip inet,
      request_id text,
      details jsonb not null default '{}'
    );
    comment on table audit_entries is 'Append-only record of what was done to whom by whom. Holds no phone number, no e-mail, no secret.';
    create index audit_entries_subject on audit_entries (subject_id, at desc);
    create rule audit_entries_no_update as on update to audit_entries do instead nothing;
  `);
}
