import type { Knex } from 'knex';

/** Merging, undoing, numbers that change hands, and secrets that work once. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    alter table identities add column superseded_at timestamptz;
    comment on column identities.superseded_at is 'Set by a merge whose two sides each had one of this kind and issuer, for the one that was not chosen: it still signs its person in, but is left out of claims and messages.';

    create table merges (
      id uuid primary key default uuid_v7(),
      survivor_id uuid not null references subjects (id),
      absorbed_id uuid not null references subjects (id),
      basis text not null check (basis in ('rule', 'person', 'staff')),
      reason text not null,
      actor_kind text not null,
      actor_id text,
      case_id uuid references link_cases (id),
      filled jsonb not null default '{}',
      merged_at timestamptz not null default now(),
      undone_at timestamptz,
      undone_by_kind text,
      undone_by text,
      undo_reason text,
      check (survivor_id <> absorbed_id)
    );
    comment on table merges is 'Two subjects found to be one person, and what undoing it needs. An undone merge stays: no rule joins those two again.';
    comment on column merges.basis is 'rule: proven in one go and nothing contradicted. person: asked for on the account page. staff: decided in the console or by the management API.';
    comment on column merges.filled is 'What the survivor lacked and took over (nickname, picture, locale, consents), so that undo takes it back.';
    create unique index merges_standing on merges (absorbed_id) where undone_at is null;
    create index merges_survivor on merges (survivor_id);
    create index merges_absorbed on merges (absorbed_id);

    create table merge_identities (
      merge_id uuid not null references merges (id),
      identity_id uuid not null,
      effect text not null check (effect in ('moved', 'superseded')),
      primary key (identity_id, effect, merge_id)
    );
    comment on table merge_identities is 'Which identities a merge moved to the survivor and which it put second. Deleted with the identity.';
    create index merge_identities_merge on merge_identities (merge_id);

    alter table link_cases add column survivor_id uuid references subjects (id);
    alter table link_cases add column merge_id uuid references merges (id);
    alter table link_cases add column decision_reason text;
    alter table link_cases add column evidence jsonb not null default '{}';
    comment on column link_cases.evidence is 'What was proven together, where and when, and what contradicted; holds no phone number and no e-mail.';
    create index link_cases_queue on link_cases (last_seen_at desc, id) where status = 'open';
    create index link_cases_subject on link_cases (subject_id);
    create index link_cases_other on link_cases (other_subject_id);

    create table known_devices (
      subject_id uuid not null references subjects (id),
      device_hash text not null,
      first_seen_at timestamptz not null default now(),
      last_seen_at timestamptz not null default now(),
      primary key (subject_id, device_hash)
    );
    comment on table known_devices is 'Browsers and apps a person has signed in with: a phone number that was quiet for long opens the account at once only from one of them.';

    create index known_devices_device on known_devices (device_hash);

    -- What a person said under one sub holds for all of theirs: the newest word counts, whichever account it was given in, and an
    -- undone merge gives each side its own words back.
    create or replace view current_consents as
      select distinct on (m.subject_id, k.purpose) m.subject_id, k.purpose, k.version, k.is_granted, k.at
        from subject_members m join consents k on k.subject_id = m.member_id
       order by m.subject_id, k.purpose, k.at desc, k.id desc;
    comment on view current_consents is 'The consent in force per person and purpose, over all subs of that person.';

    create or replace view staff_subjects as select subject_id from staff;
    comment on view staff_subjects is 'People with a role in the console: no rule merges them with anybody.';

    create table tickets (
      id_hash text primary key,
      kind text not null,
      state text not null default 'open',
      payload_sealed text not null,
      expires_at timestamptz not null,
      created_at timestamptz not null default now()
    );
    comment on table tickets is 'Secrets that work once and for minutes: the state of a redirect, the code on a screen, a hand-over address. id_hash is a keyed hash and the payload is sealed, so a copy of this table opens nothing.';
    create index tickets_expires on tickets (expires_at);

    create table outbox (
      id uuid primary key default uuid_v7(),
      topic text not null,
      subject_id uuid,
      payload jsonb not null,
      created_at timestamptz not null default now()
    );
    comment on table outbox is 'What others are to hear of, written in the transaction of the change itself, in the order of the ids.';
    create index outbox_created on outbox (created_at);
  `);
}
