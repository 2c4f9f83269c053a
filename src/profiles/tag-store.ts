/** Table profile_tags. */
import type { Knex } from 'knex';

type Tagging = { sub: string; tag: string };

export async function addTag(trx: Knex, { sub, tag, by }: Tagging & { by: string }): Promise<boolean> {
  const { rowCount } = await trx.raw(
    `insert into profile_tags (subject_id, tag, added_by)
     select :sub::uuid, :tag, :by
      where not exists (select from current_tags where subject_id = :sub::uuid and tag = :tag)
     on conflict do nothing`,
    { sub, tag, by },
  );
  return rowCount > 0;
}

export async function countTags(trx: Knex, sub: string): Promise<number> {
  const row = await trx('profile_tags').where({ subject_id: sub }).count({ n: '*' }).first();
  return Number(row?.n ?? 0);
}

/** Under whichever sub it was given. @returns false: it was not there, or is there by a rule alone */
export async function untagPerson(trx: Knex, { sub, tag }: Tagging): Promise<boolean> {
  const { rowCount } = await trx.raw(
    `delete from profile_tags where tag = :tag
        and subject_id = any (array(select member_id from subject_members where subject_id = :sub::uuid))`,
    { sub, tag },
  );
  return rowCount > 0;
}
