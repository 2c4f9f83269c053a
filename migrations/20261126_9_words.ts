import type { Knex } from 'knex';

/** Columns of the identity graph say what they hold; an index that nothing reads by is gone: who delivers goes by the ids. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    drop index outbox_created;
    comment on column outbox.topic is 'noun.verb in the past, such as subject.merged.';
    comment on column outbox.payload is 'Ids and times; never a phone number, an e-mail or a token.';

    comment on column tickets.kind is 'What it is for; it opens as nothing else.';
    comment on column tickets.state is 'Of its kind: open at first.';

    comment on column known_devices.device_hash is 'Keyed hash of what the browser or app carries.';
    comment on column merges.actor_kind is 'Who merged, as in audit_entries.';
    comment on column merges.case_id is 'The case that was decided by it.';
    comment on column link_cases.survivor_id is 'Of a case decided as a merge: who stayed.';
    comment on column pending_removals.due_at is 'When it goes, unless it is used or kept before.';
    comment on column wechat_pushes.message_hash is 'Keyed hash of what WeChat says tells one message from another.';
  `);
}
