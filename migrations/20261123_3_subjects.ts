import type { Knex } from 'knex';

/** Who a person is. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    create table subjects (
      id uuid primary key,
      status text not null default 'active' check (status in ('active', 'absorbed', 'suspended', 'deleted')),
      created_at timestamptz not null default now(),
      last_sign_in_at timestamptz,
      nickname text,
      picture text,
      locale text
    );
    comment on table subjects is 'One row a person. id is the public sub, a UUIDv7, never reissued.';

    create table subject_aliases (
      absorbed_id uuid primary key references subjects (id),
      survivor_id uuid not null references subjects (id),
      merge_id uuid not null,
      created_at timestamptz not null default now(),
      check (absorbed_id <> survivor_id)
    );
    comment on table subject_aliases is 'Where an absorbed sub leads. Always points at a standing subject: a later merge rewrites it.';
    create index subject_aliases_survivor on subject_aliases (survivor_id);

    create table identities (
      id uuid primary key default uuid_v7(),
      subject_id uuid not null references subjects (id),
      kind text not null,
      issuer text not null default '',
      lookup text not null,
      sealed text,
      verified_at timestamptz not null,
      last_used_at timestamptz not null,
      created_at timestamptz not null default now(),
      unique (kind, issuer, lookup)
    );
    comment on table identities is 'What a person proved to be theirs. (kind, issuer, lookup) is unique: the database keeps one identity from having two people.';
    comment on column identities.issuer is 'appid for wechat_openid, open-platform account for wechat_unionid, issuer URL for oidc, empty for phone and e-mail.';
    comment on column identities.lookup is 'The external id; for phone and e-mail a keyed hash of it.';
    comment on column identities.sealed is 'Phone and e-mail only: the value, sealed.';
    create index identities_subject on identities (subject_id);

    create table link_cases (
      id uuid primary key default uuid_v7(),
      status text not null default 'open' check (status in ('open', 'merged', 'dismissed')),
      reason text not null,
      subject_id uuid not null references subjects (id),
      other_subject_id uuid not null references subjects (id),
      identity_kind text not null,
      identity_issuer text not null,
      identity_lookup text not null,
      times_seen integer not null default 1,
      opened_at timestamptz not null default now(),
      last_seen_at timestamptz not null default now(),
      decided_at timestamptz,
      decided_by text
    );
    comment on table link_cases is 'Somebody proved, in one sign-in, identities that sit on two subjects. Merging decides.';
    create unique index link_cases_open on link_cases (subject_id, other_subject_id, identity_kind, identity_issuer) where status = 'open';

    create view current_subjects as
      select s.id as requested_id,
             coalesce(a.survivor_id, s.id) as subject_id,
             case when a.survivor_id is null then s.status else t.status end as status,
             a.merge_id
        from subjects s
        left join subject_aliases a on a.absorbed_id = s.id
        left join subjects t on t.id = a.survivor_id;
    comment on view current_subjects is 'Every sub ever issued with the subject that stands for it today; read by events, tokens and the APIs.';

    create table consents (
      id uuid primary key default uuid_v7(),
      subject_id uuid not null references subjects (id),
      purpose text not null,
      version text not null,
      is_granted boolean not null,
      at timestamptz not null default now(),
      channel text not null,
      evidence jsonb not null default '{}'
    );
    comment on table consents is 'Append-only: who agreed to which version of which purpose, when and where. The newest row of a purpose counts.';
    create index consents_subject on consents (subject_id, purpose, at desc);
    create view current_consents as
      select distinct on (subject_id, purpose) subject_id, purpose, version, is_granted, at
        from consents order by subject_id, purpose, at desc, id desc;
    comment on view current_consents is 'The consent in force per person and purpose.';

    create table staff (
      subject_id uuid primary key references subjects (id),
      role text not null check (role in ('owner', 'admin', 'support', 'marketing', 'privacy', 'viewer')),
      granted_at timestamptz not null default now(),
      granted_by text not null
    );
    comment on table staff is 'Who may enter the admin console, and as what.';
    create table staff_invitations (
      id uuid primary key default uuid_v7(),
      token_hash text unique,
      email_lookup text unique,
      role text not null,
      created_at timestamptz not null default now(),
      used_at timestamptz
    );
    comment on table staff_invitations is 'Roles waiting for their person: the one-time first-administrator link, or an e-mail that has not signed in yet.';
  `);
}
