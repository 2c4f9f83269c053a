/** Table tag_rules: members of the segment carry the tag. */
import type { Knex } from 'knex';

export type TagRule = { tag: string; segment: string; created_at: Date; created_by: string };

export async function readTagRules(db: Knex): Promise<TagRule[]> {
  return db('tag_rules')
    .select('tag', { segment: 'segment_key' }, 'created_at', 'created_by')
    .orderBy(['tag', 'segment_key']);
}

/** False: it is there already. */
export async function insertTagRule(trx: Knex, { segment, ...rule }: TagRule): Promise<boolean> {
  const rows = await trx('tag_rules')
    .insert({ ...rule, segment_key: segment })
    .onConflict(['tag', 'segment_key'])
    .ignore()
    .returning('tag');
  return rows.length > 0;
}

export async function deleteTagRule(trx: Knex, { tag, segment }: Pick<TagRule, 'tag' | 'segment'>): Promise<boolean> {
  return (await trx('tag_rules').where({ tag, segment_key: segment }).delete()) > 0;
}
