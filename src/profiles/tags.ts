/** Tags that somebody gives a person; those by rule are the segments'. */
import type { Knex } from 'knex';
import { fail } from '../errors.ts';
import { addTag, countTags } from './tag-store.ts';

const mostTags = 200;
/** As a segment can name it. */
export const longestTag = 100;

/** @param by `client:<client id>` or `staff:<sub>` @returns false: it was there @throws invalid_fields */
export async function tagPerson(
  trx: Knex.Transaction,
  { sub, tag, by }: { sub: string; tag: string; by: string },
): Promise<boolean> {
  if (!tag.trim() || tag.length > longestTag || /\p{Cc}/u.test(tag) || !tag.isWellFormed())
    throw fail('invalid_fields', { fields: { tag: `A tag has 1 to ${longestTag} characters.` } });
  const isNew = await addTag(trx, { sub, tag, by });
  if (isNew && (await countTags(trx, sub)) > mostTags)
    throw fail('invalid_fields', { fields: { tag: `A person has at most ${mostTags} tags.` } });
  return isNew;
}
