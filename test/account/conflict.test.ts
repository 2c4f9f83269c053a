import { describe, expect, it } from 'vitest';
import { formTo, type Visitor } from '../login/visitor.ts';
import { openid } from '../subjects/people.ts';
import { openAccounts, told } from './site.ts';

const site = await openAccounts();
const { db, browser, open, signIn, change, subjectOf, known, identityOf, at, newPerson } = site;

/** Signed in by e-mail; the number they try to add is somebody else's. */
async function taken(...others: Parameters<typeof known>) {
  const { email, phone } = newPerson();
  const other = await known(...others, identityOf(phone));
  const visitor = browser();
  await signIn(visitor, email);
  const page = await change(visitor, phone);
  return { email, phone, other, visitor, page, sub: (await subjectOf(email)) ?? '' };
}
const join = async (visitor: Visitor) => {
  const preview = await open(visitor, '/account/join');
  return { preview, done: await visitor.submit(formTo(preview, '/account/join')) };
};

describe('D9: an identity that is another account’s', () => {
  it('is a page with the masked identity and nothing about that account; nothing moves', async () => {
    const { email: theirs } = newPerson();
    const { page, phone, other, sub } = await taken(openid(), identityOf(theirs));
    await db('subjects').where({ id: other }).update({ nickname: '李四的昵称' });
    expect(page.status).toBe(409);
    expect(page.html).toContain('已经是另一个账号的登录方式');
    expect(page.html).toMatch(/139\*{4}\d{4}/);
    for (const secret of [phone.slice(3), other, '李四', theirs, '微信']) expect(page.html).not.toContain(secret);
    expect(await subjectOf(phone)).toBe(other);
    expect(sub).not.toBe(other);
  });

  it('is not found out without the code of it', async () => {
    const { email, phone } = newPerson();
    await known(identityOf(phone));
    const visitor = browser();
    await signIn(visitor, email);
    const waiting = await site.askFor(visitor, phone);
    expect(waiting.status).toBe(200);
    const wrong = await visitor.submit(formTo(waiting, '/verify'), { code: '000000' });
    expect(wrong.html).not.toContain('另一个账号');
    expect((await open(visitor, '/account/join')).url).toContain('note=start_over');
  });
});

describe('B18: a number that changed hands', () => {
  const quiet = (sub: string) =>
    db('identities')
      .where({ subject_id: sub, kind: 'phone' })
      .update({ last_used_at: db.raw(`now() - interval '91 days'`) });

  it('"that was never me": it is theirs, the old account keeps the rest and is told, and nothing of it is shown', async () => {
    const { email: former, phone } = newPerson();
    const other = await known(openid(), identityOf(former), identityOf(phone));
    await quiet(other);
    const { email } = newPerson();
    const visitor = browser();
    await signIn(visitor, email);
    const page = await change(visitor, phone);
    expect(page.status).toBe(409);
    expect(page.html).toContain('那个账号不是我的');
    expect(page.html).not.toContain(former);
    const done = await visitor.follow(await visitor.submit(formTo(page, '/take-number')));
    expect(done.html).toContain('已添加');
    expect(await subjectOf(phone)).toBe(await subjectOf(email));
    expect(await subjectOf(former)).toBe(other);
    await expect.poll(() => site.textsFor(former), told).toContain('一个手机号已从您的账号移除');
  });

  it('B18: who asks to join with it is told that staff will look, and sees nothing of the old account', async () => {
    const { email: former, phone } = newPerson();
    const other = await known(openid(), identityOf(former), identityOf(phone));
    await quiet(other);
    await db('subjects').where({ id: other }).update({ nickname: '李四的昵称' });
    const { email } = newPerson();
    const visitor = browser();
    await signIn(visitor, email);
    await change(visitor, phone);
    const { preview, done } = await join(visitor);
    expect(preview.html).toContain('当前账号');
    for (const secret of ['李四', '微信', '另一个账号']) expect(preview.html).not.toContain(secret);
    expect(done.html).toContain('已提交给工作人员');
    expect(await db('link_cases').where({ other_subject_id: other })).toHaveLength(1);
  });

  it('is not offered for one that is in use, and a post that says so all the same changes nothing', async () => {
    const { page, phone, other, visitor } = await taken();
    expect(page.html).not.toContain('那个账号不是我的');
    const home = await open(visitor);
    const { csrf = '' } = formTo(home, '/account/sign-out').fields;
    expect((await visitor.post(at('/account/take-number'), { csrf })).location).toContain('note=start_over');
    expect(await subjectOf(phone)).toBe(other);
  });
});

describe('"both accounts are mine"', () => {
  it('shows both sides, and joins them only when the person says so; then they sign in again', async () => {
    const { email, phone, other, sub, visitor } = await taken(openid());
    const preview = await open(visitor, '/account/join');
    expect(preview.html).toContain('合并您的两个账号');
    expect(preview.html).toContain('微信');
    expect(preview.html).not.toContain(phone.slice(3));
    expect(await site.standing(other)).toBe(other);

    const done = await visitor.submit(formTo(preview, '/account/join'));
    const [merge] = await db('merges').where({ basis: 'person' }).whereIn('absorbed_id', [sub, other]);
    expect(merge).toMatchObject({ actor_kind: 'person', actor_id: sub });
    expect(await subjectOf(phone)).toBe(await subjectOf(email));
    // The older one stays: theirs.
    expect(merge.survivor_id).toBe(other);
    expect(done.html).toContain('两个账号已经合并');
    const again = await open(visitor);
    expect(again.url).toContain('/login/');
    const home = await site.prove(visitor, again, email);
    expect(home.html).toContain('合并过的账号');
    expect(home.html).toContain('手机号');
    await expect.poll(() => site.textsFor(email), told).toContain('账号已经合并');
  });

  it('D16: pressed twice, it is one merge', async () => {
    const { sub, other, visitor } = await taken();
    const preview = await open(visitor, '/account/join');
    const form = formTo(preview, '/account/join');
    const answers = await Promise.all([visitor.submit(form), visitor.submit(form)]);
    expect(answers.map(({ status }) => status).every((status) => status < 400)).toBe(true);
    expect(await db('merges').whereIn('absorbed_id', [sub, other])).toHaveLength(1);
  });

  it('where something contradicts it is staff who decide, and the page says so', async () => {
    const { email: theirs } = newPerson();
    const { sub, other, visitor } = await taken(identityOf(theirs));
    const { preview, done } = await join(visitor);
    expect(preview.html).toContain('不能自动合并');
    expect(done.html).toContain('已提交给工作人员');
    expect([await site.standing(sub), await site.standing(other)]).toEqual([sub, other]);
    expect(await db('link_cases').where({ subject_id: sub, other_subject_id: other })).toHaveLength(1);
  });

  it('D8, D6: what one session proved joins nothing in another, nor after something changed', async () => {
    const { visitor, sub } = await taken();
    const step = visitor.cookies().find(({ name }) => name === 'heyi_account_step');
    const victim = browser();
    const home = await signIn(victim, newPerson().email);
    if (!step) throw new Error('no step');
    victim.setCookie(step);
    const { csrf = '' } = formTo(home, '/account/sign-out').fields;
    expect((await victim.post(at('/account/join'), { csrf })).location).toContain('note=start_over');

    const preview = await open(visitor, '/account/join');
    const [identity] = await db('identities').where({ subject_id: sub });
    await db('identities').insert({ ...identity, id: db.raw('uuid_v7()'), kind: 'member_no', lookup: `m${sub}` });
    const answer = await visitor.submit(formTo(preview, '/account/join'));
    expect(answer.location).toContain('note=start_over');
    expect(await db('merges').where({ absorbed_id: sub })).toEqual([]);
  });

  it('E1: a nickname is text, on the page that shows both sides', async () => {
    const { other, visitor } = await taken();
    const nickname = '<script>alert(1)</script><img src=x onerror=alert(1)>';
    await db('subjects').where({ id: other }).update({ nickname });
    const preview = await open(visitor, '/account/join');
    expect(preview.html).toContain('&lt;script&gt;alert(1)');
    expect(preview.html).not.toContain('<script>alert');
    expect(preview.html).not.toContain('<img');
  });
});
