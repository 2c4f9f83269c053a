import type { Knex } from 'knex';

/** Channels that are the company's own. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    create view declared_channels as
      select channel as name from write_keys where channel is not null
      union
      select channel from clients where channel is not null;
    comment on view declared_channels is 'Channels that a write key or a client says it is on, besides those that are built in: no invention of a sender.';
  `);
}
