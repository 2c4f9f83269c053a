import { describe, expect, it } from 'vitest';
import { formTo } from '../login/visitor.ts';
import { openAccounts } from './site.ts';

const site = await openAccounts();
const { db, browser, open, signIn, at, newPerson, subjectOf } = site;

describe('D4: where somebody is signed in', () => {
  it('is listed, and one browser ends from another: its account page is shut at once', async () => {
    const { email } = newPerson();
    const [mine, theirs] = [browser(), browser()];
    await signIn(theirs, email);
    const home = await signIn(mine, email);
    expect(home.html.match(/>浏览器/g)).toHaveLength(2);
    const ended = await mine.follow(await mine.submit(formTo(home, '/end')));
    expect(ended.html).toContain('已退出');
    expect((await theirs.get(at('/account'))).location).toContain('/authorize?');
    expect((await open(theirs)).url).toContain('/login/');
    expect((await mine.get(at('/account'))).status).toBe(200);
  });

  it('everything else ends at once, applications and what they hold too', async () => {
    const { email } = newPerson();
    const [mine, one, two] = [browser(), browser(), browser()];
    for (const visitor of [one, two]) await signIn(visitor, email);
    const home = await signIn(mine, email);
    const ended = await mine.follow(await mine.submit(formTo(home, '/others/end')));
    expect(ended.html).toContain('已退出');
    for (const visitor of [one, two]) expect((await open(visitor)).url).toContain('/login/');
    const left = await db('oidc_artifacts').where({ model: 'Session', subject_id: await subjectOf(email) });
    expect(left).toHaveLength(1);
  });

  it('somebody else’s is not there to be ended', async () => {
    const victim = newPerson().email;
    await signIn(browser(), victim);
    const { uid } = await db('oidc_artifacts')
      .where({ model: 'Session', subject_id: await subjectOf(victim) })
      .first('uid');
    const visitor = browser();
    const home = await signIn(visitor, newPerson().email);
    const { csrf = '' } = formTo(home, '/account/sign-out').fields;
    expect((await visitor.post(at(`/account/browsers/${uid}/end`), { csrf })).status).toBe(404);
    expect((await visitor.post(at('/account/apps/nothing/end'), { csrf })).status).toBe(404);
  });

  it('another person’s sign-in in this browser shows their page, not the one before', async () => {
    const { email } = newPerson();
    await signIn(browser(), email);
    const visitor = browser();
    await signIn(visitor, newPerson().email);
    const before = visitor.cookies().find(({ name }) => name === 'heyi_account');
    await site.age(visitor, 301);
    const page = await open(visitor, '/account/add/sms');
    const login = await visitor.follow(await visitor.submit(formTo(page, '/account/prove')));
    const home = await site.prove(visitor, login, email);
    expect(home.url).toContain('note=other_person');
    expect(home.html).toContain('您刚才登录的是另一个账号');
    // Nor does the cookie of before open the page of before.
    if (!before) throw new Error('no session');
    visitor.setCookie(before);
    expect((await visitor.get(at('/account'))).location).toContain('/authorize?');
  });
});
