/** Cursor-paged lists: `{ data, next_cursor }`. */
import { z } from 'zod';
import { fail } from '../errors.ts';

export const pageQuery = z.strictObject({
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(1000)
    .default(100)
    .meta({ description: 'Most items of one page.', override: { type: 'integer' } }),
  cursor: z.string().max(500).optional().meta({ description: '`next_cursor` of the page before. Opaque.' }),
});

export function pageOf<Item extends z.ZodType>(item: Item) {
  return z.object({
    data: z.array(item),
    next_cursor: z.string().nullable().meta({ description: 'Null on the last page.' }),
  });
}

/** Accepts what the driver gives (Date) and answers RFC 3339. */
export const timestamp = z
  .preprocess((value) => (value instanceof Date ? value.toISOString() : value), z.iso.datetime())
  .meta({ examples: ['2026-11-23T08:00:00.000Z'] });

const cursorContent = z.strictObject({ after: z.string() });

/** One page of a list that is small enough to be read whole (a company's clients, a person's identities). */
export function paginate<Item>(
  items: Item[],
  idOf: (item: Item) => string,
  { limit, cursor }: z.output<typeof pageQuery>,
): { data: Item[]; next_cursor: string | null } {
  const sorted = items.toSorted((a, b) => (idOf(a) < idOf(b) ? -1 : 1));
  const after = cursor === undefined ? undefined : readCursor(cursor);
  const rest = after === undefined ? sorted : sorted.filter((item) => idOf(item) > after);
  const data = rest.slice(0, limit);
  const last = data.at(-1);
  const more = last !== undefined && rest.length > data.length;
  return { data, next_cursor: more ? encode({ after: idOf(last) }) : null };
}

/** What the page begins after; nothing for the first one. @throws invalid_fields */
export function afterOf(cursor: string | undefined): string | undefined {
  return cursor === undefined ? undefined : readCursor(cursor);
}

/** One page of what was read from there, one item more than the page holds. */
export function pageAfter<Item>(
  items: Item[],
  limit: number,
  idOf: (item: Item) => string,
): { data: Item[]; next_cursor: string | null } {
  const data = items.slice(0, limit);
  const last = data.at(-1);
  return { data, next_cursor: last !== undefined && items.length > limit ? encode({ after: idOf(last) }) : null };
}

const keyset = z.strictObject({ at: z.iso.datetime(), id: z.uuid() });

/** Of a list that is read page by page in the order of time and id. */
export function keysetCursor(content: z.output<typeof keyset>): string {
  return Buffer.from(JSON.stringify(content)).toString('base64url');
}

/** @throws invalid_fields */
export function readKeyset(cursor: string): z.output<typeof keyset> {
  try {
    return keyset.parse(JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')));
  } catch (cause) {
    throw fail('invalid_fields', { fields: { cursor: 'This is not a cursor of this list.' }, cause });
  }
}

function encode(content: z.output<typeof cursorContent>): string {
  return Buffer.from(JSON.stringify(content)).toString('base64url');
}

function readCursor(cursor: string): string {
  try {
    return cursorContent.parse(JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'))).after;
  } catch (cause) {
    throw fail('invalid_fields', { fields: { cursor: 'This is not a cursor of this list.' }, cause });
  }
}
