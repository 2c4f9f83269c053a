import { describe, expect, it } from 'vitest';
import { createSeal } from '../../src/seal.ts';
import type { Actor } from '../../src/subjects/actor.ts';
import { joinProven, previewJoin } from '../../src/subjects/join.ts';
import { resolveSubject } from '../../src/subjects/resolve.ts';
import { currentSubject } from '../../src/subjects/subjects.ts';
import { testDatabase } from '../helpers/database.ts';
import { collectJobs } from '../helpers/jobs.ts';
import { email, openid, phone, proof } from './people.ts';

const { db } = await testDatabase();
const { jobs, sent } = collectJobs();
const services = { db, seal: createSeal('a secret of at least thirty-two characters'), jobs };
const person = (sub: string): Actor => ({ actor_kind: 'person', actor_id: sub });

async function known(...identities: Parameters<typeof proof>): Promise<string> {
  const context = { channel: 'website' };
  return (await resolveSubject(services, { proofs: [proof(...identities)], create: true, context })).sub;
}
const join = (sub: string, of: Parameters<typeof proof>) =>
  joinProven(services, { sub, proof: proof(...of), actor: person(sub) });

describe('"both accounts are mine"', () => {
  it('is previewed with both sides, and merges them when the person says so: logged as theirs, and told', async () => {
    const [mine, number] = [openid(), phone()];
    const sub = await known(mine);
    const other = await known(number);
    const seen = await previewJoin(services, { sub, proof: proof(number) });
    expect(seen?.contradictions).toEqual([]);
    expect(seen?.preview).toMatchObject({ survivor: { sub: other }, absorbed: { sub } });
    expect(seen?.preview.moves).toMatchObject([{ kind: 'wechat_openid' }]);

    expect(await join(sub, [number])).toMatchObject({ kind: 'merged', merge: { survivor: other, basis: 'person' } });
    expect((await currentSubject(db, sub))?.sub).toBe(other);
    expect(sent).toContainEqual(expect.objectContaining({ name: 'subject.ended' }));
    const [entry] = await db('audit_entries').where({ action: 'subject.merged', subject_id: sub });
    expect(entry).toMatchObject({ actor_kind: 'person', actor_id: sub });
  });

  it('D16: a double click merges once', async () => {
    const [mine, number] = [openid(), phone()];
    const [sub, other] = [await known(mine), await known(number)];
    const answers = await Promise.all([join(sub, [number]), join(sub, [number])]);
    expect(answers.map(({ kind }) => kind).sort()).toEqual(['merged', 'over']);
    expect(await db('merges').where({ absorbed_id: sub, survivor_id: other })).toHaveLength(1);
  });

  it('becomes a case for staff where both have one of a kind, and both stay as they are', async () => {
    const address = email();
    const sub = await known(phone(), email());
    const other = await known(address);
    expect(await join(sub, [address])).toMatchObject({ kind: 'case' });
    expect(await db('link_cases').where({ subject_id: sub })).toMatchObject([
      { status: 'open', reason: 'asked_by_person', other_subject_id: other },
    ]);
    for (const one of [sub, other]) expect((await currentSubject(db, one))?.sub).toBe(one);
    // Asked again, it is the same question.
    expect(await join(sub, [address])).toMatchObject({ kind: 'case' });
    expect(await db('link_cases').where({ subject_id: sub })).toHaveLength(1);
  });

  it('B17: a number that was quiet for long joins nothing by itself, staff decide', async () => {
    const number = phone();
    const [sub, other] = [await known(openid()), await known(number)];
    await db('identities')
      .where({ subject_id: other })
      .update({ last_used_at: db.raw(`now() - interval '91 days'`) });
    expect(await join(sub, [number])).toMatchObject({ kind: 'case' });
    expect((await currentSubject(db, other))?.sub).toBe(other);
  });

  it('is over when nobody else holds what was proven', async () => {
    const number = phone();
    const sub = await known(number);
    expect(await previewJoin(services, { sub, proof: proof(number) })).toBeUndefined();
    expect(await join(sub, [number])).toEqual({ kind: 'over' });
  });
});
