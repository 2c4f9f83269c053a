/** Who is in a segment, since when and why; how it grew; what a person is in. */
import type { Knex } from 'knex';
import type { Clock } from '../clock.ts';
import { fail } from '../errors.ts';
import { compileSegment } from './evaluate.ts';
import { type Explanation, explain } from './explain.ts';
import { needsOf } from './needs.ts';
import { readPerson, standingSubs } from './people.ts';
import { compileThrough, readReferences } from './rules.ts';
import {
  type ChangeRow,
  type Matched,
  readChanges,
  readMembers,
  readSizes,
  readStates,
  type SizeRow,
} from './state-store.ts';
import { readDefinitions, readSegment, type SegmentRow } from './store.ts';

async function rowOf(db: Knex, key: string): Promise<SegmentRow> {
  const row = await readSegment(db, key);
  if (!row) throw fail('not_found');
  return row;
}

export type Member = { sub: string; entered_at: Date; matched: Matched | null };

/** In the order of the subs, after this one. @throws not_found */
export async function membersOf(
  db: Knex,
  key: string,
  page: { after: string | null; limit: number },
): Promise<Member[]> {
  const { id } = await rowOf(db, key);
  return (await readMembers(db, id, page)).map(({ subject_id: sub, ...member }) => ({ sub, ...member }));
}

/** Who came and who went, newest first, before this entry. @throws not_found */
export async function changesOf(
  db: Knex,
  key: string,
  page: { before: string | null; limit: number },
): Promise<ChangeRow[]> {
  const { id } = await rowOf(db, key);
  return readChanges(db, id, page);
}

/** Hours in which it changed. @throws not_found */
export async function sizesOf(db: Knex, key: string, since: Date): Promise<SizeRow[]> {
  const { id } = await rowOf(db, key);
  return readSizes(db, id, since);
}

export type Why = {
  sub: string;
  segment: string;
  is_member: boolean;
  entered_at: Date | null;
  matched: Matched | null;
  explanation: Explanation;
};

/** Asked now, of the version in force: with the events that speak for it, or what is missing. @throws not_found | segment_takes_too_long */
export async function explainMembership(
  { db, clock }: { db: Knex; clock: Clock },
  key: string,
  requested: string,
): Promise<Why> {
  const row = await rowOf(db, key);
  const sub = (await standingSubs(db, [requested])).get(requested);
  const definition = (await readDefinitions(db)).find((known) => known.key === key)?.definition;
  if (sub === undefined || !definition) throw fail('not_found');
  const through = compileThrough(await readReferences(db));
  const compiled = compileSegment(definition, through);
  const at = clock.now().getTime();
  const read = await readPerson(db, sub, needsOf([compiled], at, through));
  if (!read) throw fail('not_found');
  const { person, isTooLong } = read;
  if (isTooLong)
    throw fail('segment_takes_too_long', { message: 'This person did too much for it to be told one by one.' });
  const state = (await readStates(db, [sub])).find(({ build_id }) => build_id === row.live_build_id);
  const explanation = explain(compiled, person, at);
  const { is_member, matched } = explanation;
  return {
    sub,
    segment: key,
    is_member,
    entered_at: is_member ? (state?.entered_at ?? null) : null,
    matched,
    explanation,
  };
}
