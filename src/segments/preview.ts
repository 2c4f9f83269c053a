/** How many a definition would hold, before it is one. */
import { type Database, isTimedOut } from '../database.ts';
import { fail } from '../errors.ts';
import { checked, type SegmentServices } from './check.ts';
import { readReferences } from './rules.ts';
import { compileToSql, previewSql } from './sql.ts';
import type { Matched } from './state-store.ts';

export type Preview = { count: number; sample: { sub: string; matched?: Matched }[] };

const timeout = 10_000;
const sampled = 10;

/** Nothing is stored. @throws invalid_fields | segment_takes_too_long: ten seconds were not enough */
export async function previewSegment(services: SegmentServices & { db: Database }, json: unknown): Promise<Preview> {
  const { db, clock } = services;
  const segment = await checked(db, services, json);
  const compiled = compileToSql(segment, { at: clock.now(), ...(await readReferences(db)) });
  try {
    const { count, sample } = await previewSql(db, compiled, { sample: sampled, timeout });
    return { count, sample: sample.map(({ subject_id: sub, matched }) => ({ sub, ...(matched && { matched }) })) };
  } catch (cause) {
    if (isTimedOut(cause)) throw fail('segment_takes_too_long', { cause });
    throw cause;
  }
}
