/** What never makes two people one, and a sub that never comes back. */
import { describe, expect, it } from 'vitest';
import type { Proof } from '../../src/connectors/contract.ts';
import { createSeal } from '../../src/seal.ts';
import { relatedSubjects } from '../../src/subjects/cases.ts';
import { mergeSubjects } from '../../src/subjects/merge.ts';
import { resolveSubject } from '../../src/subjects/resolve.ts';
import { currentSubject } from '../../src/subjects/subjects.ts';
import { undoMerge } from '../../src/subjects/undo.ts';
import { testDatabase } from '../helpers/database.ts';
import { noJobs } from '../helpers/jobs.ts';
import { openid, phone, proof } from './people.ts';

const { db } = await testDatabase();
const services = { db, seal: createSeal('a secret of at least thirty-two characters'), jobs: noJobs };
const actor = { actor_kind: 'staff' as const, actor_id: 'test' };

const signIn = (given: Proof, device?: string) =>
  resolveSubject(services, { proofs: [given], create: true, context: { channel: 'website' }, device });

describe('D2: WeChat and phone of one person, signed in with at the same moment without a shared proof', () => {
  it('are two subjects, whatever they are called; the common device is a suggestion for staff and no more', async () => {
    const profile = { nickname: '林小满' };
    const device = 'the one browser of this person';
    const [wechat, number] = await Promise.all([
      signIn({ ...proof(openid()), profile }, device),
      signIn({ ...proof(phone()), profile }, device),
    ]);
    expect(wechat.sub).not.toBe(number.sub);
    expect(await db('link_cases')).toEqual([]);
    expect(await relatedSubjects(db, wechat.sub)).toMatchObject([{ sub: number.sub, devices: 1 }]);
  });

  it('of strangers with the same name suggest nothing', async () => {
    const profile = { nickname: '王伟' };
    const one = await signIn({ ...proof(openid()), profile }, 'one browser of somebody');
    await signIn({ ...proof(openid()), profile }, 'another browser of somebody');
    expect(await relatedSubjects(db, one.sub)).toEqual([]);
  });
});

describe('D23: a person who was deleted', () => {
  it('begins as a new, empty subject: the old sub says that it is deleted and is never given again', async () => {
    const number = phone();
    const old = await signIn(proof(number));
    // What deletion leaves: the sub alone.
    await db('identities').where({ subject_id: old.sub }).delete();
    await db('subjects').where({ id: old.sub }).update({ status: 'deleted', nickname: null, picture: null });
    const fresh = await signIn(proof(number));
    expect(fresh).toMatchObject({ created: true });
    expect(fresh.sub).not.toBe(old.sub);
    expect(await currentSubject(db, old.sub)).toMatchObject({ sub: old.sub, status: 'deleted' });
  });

  it('takes what was merged into them along: deletion outranks the undo log', async () => {
    const [survivor, absorbed] = [await signIn(proof(phone())), await signIn(proof(openid()))];
    const pair = { survivor: survivor.sub, absorbed: absorbed.sub };
    const { id } = await mergeSubjects(services, { ...pair, reason: 'x', basis: 'staff', actor });
    await db('identities').where({ subject_id: survivor.sub }).delete();
    await db('subjects').where({ id: survivor.sub }).update({ status: 'deleted' });
    await expect(undoMerge(services, { merge_id: id, reason: 'x', actor })).rejects.toMatchObject({
      code: 'merge_refused',
    });
    expect(await currentSubject(db, absorbed.sub)).toMatchObject({ sub: survivor.sub, status: 'deleted' });
  });
});
