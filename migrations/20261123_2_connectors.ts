import type { Knex } from 'knex';

/** Ways to sign in: their settings, one-time codes, WeChat's app tokens. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    create table connectors (
      id text primary key,
      connector text not null,
      settings_sealed text not null,
      is_enabled boolean not null default true,
      source text not null default 'operator',
      updated_at timestamptz not null default now()
    );
    comment on table connectors is 'Configured connectors. id is the connector name, followed by :<appid> where one company has several.';
    comment on column connectors.source is 'operator, or sandbox: disabled by the next start without the sandbox.';

    create table one_time_codes (
      id uuid primary key default uuid_v7(),
      channel text not null,
      recipient_hash text not null,
      recipient_sealed text not null,
      purpose text not null,
      binding_hash text not null,
      code_hash text not null,
      tries smallint not null default 0,
      created_at timestamptz not null default now(),
      expires_at timestamptz not null,
      spent_at timestamptz
    );
    comment on table one_time_codes is 'Codes sent by SMS and mail. Only a keyed hash of the code is kept; five tries, single use.';
    comment on column one_time_codes.binding_hash is 'Hash of what asked for the code: the browser''s interaction, or the client of POST /otp.';
    create index one_time_codes_recipient on one_time_codes (recipient_hash, created_at desc);
    create index one_time_codes_expires on one_time_codes (expires_at);

    create table wechat_access_tokens (
      appid text primary key,
      token_sealed text not null,
      fetched_at timestamptz not null,
      expires_at timestamptz not null
    );
    comment on table wechat_access_tokens is 'The app-level access token of each WeChat app, shared by all processes.';
  `);
}
