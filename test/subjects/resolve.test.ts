import { describe, expect, it } from 'vitest';
import { createDatabase } from '../../src/database.ts';
import { createSeal } from '../../src/seal.ts';
import { type ResolveInput, resolveSubject } from '../../src/subjects/resolve.ts';
import { claimsOf, currentSubject, findByIdentity, identitiesOf } from '../../src/subjects/subjects.ts';
import { testDatabase } from '../helpers/database.ts';
import { noJobs } from '../helpers/jobs.ts';
import { email, openid, phone, proof, unionid } from './people.ts';

const { db, url } = await testDatabase();
const seal = createSeal('a secret of at least thirty-two characters');
const services = { db, seal, jobs: noJobs };

function signIn(proofs: ResolveInput['proofs'], options: Partial<ResolveInput> = {}) {
  return resolveSubject(services, { proofs, create: true, context: { channel: 'website' }, ...options });
}
const openCases = (sub: string) => db('link_cases').where({ subject_id: sub, status: 'open' });
const kindsOf = async (sub: string) => (await identitiesOf(services, sub)).map(({ kind }) => kind).sort();

describe('one proof', () => {
  it('makes a subject at the first sign-in and finds it at the second', async () => {
    const number = phone();
    const first = await signIn([proof(number)]);
    const second = await signIn([proof(number)]);
    expect(first.created).toBe(true);
    expect(second).toEqual({ sub: first.sub, created: false, linked: [] });
  });

  it('issues a UUIDv7 as sub', async () => {
    const { sub } = await signIn([proof(phone())]);
    expect(sub).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  it('refuses an unknown person when nobody may be made, and makes nobody', async () => {
    const number = phone();
    await expect(signIn([proof(number)], { create: false })).rejects.toMatchObject({ code: 'unknown_person' });
    expect(await findByIdentity(services, number)).toBeUndefined();
  });

  it('C8: the same openid text in two apps is two people', async () => {
    const a = await signIn([proof(openid('same', 'wxA'))]);
    const b = await signIn([proof(openid('same', 'wxB'))]);
    expect(a.sub).not.toBe(b.sub);
  });

  it('C11: the same unionid text of two open-platform accounts is two people', async () => {
    const a = await signIn([proof(openid(), unionid('same', 'one'))]);
    const b = await signIn([proof(openid(), unionid('same', 'two'))]);
    expect(a.sub).not.toBe(b.sub);
  });

  it('keeps every openid: a second app of one open-platform account joins by the unionid', async () => {
    const union = unionid();
    const a = await signIn([proof(openid(undefined, 'wxA'), union)]);
    const b = await signIn([proof(openid(undefined, 'wxB'), union)]);
    expect(b.sub).toBe(a.sub);
    expect(await kindsOf(a.sub)).toEqual(['wechat_openid', 'wechat_openid', 'wechat_unionid']);
  });

  it('adds a unionid that comes late', async () => {
    const id = openid();
    const before = await signIn([proof(id)]);
    const after = await signIn([proof(id, unionid())]);
    expect(after).toMatchObject({ sub: before.sub, created: false, linked: ['wechat_unionid'] });
  });

  it('C9: a late unionid that is somebody else’s makes the two one person, and both subs resolve to the one that stays', async () => {
    const union = unionid();
    const website = await signIn([proof(openid(undefined, 'wxB'), union)]);
    const id = openid();
    const miniprogram = await signIn([proof(id)]);
    const joined = await signIn([proof(id, union)]);
    // Neither has a phone or an e-mail: the older one stays.
    expect(joined).toMatchObject({ sub: website.sub, created: false, merge_id: expect.any(String) });
    for (const sub of [website.sub, miniprogram.sub])
      expect(await currentSubject(db, sub)).toMatchObject({ sub: website.sub, status: 'active' });
    expect(await kindsOf(website.sub)).toEqual(['wechat_openid', 'wechat_openid', 'wechat_unionid']);
    expect(await openCases(website.sub)).toEqual([]);
  });

  it('C10: a late unionid of somebody with another phone opens one case, and the sign-in goes on', async () => {
    const union = unionid();
    const other = await signIn([proof(openid(undefined, 'wxB'), union), proof(phone())]);
    const id = openid();
    const own = await signIn([proof(id), proof(phone())]);
    for (const _ of [1, 2]) expect((await signIn([proof(id, union)])).sub).toBe(own.sub);
    const cases = await openCases(own.sub);
    expect(cases).toHaveLength(1);
    expect(cases[0]).toMatchObject({
      other_subject_id: other.sub,
      reason: 'late_unionid',
      times_seen: 2,
      evidence: { contradictions: [{ reason: 'differing_identity', kind: 'phone', issuer: '' }] },
    });
  });

  it('C11: a second unionid of one platform is not taken, and the openid still signs in', async () => {
    const id = openid();
    const first = unionid();
    const { sub } = await signIn([proof(id, first)]);
    const second = unionid();
    expect((await signIn([proof(id, second)])).sub).toBe(sub);
    expect(await findByIdentity(services, second)).toBeUndefined();
    expect(await findByIdentity(services, first)).toBe(sub);
  });

  it('refuses a suspended subject', async () => {
    const number = phone();
    const { sub } = await signIn([proof(number)]);
    await db('subjects').where({ id: sub }).update({ status: 'suspended' });
    await expect(signIn([proof(number)])).rejects.toMatchObject({ code: 'subject_suspended' });
  });

  it('C16: a nickname loses control and direction marks and is cut', async () => {
    const hostile = `\u202Eevil\u0000${'长'.repeat(100)}`;
    const { sub } = await signIn([
      { ...proof(openid()), profile: { nickname: hostile, picture: 'javascript:alert(1)' } },
    ]);
    const claims = await claimsOf(services, sub);
    expect(claims?.nickname).toBe(`evil${'长'.repeat(60)}`);
    expect(claims?.picture).toBeUndefined();
  });
});

describe('WeChat and phone proven in one go', () => {
  const rows: {
    title: string;
    known: ('wechat' | 'phone' | 'both')[];
    expected: 'wechat' | 'phone' | 'new';
    status: string;
    cases: number;
  }[] = [
    { title: 'nobody known: one new subject with both', known: [], expected: 'new', status: 'linked', cases: 0 },
    {
      title: 'phone known from the website: its subject gains WeChat',
      known: ['phone'],
      expected: 'phone',
      status: 'linked',
      cases: 0,
    },
    { title: 'WeChat known: it gains the phone', known: ['wechat'], expected: 'wechat', status: 'linked', cases: 0 },
    { title: 'both known as one: nothing to do', known: ['both'], expected: 'wechat', status: 'unchanged', cases: 0 },
    {
      title: 'both known as two and nothing contradicts: they merge into the one with the phone',
      known: ['wechat', 'phone'],
      expected: 'phone',
      status: 'linked',
      cases: 0,
    },
  ];
  it.each(rows)('$title', async ({ known, expected, status, cases }) => {
    const wechat = proof(openid(), unionid());
    const number = proof(phone());
    const subs: Record<string, string> = {};
    if (known.includes('wechat')) subs.wechat = (await signIn([wechat])).sub;
    if (known.includes('phone')) subs.phone = (await signIn([number])).sub;
    if (known.includes('both')) subs.wechat = (await signIn([wechat, number])).sub;
    const resolution = await signIn([wechat, number]);
    expect(resolution.phone_status).toBe(status);
    if (expected === 'new') expect(resolution.created).toBe(true);
    else expect(resolution.sub).toBe(subs[expected]);
    expect(await openCases(resolution.sub)).toHaveLength(cases);
    if (!cases) expect(await kindsOf(resolution.sub)).toEqual(['phone', 'wechat_openid', 'wechat_unionid']);
  });

  it('never gives a phone’s subject a second WeChat account: a new subject signs in, and a case is stored', async () => {
    const number = proof(phone());
    const husband = await signIn([proof(openid(), unionid()), number]);
    const wife = await signIn([proof(openid(), unionid()), number]);
    expect(wife).toMatchObject({ created: true, phone_status: 'conflict' });
    expect(wife.sub).not.toBe(husband.sub);
    expect(await openCases(wife.sub)).toMatchObject([{ other_subject_id: husband.sub, identity_kind: 'phone' }]);
    expect(await kindsOf(husband.sub)).toEqual(['phone', 'wechat_openid', 'wechat_unionid']);
  });

  it('never moves an identity: a second number leaves the first in place', async () => {
    const wechat = proof(openid());
    const first = phone();
    const { sub } = await signIn([wechat, proof(first)]);
    const second = phone();
    expect(await signIn([wechat, proof(second)])).toMatchObject({ sub, phone_status: 'conflict' });
    expect(await findByIdentity(services, first)).toBe(sub);
    expect(await findByIdentity(services, second)).toBeUndefined();
  });

  it('goes on when the phone belongs to a suspended subject', async () => {
    const number = proof(phone());
    const suspended = await signIn([number]);
    await db('subjects').where({ id: suspended.sub }).update({ status: 'suspended' });
    const wechat = proof(openid());
    const own = await signIn([wechat]);
    expect(await signIn([wechat, number])).toMatchObject({ sub: own.sub, phone_status: 'conflict' });
  });
});

describe('D1: fifty first logins of one person at the same instant', () => {
  const cases: [string, () => ResolveInput['proofs']][] = [
    ['by phone', () => [proof(phone())]],
    ['by e-mail', () => [proof(email())]],
    ['by WeChat with a phone', () => [proof(openid(), unionid()), proof(phone())]],
  ];
  it.each(cases)('make one subject and fifty successes over two pools, %s', async (_title, make) => {
    const second = createDatabase({ url });
    const proofs = make();
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        resolveSubject(
          { db: i % 2 ? db : second, seal, jobs: noJobs },
          { proofs, create: true, context: { channel: 'website' } },
        ),
      ),
    );
    await second.destroy();
    expect(new Set(results.map(({ sub }) => sub)).size).toBe(1);
    expect(results.filter(({ created }) => created)).toHaveLength(1);
  });

  it('neither lock each other out when two people prove overlapping identities in opposite order', async () => {
    const a = proof(openid());
    const b = proof(phone());
    const results = await Promise.all(
      Array.from({ length: 40 }, (_, i) => signIn(i % 2 ? [a, b] : [b, a]).then(({ sub }) => sub)),
    );
    expect(new Set(results).size).toBe(1);
  });
});

describe('at rest', () => {
  it('G3: phone and e-mail are found again but are nowhere in clear', async () => {
    const number = phone();
    const address = email();
    await signIn([proof(number)]);
    await signIn([proof(address)]);
    const tables = ['subjects', 'identities', 'audit_entries', 'link_cases'];
    for (const table of tables) {
      const dump = JSON.stringify(await db(table));
      expect(dump).not.toContain(number.external_id.slice(3));
      expect(dump).not.toContain(address.external_id);
    }
  });

  it('records who was made and what was linked', async () => {
    const { sub } = await signIn([proof(openid()), proof(phone())], {
      context: { channel: 'miniprogram', client_id: 'c', ip: '203.0.113.9' },
    });
    const actions = (await db('audit_entries').where({ subject_id: sub })).map(({ action }) => action).sort();
    expect(actions).toEqual(['identity.linked', 'identity.linked', 'subject.created']);
  });
});

describe('an absorbed subject', () => {
  it('answers with its survivor, by sub and by identity', async () => {
    const number = phone();
    const absorbed = await signIn([proof(number)]);
    const survivor = await signIn([proof(phone())]);
    const merge_id = crypto.randomUUID();
    await db('subject_aliases').insert({ absorbed_id: absorbed.sub, survivor_id: survivor.sub, merge_id });
    await db('subjects').where({ id: absorbed.sub }).update({ status: 'absorbed' });
    expect(await currentSubject(db, absorbed.sub)).toMatchObject({
      sub: survivor.sub,
      requested_sub: absorbed.sub,
      merge_id,
      status: 'active',
    });
    expect(await findByIdentity(services, number)).toBe(survivor.sub);
    expect((await signIn([proof(number)])).sub).toBe(survivor.sub);
  });

  it('of nothing known is undefined, also for text that is no sub', async () => {
    for (const sub of [crypto.randomUUID(), 'x', "'; drop table subjects", '\0'])
      expect(await currentSubject(db, sub)).toBeUndefined();
  });
});
