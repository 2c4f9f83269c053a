import type { Knex } from 'knex';

/** An identity that the company vouches for is told apart from one that its person has proven: only a proven e-mail carries a role. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    alter table identities add column is_vouched boolean not null default false;
    comment on column identities.is_vouched is 'Given by staff or by a program of the company, and proven by nobody yet. The first sign-in with it ends that.';
  `);
}
