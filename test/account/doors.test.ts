import { describe, expect, it } from 'vitest';
import { type Answer, formTo, type Visitor } from '../login/visitor.ts';
import { openAccounts } from './site.ts';

const site = await openAccounts();
const { config, db, browser, open, signIn, subjectOf, newPerson, change } = site;

async function wechatPerson(nickname: string): Promise<string> {
  const answer = await fetch(`${config.sandboxUrl}/people`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ nickname }),
  });
  return ((await answer.json()) as { person_id: string }).person_id;
}
/** The person agrees on WeChat's page; where WeChat then sends the browser. */
async function agree(person: string, url: string): Promise<string> {
  const answer = await fetch(`${config.sandboxUrl}/people/${person}/confirm`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ url }),
  });
  return ((await answer.json()) as { redirect: string }).redirect;
}
/** From the account page to WeChat's. */
async function leave(visitor: Visitor): Promise<string> {
  const page = await open(visitor, '/account/doors/wechat-web%3Awxsandbox0000000002');
  const away = await visitor.submit(formTo(page, '/doors/wechat-web%3Awxsandbox0000000002'));
  return away.location ?? '';
}
const arrive = async (visitor: Visitor, url: string): Promise<Answer> => visitor.follow(await visitor.get(url));
const kindsOf = async (email: string): Promise<string[]> =>
  (
    await db('identities')
      .where({ subject_id: await subjectOf(email) })
      .orderBy('kind')
  ).map(({ kind }) => kind);

describe('adding WeChat', () => {
  it('by its own page: openid and unionid are the account’s, and it is offered no second time', async () => {
    const { email } = newPerson();
    const visitor = browser();
    const before = await signIn(visitor, email);
    expect(before.html).toContain('添加微信');
    const person = await wechatPerson('周可');
    const home = await arrive(visitor, await agree(person, await leave(visitor)));
    expect(home.html).toContain('已添加');
    expect(home.html).not.toContain('添加微信');
    expect(await kindsOf(email)).toEqual(['email', 'wechat_openid', 'wechat_unionid']);
  });

  it('that is another account’s leads to the page that says so, and to joining', async () => {
    const person = await wechatPerson('吴越');
    const theirs = newPerson().email;
    const first = browser();
    await signIn(first, theirs);
    await arrive(first, await agree(person, await leave(first)));

    const { phone } = newPerson();
    const visitor = browser();
    await signIn(visitor, phone);
    const page = await arrive(visitor, await agree(person, await leave(visitor)));
    expect(page.status).toBe(409);
    expect(page.html).toContain('这个微信已经是另一个账号的登录方式');
    expect(page.html).not.toContain('吴越');
    expect(await subjectOf(phone)).not.toBe(await subjectOf(theirs));
    const preview = await open(visitor, '/account/join');
    await visitor.submit(formTo(preview, '/account/join'));
    expect(await subjectOf(phone)).toBe(await subjectOf(theirs));
  });

  it('D8, C12: a return that an attacker prepared links nothing to whoever opens it', async () => {
    const attacker = browser();
    await signIn(attacker, newPerson().email);
    const prepared = await agree(await wechatPerson('坏人'), await leave(attacker));
    const { email } = newPerson();
    const victim = browser();
    await signIn(victim, email);
    const answer = await arrive(victim, prepared);
    expect(answer.url).toContain('note=start_over');
    expect(await kindsOf(email)).toEqual(['email']);
  });

  it('is not done without a fresh sign-in, nor twice with one return', async () => {
    const { email } = newPerson();
    const visitor = browser();
    await signIn(visitor, email);
    const person = await wechatPerson('郑好');
    const back = await agree(person, await leave(visitor));
    await arrive(visitor, back);
    expect((await arrive(visitor, back)).url).toContain('note=start_over');
    await site.age(visitor, 301);
    expect((await open(visitor, '/account/doors/wechat-web%3Awxsandbox0000000002')).html).toContain('请先确认');
  });
});

it('B20: whoever signed in by WeChat removes it at once, and a phone only after three days', async () => {
  const { email, phone } = newPerson();
  const visitor = browser();
  await signIn(visitor, email);
  await change(visitor, phone);
  const person = await wechatPerson('孙一');
  await arrive(visitor, await agree(person, await leave(visitor)));
  const page = await open(visitor, '/account/remove/wechat');
  expect(page.html).toContain('3 天后才会移除');
  const login = await visitor.follow(await visitor.submit(formTo(page, '/account/prove')));
  const away = await visitor.submit(formTo(login, '/wechat-web'));
  const again = await arrive(visitor, await agree(person, away.location ?? ''));
  expect(new URL(again.url).pathname).toBe('/account/remove/wechat');
  expect(again.html).not.toContain('3 天后才会移除');
  const { id } = await db('identities')
    .where({ subject_id: await subjectOf(email), kind: 'phone' })
    .first('id');
  expect((await open(visitor, `/account/remove/${id}`)).html).toContain('3 天后才会移除');
  const done = await visitor.follow(await visitor.submit(formTo(again, '/remove/wechat')));
  expect(done.html).toContain('已移除');
  expect(await kindsOf(email)).toEqual(['email', 'phone']);
});
