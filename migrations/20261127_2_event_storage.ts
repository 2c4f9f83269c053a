import type { Knex } from 'knex';

/** How events lie on disk, and the view through which they are read. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    create view recorded_events as
      select id, received_at, "timestamp", original_timestamp, subject_id, source_id, counts, is_attributable, message_id, type,
             event, original_event, channel, trust, anonymous_id, claimed_user_id, consents, properties, context
        from events;
    comment on view recorded_events is 'Events as they were stored, for whoever reads them outside the file that stores them.';
  `);
}
