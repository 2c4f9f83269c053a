import { expect, it } from 'vitest';
import { createSeal } from '../../src/seal.ts';
import { type CaseCursor, listCases } from '../../src/subjects/cases.ts';
import { mergeSubjects } from '../../src/subjects/merge.ts';
import { resolveSubject } from '../../src/subjects/resolve.ts';
import { testDatabase } from '../helpers/database.ts';
import { noJobs } from '../helpers/jobs.ts';
import { phone, proof } from './people.ts';

const { db } = await testDatabase();
const services = { db, seal: createSeal('a secret of at least thirty-two characters'), jobs: noJobs };

async function person(): Promise<string> {
  const context = { channel: 'website' };
  return (await resolveSubject(services, { proofs: [proof(phone())], create: true, context })).sub;
}

it('the queue loses no case between two pages, also of those that were seen within one millisecond', async () => {
  const [one, other] = [await person(), await person()];
  await db.raw(
    `insert into link_cases (reason, subject_id, other_subject_id, identity_kind, identity_issuer, identity_lookup, last_seen_at)
     select 'test', ?, ?, 'oidc', n::text, 'x', timestamptz '2026-11-26 12:00:00.0001+00' + n * interval '60 microseconds'
       from generate_series(1, 30) n`,
    [one, other],
  );
  const seen: string[] = [];
  let before: CaseCursor | undefined;
  do {
    const { cases, next } = await listCases(db, { status: 'open', before, limit: 7 });
    seen.push(...cases.map(({ id }) => id));
    before = next ?? undefined;
  } while (before);
  expect(seen).toHaveLength(30);
  expect(new Set(seen).size).toBe(30);
});

it('the queue says who stands for the two today', async () => {
  const [one, other, survivor] = [await person(), await person(), await person()];
  const key = { identity_kind: 'phone', identity_issuer: '', identity_lookup: 'x', reason: 'test' };
  await db('link_cases').insert({ ...key, subject_id: one, other_subject_id: other, last_seen_at: new Date() });
  const actor = { actor_kind: 'staff' as const, actor_id: 'somebody' };
  await mergeSubjects(services, { survivor, absorbed: one, reason: 'one person', basis: 'staff', actor });
  const { cases } = await listCases(db, { status: 'open', limit: 1 });
  expect(cases).toMatchObject([{ subject_id: one, current: { subject: survivor, other } }]);
});
