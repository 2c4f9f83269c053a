import type { Knex } from 'knex';

/** What the identity graph taught when it was measured. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    comment on table merge_identities is 'Which identities a merge moved to the survivor and which it put second. A row outlives its identity: an undo then says that it is gone.';
  `);
}
