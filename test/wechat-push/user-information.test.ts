/** What people take back in WeChat: exactly that goes, and the record says so (PIPL). */
import { beforeEach, describe, expect, it } from 'vitest';
import type { Identity, Proof } from '../../src/connectors/contract.ts';
import { isOwnPhone, rememberGivenPhone } from '../../src/connectors/wechat/given-phones.ts';
import { mergeSubjects } from '../../src/subjects/merge.ts';
import { completeProfile } from '../../src/subjects/profile.ts';
import { resolveSubject } from '../../src/subjects/resolve.ts';
import { claimsOf, findByIdentity, identitiesOf } from '../../src/subjects/subjects.ts';
import { undoMerge } from '../../src/subjects/undo.ts';
import { testDatabase } from '../helpers/database.ts';
import { noJobs } from '../helpers/jobs.ts';
import { email, openid as openidOf, phone as phoneOf, proof, unionid as unionidOf } from '../subjects/people.ts';
import { mini, nextId, other, platform, pushWorld, send, signed, userInformation } from './world.ts';

const { db, url } = await testDatabase();
const world = await pushWorld({ db, url });
const { seal } = world.services;
const services = { db, seal, jobs: noJobs };
const profile = { nickname: '小明', picture: 'https://thirdwx.qlogo.cn/mmopen/a/132' };
const context = { channel: 'miniprogram' };
const staff = { actor_kind: 'staff', actor_id: 'somebody' } as const;

async function person(...identities: Identity[]): Promise<string> {
  const first: Proof = { ...proof(...identities), profile };
  return (await resolveSubject(services, { proofs: [first], create: true, context })).sub;
}
const push = (openid: string, event: string, more: Record<string, string> = {}) =>
  send(world.base, mini, signed(mini, userInformation(openid, event, more)));
const kindsOf = async (sub: string) => (await identitiesOf(services, sub)).map(({ kind }) => kind).sort();
const audited = async (sub: string) =>
  (await db('audit_entries').where({ subject_id: sub }).orderBy('id')).map(({ action }) => action);

beforeEach(() => {
  world.notices.length = 0;
});

describe('user_authorization_revoke', () => {
  /** WeChat gives the number before the sign-in links it. */
  async function givenByWechat(): Promise<{ sub: string; openid: string; phone: Identity }> {
    const openid = nextId();
    const phone = phoneOf();
    await rememberGivenPhone(services, { appid: mini.appid, openid, phone: phone.external_id });
    return { sub: await person(openidOf(openid, mini.appid), phone), openid, phone };
  }

  it('8: the phone number that came from WeChat goes, the sign-in stays, the person is told', async () => {
    const { sub, openid, phone } = await givenByWechat();
    expect((await push(openid, 'user_authorization_revoke', { RevokeInfo: '8' })).text).toBe('success');
    expect(await kindsOf(sub)).toEqual(['wechat_openid']);
    expect(await findByIdentity(services, phone)).toBeUndefined();
    expect((await claimsOf(services, sub))?.nickname).toBe('小明');
    expect(await audited(sub)).toEqual(expect.arrayContaining(['wechat.authorisation_revoked', 'identity.unlinked']));
    expect(world.notices).toMatchObject([
      { name: 'subject.notify', data: { what: 'identity_unlinked', kind: 'phone' } },
    ]);
  });

  it('8: a number that the person also proved by a code of ours stays theirs', async () => {
    const { sub, openid, phone } = await givenByWechat();
    await isOwnPhone(services, phone.external_id);
    await push(openid, 'user_authorization_revoke', { RevokeInfo: '8' });
    expect(await kindsOf(sub)).toEqual(['phone', 'wechat_openid']);
  });

  it('8: a number that was there before WeChat gave it stays', async () => {
    const openid = nextId();
    const phone = phoneOf();
    const sub = await person(openidOf(openid, mini.appid), phone);
    await rememberGivenPhone(services, { appid: mini.appid, openid, phone: phone.external_id });
    await push(openid, 'user_authorization_revoke', { RevokeInfo: '8' });
    expect(await kindsOf(sub)).toEqual(['phone', 'wechat_openid']);
  });

  it.each(['6', '205', '301', '19', '20'])('%s: name and picture go, and nothing else', async (RevokeInfo) => {
    const openid = nextId();
    const sub = await person(openidOf(openid, mini.appid), phoneOf());
    await push(openid, 'user_authorization_revoke', { RevokeInfo });
    const claims = await claimsOf(services, sub);
    expect(claims).toBeDefined();
    expect(claims).not.toHaveProperty('nickname');
    expect(claims).not.toHaveProperty('picture');
    expect(await kindsOf(sub)).toEqual(['phone', 'wechat_openid']);
    expect(await audited(sub)).toContain('subject.profile_forgotten');
  });

  it('16 and what is never asked of WeChat: recorded, and nothing else is touched', async () => {
    const openid = nextId();
    const sub = await person(openidOf(openid, mini.appid), email());
    await push(openid, 'user_authorization_revoke', { RevokeInfo: '16' });
    expect(await kindsOf(sub)).toEqual(['email', 'wechat_openid']);
    expect((await claimsOf(services, sub))?.nickname).toBe('小明');
    expect(await audited(sub)).not.toContain('subject.needs_attention');
  });

  it('a number nobody knows the meaning of: the profile is used no longer, and staff is told', async () => {
    const openid = nextId();
    const sub = await person(openidOf(openid, mini.appid));
    await push(openid, 'user_authorization_revoke', { RevokeInfo: '777' });
    expect(await claimsOf(services, sub)).not.toHaveProperty('nickname');
    const [entry] = await db('audit_entries').where({ subject_id: sub, action: 'subject.needs_attention' });
    expect(entry?.details).toMatchObject({ reason: 'unknown_revoke_info', revoke_info: '777' });
  });

  it('what was forgotten does not come back with the undo of a merge', async () => {
    const openid = nextId();
    const absorbed = await person(openidOf(openid, mini.appid));
    const survivor = await resolveSubject(services, { proofs: [proof(phoneOf())], create: true, context });
    const input = { survivor: survivor.sub, absorbed, reason: 'one person', basis: 'staff', actor: staff } as const;
    const { id } = await mergeSubjects(services, input);
    expect((await claimsOf(services, survivor.sub))?.nickname).toBe('小明');
    await push(openid, 'user_authorization_revoke', { RevokeInfo: '6' });
    await undoMerge(services, { merge_id: id, reason: 'a mistake', actor: staff });
    expect(await claimsOf(services, absorbed)).not.toHaveProperty('nickname');
    expect(await claimsOf(services, survivor.sub)).not.toHaveProperty('nickname');
    expect(JSON.stringify(await db('merges').where({ id }))).not.toContain('小明');
  });
});

describe('user_info_modified', () => {
  it('forgets name and picture, and the next sign-in brings the new ones', async () => {
    const openid = nextId();
    const sub = await person(openidOf(openid, mini.appid));
    await push(openid, 'user_info_modified');
    expect(await claimsOf(services, sub)).not.toHaveProperty('nickname');
    await completeProfile(db, sub, { nickname: '明明' });
    expect((await claimsOf(services, sub))?.nickname).toBe('明明');
    // What is there stays: a person may have written it themselves.
    await completeProfile(db, sub, profile);
    expect(await claimsOf(services, sub)).toMatchObject({ nickname: '明明', picture: profile.picture });
  });

  it('without an openid, as some report it, is noted and does nothing', async () => {
    const { OpenID: _, ...message } = userInformation(nextId(), 'user_info_modified');
    expect((await send(world.base, mini, signed(mini, message))).text).toBe('success');
    expect(world.logged()).toContain('push without an openid');
  });
});

describe('user_authorization_cancellation', () => {
  it('takes every identity of the closed WeChat account; the phone still signs in', async () => {
    const [openid, otherOpenid, unionid] = [nextId(), nextId(), nextId()];
    const phone = phoneOf();
    const sub = await person(
      openidOf(openid, mini.appid),
      unionidOf(unionid, platform),
      openidOf(otherOpenid, other.appid),
      phone,
    );
    await push(openid, 'user_authorization_cancellation', { UnionID: unionid });
    expect(await kindsOf(sub)).toEqual(['phone']);
    expect(await claimsOf(services, sub)).not.toHaveProperty('nickname');
    expect(await audited(sub)).toContain('wechat.account_closed');
    expect(await audited(sub)).not.toContain('subject.needs_attention');
    const again = await resolveSubject(services, { proofs: [proof(phone)], create: false, context });
    expect(again.sub).toBe(sub);
  });

  it('of somebody without another way in: it goes all the same, the subject stays, and staff is told', async () => {
    const openid = nextId();
    const sub = await person(openidOf(openid, mini.appid));
    expect((await push(openid, 'user_authorization_cancellation')).status).toBe(200);
    expect(await kindsOf(sub)).toEqual([]);
    const [entry] = await db('audit_entries').where({ subject_id: sub, action: 'subject.needs_attention' });
    expect(entry?.details).toMatchObject({ reason: 'no_way_in_left' });
    expect((await claimsOf(services, sub))?.sub).toBe(sub);
    // The openid is nobody's: who should come with it is somebody new.
    expect(await person(openidOf(openid, mini.appid))).not.toBe(sub);
  });

  it("one of two WeChat accounts of a person: the other one's openids stay", async () => {
    const [mine, second, unionid] = [nextId(), nextId(), nextId()];
    const survivor = await person(openidOf(mine, mini.appid), unionidOf(unionid, platform));
    const absorbed = await person(openidOf(second, mini.appid), openidOf(nextId(), other.appid));
    await mergeSubjects(services, { survivor, absorbed, reason: 'one person', basis: 'staff', actor: staff });
    await push(mine, 'user_authorization_cancellation', { UnionID: unionid });
    expect(await kindsOf(survivor)).toEqual(['wechat_openid', 'wechat_openid']);
    expect(await findByIdentity(services, openidOf(second, mini.appid))).toBe(survivor);
  });

  it('is found by the unionid when the person never came through this app', async () => {
    const unionid = nextId();
    const sub = await person(openidOf(nextId(), other.appid), unionidOf(unionid, platform), phoneOf());
    await push(nextId(), 'user_authorization_cancellation', { UnionID: unionid });
    expect(await kindsOf(sub)).toEqual(['phone']);
  });

  it('C11: a unionid of another open-platform account is somebody else', async () => {
    const unionid = nextId();
    const sub = await person(unionidOf(unionid, 'elsewhere'));
    await push(nextId(), 'user_authorization_cancellation', { UnionID: unionid });
    expect(await kindsOf(sub)).toEqual(['wechat_unionid']);
  });

  it('of two people in the same second: both are done', async () => {
    const [one, two] = [nextId(), nextId()];
    const subs = await Promise.all([one, two].map((openid) => person(openidOf(openid, mini.appid), phoneOf())));
    const CreateTime = '1700000000';
    await Promise.all([one, two].map((openid) => push(openid, 'user_authorization_cancellation', { CreateTime })));
    for (const sub of subs) expect(await kindsOf(sub)).toEqual(['phone']);
  });
});
