import type { Knex } from 'knex';

/** Three roles in place of six, sessions of the console that can be ended, and an audit record that can be read. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    alter table staff drop constraint staff_role_check;
    update staff set role = 'operator' where role in ('admin', 'support');
    update staff set role = 'viewer' where role in ('marketing', 'privacy');
    alter table staff add constraint staff_role_check check (role in ('owner', 'operator', 'viewer'));

    update staff_invitations set role = 'operator' where role in ('admin', 'support');
    update staff_invitations set role = 'viewer' where role in ('marketing', 'privacy');
    alter table staff_invitations add constraint staff_invitations_role_check check (role in ('owner', 'operator', 'viewer'));
    alter table staff_invitations add column email_hint text;
    alter table staff_invitations add column invited_by text not null default 'heyi admin grant';
    comment on column staff_invitations.email_hint is 'The address, masked: enough for owners to recognise whom they invited.';

    create table staff_sessions (
      id_hash text primary key,
      subject_id uuid not null references subjects (id),
      network text not null,
      began_at timestamptz not null default now(),
      ends_at timestamptz not null
    );
    comment on table staff_sessions is 'Sign-ins to the console that stand. The cookie names one by its id; signing out deletes the row, so a copied cookie is worth nothing afterwards.';
    comment on column staff_sessions.network is 'Where it began: from another network the person signs in anew.';
    create index staff_sessions_subject on staff_sessions (subject_id);
    create index staff_sessions_ends on staff_sessions (ends_at);

    create index audit_entries_newest on audit_entries (at desc, id desc);
    create index audit_entries_action on audit_entries (action, at desc, id desc);
    create index audit_entries_actor on audit_entries (actor_id, at desc, id desc);
  `);
}
