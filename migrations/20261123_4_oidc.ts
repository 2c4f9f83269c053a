import type { Knex } from 'knex';

/** What the protocol engine keeps. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    create table oidc_artifacts (
      model text not null,
      id text not null,
      payload_sealed text not null,
      grant_id text,
      uid text,
      user_code_hash text,
      subject_id uuid,
      client_id text,
      expires_at timestamptz not null,
      consumed_at timestamptz,
      successor_sealed text,
      created_at timestamptz not null default now(),
      primary key (model, id)
      -- Room for the mark on a spent token beside it: no index is written again.
    ) with (fillfactor = 80);
    comment on table oidc_artifacts is 'Sessions, grants, codes and tokens. id is a hash of the secret value and the payload is sealed, so a copy of this table signs nobody in.';
    comment on column oidc_artifacts.grant_id is 'id of the row of model Grant that this one lives and dies with.';
    comment on column oidc_artifacts.subject_id is 'Of sessions and grants; everything else is found through its grant.';
    comment on column oidc_artifacts.successor_sealed is 'Of a rotated refresh token of a public client: its successor, given again to whoever repeats within 30 seconds.';
    create index oidc_artifacts_grant on oidc_artifacts (grant_id) where grant_id is not null;
    create index oidc_artifacts_uid on oidc_artifacts (uid) where uid is not null;
    create index oidc_artifacts_user_code on oidc_artifacts (user_code_hash) where user_code_hash is not null;
    create index oidc_artifacts_subject on oidc_artifacts (subject_id) where subject_id is not null;
    create index oidc_artifacts_expires on oidc_artifacts (expires_at);

    create table clients (
      client_id text primary key,
      name text not null,
      party text not null default 'first' check (party in ('first', 'third')),
      metadata jsonb not null,
      secret_sealed text,
      methods text[] not null default '{}',
      appid text,
      channel text,
      api_scopes text[] not null default '{}',
      require_pkce boolean not null default true,
      is_enabled boolean not null default true,
      source text not null default 'operator',
      created_at timestamptz not null default now()
    );
    comment on table clients is 'Applications that sign people in, and machine clients of the management API.';
    comment on column clients.metadata is 'OpenID Connect client metadata (RFC 7591 names) without the secret.';
    comment on column clients.methods is 'Connectors offered to this client''s people, in the order shown.';
    comment on column clients.appid is 'The one WeChat app whose login codes this client may exchange.';
    comment on column clients.api_scopes is 'Scopes of the management API that this client may have by client credentials.';

    create table signing_keys (
      kid text primary key,
      alg text not null,
      public_jwk jsonb not null,
      private_sealed text not null,
      created_at timestamptz not null default now(),
      retires_at timestamptz
    );
    comment on table signing_keys is 'Keys that sign tokens. The newest unretired key of an algorithm signs; retired ones stay published until their tokens have expired.';
  `);
}
