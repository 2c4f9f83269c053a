import { describe, expect, it } from 'vitest';
import { removeDue } from '../../src/account/removal.ts';
import { createLogger } from '../../src/log.ts';
import { noJobs } from '../helpers/jobs.ts';
import { type Answer, formTo, type Visitor } from '../login/visitor.ts';
import { openid, unionid } from '../subjects/people.ts';
import { openAccounts, told } from './site.ts';

const site = await openAccounts();
const { db, seal, browser, open, signIn, change, subjectOf, known, identityOf, at, newPerson } = site;
const worker = { db, seal, log: createLogger({ level: 'silent' }), jobs: noJobs };

/** Signed in by e-mail, with a phone and a WeChat of two apps besides. */
async function somebody() {
  const { email, phone } = newPerson();
  const sub = await known(openid(), unionid(), openid(undefined, 'wx2'), identityOf(email));
  const visitor = browser();
  await signIn(visitor, email);
  await change(visitor, phone);
  return { email, phone, sub, visitor };
}
const kindsOf = async (sub: string): Promise<string[]> =>
  (await db('identities').where({ subject_id: sub }).select('kind').orderBy('kind')).map(({ kind }) => kind);
const idOf = async (sub: string, kind: string): Promise<string> =>
  (await db('identities').where({ subject_id: sub, kind }).first('id')).id;
const daysPass = (sub: string) =>
  db('pending_removals')
    .where({ subject_id: sub })
    .update({
      asked_at: db.raw(`asked_at - interval '73 hours'`),
      due_at: db.raw(`due_at - interval '73 hours'`),
    });
/** Whatever is named as a way of signing in was last used before that. */
const unused = (sub: string, kind: string) =>
  db('identities')
    .where({ subject_id: sub })
    .andWhere('kind', 'like', `${kind}%`)
    .update({ last_used_at: db.raw(`now() - interval '80 hours'`) });

async function remove(visitor: Visitor, key: string): Promise<Answer> {
  const page = await open(visitor, `/account/remove/${key}`);
  return visitor.follow(await visitor.submit(formTo(page, `/remove/${key}`)));
}

describe('D10: the last way in', () => {
  it('cannot be removed: the page says why, and a post that goes on regardless is refused', async () => {
    const { email } = newPerson();
    const visitor = browser();
    const home = await signIn(visitor, email);
    const id = await idOf((await subjectOf(email)) ?? '', 'email');
    const page = await open(visitor, `/account/remove/${id}`);
    expect(page.html).toContain('这是最后一种登录方式');
    expect(page.forms).toEqual([]);
    const { csrf = '' } = formTo(home, '/account/sign-out').fields;
    const forced = await visitor.post(at(`/account/remove/${id}`), { csrf });
    expect(forced.status).toBe(409);
    expect(await subjectOf(email)).toBeDefined();
  });

  it('is also the one whose only other is to go already', async () => {
    const { sub, visitor } = await somebody();
    expect((await remove(visitor, 'wechat')).html).toContain('已申请移除');
    expect((await remove(visitor, await idOf(sub, 'phone'))).html).toContain('已申请移除');
    const page = await open(visitor, `/account/remove/${await idOf(sub, 'email')}`);
    expect(page.html).toContain('这是最后一种登录方式');
  });
});

describe('removing', () => {
  it('what was just used to sign in goes at once, and its address is told', async () => {
    const { email, sub, visitor } = await somebody();
    const page = await open(visitor, `/account/remove/${await idOf(sub, 'email')}`);
    expect(page.html).not.toContain('天后才会移除');
    expect((await remove(visitor, await idOf(sub, 'email'))).html).toContain('已移除');
    expect(await subjectOf(email)).toBeUndefined();
    await expect.poll(() => site.textsFor(email), told).toContain('移除了登录方式');
  });

  it('B20: a stolen phone number alone cannot shut the WeChat out: three days, told at once, kept by using it', async () => {
    const { email, phone, sub } = await somebody();
    const thief = browser();
    await signIn(thief, phone);
    const page = await open(thief, '/account/remove/wechat');
    expect(page.html).toContain('3 天后才会移除');
    expect((await remove(thief, 'wechat')).html).toContain('已申请移除');
    expect((await kindsOf(sub)).filter((kind) => kind.startsWith('wechat'))).toHaveLength(3);
    await expect.poll(() => site.textsFor(email), told).toContain('申请移除您的一种登录方式');

    await daysPass(sub);
    await removeDue(worker);
    expect((await kindsOf(sub)).filter((kind) => kind.startsWith('wechat'))).toHaveLength(3);
    expect(await db('pending_removals').where({ subject_id: sub })).toEqual([]);
  });

  it('what nobody uses in three days goes then, all of a WeChat', async () => {
    const { sub, visitor } = await somebody();
    await unused(sub, 'wechat');
    await remove(visitor, 'wechat');
    await removeDue(worker);
    expect(await kindsOf(sub)).toContain('wechat_unionid');
    await daysPass(sub);
    await removeDue(worker);
    expect(await kindsOf(sub)).toEqual(['email', 'phone']);
  });

  it('is taken back by the person', async () => {
    const { sub, visitor } = await somebody();
    await unused(sub, 'wechat');
    const home = await remove(visitor, 'wechat');
    expect(home.html).toContain('在此之前用它登录一次即可保留');
    const kept = await visitor.follow(await visitor.submit(formTo(home, '/keep/wechat')));
    expect(kept.html).toContain('已保留');
    await daysPass(sub);
    await removeDue(worker);
    expect(await kindsOf(sub)).toContain('wechat_unionid');
  });

  it('D6: is void once the account has been joined into another', async () => {
    const { sub, visitor, phone } = await somebody();
    const { email } = newPerson();
    await unused(sub, 'wechat');
    await remove(visitor, 'wechat');
    const other = await known(identityOf(email));
    const { mergeSubjects } = await import('../../src/subjects/merge.ts');
    await mergeSubjects(
      { db, seal, jobs: noJobs },
      { survivor: other, absorbed: sub, reason: 'test', basis: 'staff', actor: { actor_kind: 'staff' } },
    );
    await daysPass(sub);
    await removeDue(worker);
    expect(await kindsOf(other)).toContain('wechat_unionid');
    expect(await subjectOf(phone)).toBe(other);
  });

  it('is nobody’s business but the person’s: another’s identity is not there', async () => {
    const { sub } = await somebody();
    const visitor = browser();
    await signIn(visitor, newPerson().email);
    expect((await open(visitor, `/account/remove/${await idOf(sub, 'phone')}`)).status).toBe(404);
  });
});
