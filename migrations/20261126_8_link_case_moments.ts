import type { Knex } from 'knex';

/** A page of cases goes on behind the moment that its last one shows, which is in milliseconds: finer ones were left out between two pages. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw('alter table link_cases alter column last_seen_at type timestamptz(3)');
}
