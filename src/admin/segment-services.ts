/** What segments/ is given by a page: faults in the reader's language, and events by the names that readers know. */
import type { Segment } from '../segments/definition.ts';
import type { AdminRequest } from './console.ts';
import type { AdminDependencies } from './dependencies.ts';
import { draftOf, jsonOf } from './segment-draft.ts';
import type { Words } from './segment-words.ts';
import { readTitles } from './titles.ts';

export function segmentServices({ db, clock, readCatalogue }: AdminDependencies, { t }: Pick<AdminRequest, 't'>) {
  return { db, clock, readCatalogue, translate: t };
}

export async function wordsFor(
  deps: AdminDependencies,
  { t, language }: Pick<AdminRequest, 't' | 'language'>,
): Promise<Words> {
  return { t, language, titles: await readTitles(deps, language) };
}

/** As one would write it: the database keeps the fields in an order of its own. */
export function asWritten({ where, version, key, name, purpose, tz }: Segment): string {
  return JSON.stringify({ version, key, name, purpose, tz, where: jsonOf(draftOf(where)) }, null, 2);
}
