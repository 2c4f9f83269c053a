import type { Knex } from 'knex';

/** The queue of link cases is paged by when one was last seen, of one status or of all; the first index had the ids the other way round. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    drop index link_cases_queue;
    create index link_cases_status on link_cases (status, last_seen_at desc, id desc);
    create index link_cases_seen on link_cases (last_seen_at desc, id desc);
  `);
}
