/** D14: merges on top of merges, parted in any order. Each of these was once wrong and was found by histories.test.ts. */
import { describe, expect, it } from 'vitest';
import { createSeal } from '../../src/seal.ts';
import { decideCase } from '../../src/subjects/cases.ts';
import { linkProof, unlinkIdentity } from '../../src/subjects/link.ts';
import { mergeSubjects } from '../../src/subjects/merge.ts';
import { type ResolveInput, resolveSubject } from '../../src/subjects/resolve.ts';
import { previewUndo, undoMerge } from '../../src/subjects/undo.ts';
import { testDatabase } from '../helpers/database.ts';
import { noJobs } from '../helpers/jobs.ts';
import { email, openid, phone, proof, unionid } from './people.ts';

const { db } = await testDatabase();
const seal = createSeal('a secret of at least thirty-two characters');
const services = { db, seal, jobs: noJobs };
const actor = { actor_kind: 'staff' as const, actor_id: 'somebody' };

async function person(proofs: ResolveInput['proofs'] = [proof(phone())], nickname?: string): Promise<string> {
  const [first, ...others] = proofs;
  const named: ResolveInput['proofs'] = [{ ...first, ...(nickname && { profile: { nickname } }) }, ...others];
  const { sub } = await resolveSubject(services, { proofs: named, create: true, context: { channel: 'website' } });
  return sub;
}

async function merge(survivor: string, absorbed: string, keep: string[] = []): Promise<string> {
  const input = { survivor, absorbed, keep, reason: 'one person', basis: 'staff' as const, actor };
  return (await mergeSubjects(services, input)).id;
}

const undo = (merge_id: string) => undoMerge(services, { merge_id, reason: 'two people', actor });
const phonesOf = async (sub: string) =>
  db('identities').where({ subject_id: sub, kind: 'phone' }).orderBy('created_at');
const idOfPhone = async (sub: string): Promise<string> => (await phonesOf(sub))[0].id;
const currentPhones = async (sub: string) =>
  (await phonesOf(sub)).filter(({ superseded_at }) => superseded_at === null).map(({ id }) => id);
const nicknameOf = async (sub: string) => (await db('subjects').where({ id: sub }).first()).nickname;

describe('which of several phones is current', () => {
  it('a phone that a later merge put second is current again where it goes back to', async () => {
    const [a, b, c] = [await person(), await person([proof(email())]), await person()];
    const phoneOfA = await idOfPhone(a);
    const first = await merge(b, a);
    await merge(c, b);
    expect(await currentPhones(c)).not.toContain(phoneOfA);
    await undo(first);
    expect(await currentPhones(a)).toEqual([phoneOfA]);
  });

  it('a phone that was put second before stays so beside the one that a later merge made current', async () => {
    const [a, b, c] = [await person(), await person(), await person()];
    const [phoneOfA, phoneOfB, phoneOfC] = [await idOfPhone(a), await idOfPhone(b), await idOfPhone(c)];
    const first = await merge(b, a, [phoneOfA]);
    const second = await merge(c, b, [phoneOfC]);
    await undo(first);
    expect(await currentPhones(c)).toEqual([phoneOfC]);
    expect(await currentPhones(a)).toEqual([phoneOfA]);
    await undo(second);
    expect(await currentPhones(b)).toEqual([phoneOfB]);
  });

  it('the survivor’s own is current again when the chosen one goes back with an earlier merge', async () => {
    const [a, b, c] = [await person(), await person([proof(email())]), await person()];
    const [phoneOfA, phoneOfC] = [await idOfPhone(a), await idOfPhone(c)];
    const first = await merge(b, a);
    await merge(c, b, [phoneOfA]);
    expect(await currentPhones(c)).toEqual([phoneOfA]);
    await undo(first);
    expect(await currentPhones(c)).toEqual([phoneOfC]);
  });

  it('the second one is current again when the person takes the current one away', async () => {
    const [a, b] = [await person(), await person()];
    const [phoneOfA, phoneOfB] = [await idOfPhone(a), await idOfPhone(b)];
    await merge(b, a);
    await unlinkIdentity(services, { sub: b, identity_id: phoneOfB, actor });
    expect(await currentPhones(b)).toEqual([phoneOfA]);
  });

  it('a change of number leaves the second one second', async () => {
    const [a, b] = [await person(), await person()];
    const phoneOfA = await idOfPhone(a);
    await merge(b, a);
    await linkProof(services, { sub: b, proof: proof(phone()), actor, replace: true });
    expect(await currentPhones(b)).toHaveLength(1);
    expect(await currentPhones(b)).not.toContain(phoneOfA);
  });

  it('two openids of one app that came with one unionid are both current again', async () => {
    const union = unionid();
    const a = await person([proof(openid(undefined, 'wxm'), union)]);
    expect(await person([proof(openid(undefined, 'wxm'), union)])).toBe(a);
    const b = await person([proof(openid(undefined, 'wxm'))]);
    const before = await db('identities').where({ subject_id: a }).orderBy('id');
    const id = await merge(b, a);
    await undo(id);
    expect(await db('identities').where({ subject_id: a }).orderBy('id')).toEqual(before);
  });
});

describe('a nickname that was taken over', () => {
  it('goes with the first merge also from those who took it over in turn', async () => {
    const a = await person([proof(openid())], '小合');
    const [b, c] = [await person(), await person()];
    const first = await merge(b, a);
    const second = await merge(c, b);
    expect(await nicknameOf(c)).toBe('小合');
    await undo(first);
    expect([await nicknameOf(b), await nicknameOf(c)]).toEqual([null, null]);
    await undo(second);
    expect([await nicknameOf(a), await nicknameOf(b), await nicknameOf(c)]).toEqual(['小合', null, null]);
  });

  it('is taken back from a survivor who has been absorbed by somebody with a name', async () => {
    const a = await person([proof(openid())], '小合');
    const b = await person();
    const c = await person([proof(openid())], '小一');
    const first = await merge(b, a);
    const second = await merge(c, b);
    await undo(first);
    await undo(second);
    expect([await nicknameOf(b), await nicknameOf(c)]).toEqual([null, '小一']);
  });
});

describe('what is said of an undo', () => {
  it('an identity that was taken away since is counted as gone', async () => {
    const a = await person([proof(openid()), proof(phone())]);
    const b = await person([proof(email())]);
    const id = await merge(b, a);
    await unlinkIdentity(services, { sub: b, identity_id: await idOfPhone(b), actor });
    expect(await previewUndo(services, id)).toMatchObject({ gone: 1, returned: [{ kind: 'wechat_openid' }] });
    expect(await undo(id)).toMatchObject({ gone: 1, returned: [{ kind: 'wechat_openid' }] });
    // D14: repeated, it answers the same.
    expect(await undo(id)).toMatchObject({ gone: 1, returned: [{ kind: 'wechat_openid' }] });
  });

  it('a decision that is sent once more after an undo does not merge the two again', async () => {
    const union = unionid();
    await person([proof(openid(undefined, 'wxB'), union), proof(phone())]);
    const id = openid();
    const sub = await person([proof(id), proof(phone())]);
    expect(await person([proof(id, union)])).toBe(sub);
    const { id: case_id } = await db('link_cases').where({ subject_id: sub }).first();
    const decision = { id: case_id, decision: 'merge' as const, reason: 'looked at', actor };
    const { merge: made } = await decideCase(services, decision);
    expect(await decideCase(services, decision)).toMatchObject({ merge: { id: made?.id } });
    await undo(made?.id ?? '');
    expect(await decideCase(services, decision)).toMatchObject({ case: { status: 'merged' }, merge: { id: made?.id } });
    expect(await db('merges').whereNull('undone_at').where({ id: made?.id })).toEqual([]);
    expect(await db('subject_aliases').where({ survivor_id: sub })).toEqual([]);
  });
});

it('what was linked after a merge stays with the survivor, also when the link had begun before and waited for it', async () => {
  const [survivor, absorbed] = [await person(), await person([proof(openid())])];
  const address = email();
  let id = '';
  await db.transaction(async (trx) => {
    // The moment at which this transaction began.
    await trx.raw('select now()');
    id = await merge(survivor, absorbed);
    await linkProof({ ...services, db: trx }, { sub: survivor, proof: proof(address), actor });
  });
  expect((await undo(id)).stays).toMatchObject([{ kind: 'email' }]);
});
