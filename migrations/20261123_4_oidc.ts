import type { Knex } from 'knex';

/** What the protocol engine keeps. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    create table oidc_artifacts (
      model text not null,
      id text not null,
      payload jsonb not null,
      grant_id text,
      uid text,
      user_code text,
      subject_id uuid,
      client_id text,
      expires_at timestamptz,
      consumed_at timestamptz,
      created_at timestamptz not null default now(),
      primary key (model, id)
    );
    comment on table oidc_artifacts is 'Sessions, grants, codes and tokens. id is a hash of the secret value, so a copy of this table signs nobody in.';
    create index oidc_artifacts_grant on oidc_artifacts (grant_id) where grant_id is not null;
    create index oidc_artifacts_uid on oidc_artifacts (uid) where uid is not null;
    create index oidc_artifacts_user_code on oidc_artifacts (user_code) where user_code is not null;
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
      is_enabled boolean not null default true,
      source text not null default 'operator',
      created_at timestamptz not null default now()
    );
    comment on table clients is 'Applications that sign people in, and machine clients of the management API.';
    comment on column clients.metadata is 'OpenID Connect client metadata (RFC 7591 names) without the secret.';
    comment on column clients.methods is 'Connectors offered to this client''s people, in the order shown.';
    comment on column clients.appid is 'The one WeChat app whose login codes this client may exchange.';

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
