import { beforeEach, describe, expect, it } from 'vitest';
import { openSides } from './world.ts';

const sides = await openSides();
const { browser, phone, me, db, origin, other } = sides;

type Website = Awaited<ReturnType<typeof sides.signInBySms>>;
type Link = { url_link: string; pairing_code: string; ticket: string };
let website: Website;
beforeEach(async () => {
  website = await sides.signInBySms(browser());
});

async function makeLink(body: object = {}, token = website.token): Promise<Link> {
  const answer = await me(token, '/miniprogram-links', { body: { client_id: 'demo-miniprogram', ...body } });
  expect(answer.status).toBe(201);
  const { url_link, pairing_code } = answer.body as { url_link: string; pairing_code: string };
  return { url_link, pairing_code, ticket: (await queryOf(url_link)).heyi_link ?? '' };
}

/** What WeChat hands the mini-program that such a link opens. */
async function queryOf(url_link: string): Promise<Record<string, string>> {
  const { person_id } = await sides.sandbox('/people', { nickname: 'opens links' });
  const opened = await sides.sandbox(`/people/${person_id}/scan`, { url: url_link });
  return (opened as unknown as { query: Record<string, string> }).query;
}

const linkParameters = ({ ticket, pairing_code }: Link, code = pairing_code) => ({
  link_ticket: ticket,
  link_code: code,
});
const wrongFor = ({ pairing_code }: Link, step = 1) => String((Number(pairing_code) + step) % 10_000).padStart(4, '0');
const kindsOf = async (sub: string) =>
  (await db('identities').where({ subject_id: sub }).orderBy('kind')).map(({ kind }) => kind);

describe('from the website into the mini-program', () => {
  it('whoever types the digits that stand on the website is the same person there', async () => {
    const link = await makeLink({ path: 'pages/index/index', query: 'from=web' });
    expect(link.pairing_code).toMatch(/^\d{4}$/);
    expect(await queryOf(link.url_link)).toMatchObject({ from: 'web', heyi_link: link.ticket });
    const { sub, answer } = await (await phone()).launch(linkParameters(link));
    expect(sub).toBe(website.sub);
    expect(answer.link_status).toBe('linked');
    expect(await kindsOf(sub)).toEqual(['phone', 'wechat_openid', 'wechat_unionid']);
    expect(await db('audit_entries').where({ action: 'identity.linked', subject_id: sub })).not.toEqual([]);
  });

  it('two accounts that were one person’s become one, and both tokens speak for it from then on', async () => {
    const own = await phone();
    const before = await own.launch();
    expect(before.sub).not.toBe(website.sub);
    const { sub, answer } = await own.launch(linkParameters(await makeLink()));
    expect(answer.link_status).toBe('linked');
    // Who holds the number stays.
    expect(sub).toBe(website.sub);
    expect(await db('merges').where({ survivor_id: website.sub, absorbed_id: before.sub })).toMatchObject([
      { basis: 'person' },
    ]);
    expect((await own.launch()).sub).toBe(website.sub);
  });

  it('once more changes nothing', async () => {
    const own = await phone();
    await own.launch(linkParameters(await makeLink()));
    const { sub, answer } = await own.launch(linkParameters(await makeLink()));
    expect([sub, answer.link_status]).toEqual([website.sub, 'unchanged']);
  });

  it('what contradicts joins nothing: the sign-in goes on as who opened it, and staff are asked', async () => {
    const first = await phone();
    await first.launch(linkParameters(await makeLink()));
    const second = await phone();
    const { sub: known } = await second.launch();
    const { sub, answer } = await second.launch(linkParameters(await makeLink()));
    expect([sub, answer.link_status]).toEqual([known, 'conflict']);
    expect(await db('link_cases').where({ status: 'open', subject_id: website.sub })).toHaveLength(1);
    // Somebody WeChat has never shown us: an account of their own.
    const third = await (await phone()).launch(linkParameters(await makeLink()));
    expect(third.sub).not.toBe(website.sub);
    expect(third.answer.link_status).toBe('conflict');
  });

  it('with the phone number in the same step: one person, by whichever came first', async () => {
    const own = await phone({ number: website.number });
    const { code } = await sides.sandbox(`/people/${own.person_id}/phone-code`, { appid: 'wxsandbox0000000001' });
    const { sub, answer } = await own.launch({ ...linkParameters(await makeLink()), phone_code: String(code) });
    expect(sub).toBe(website.sub);
    expect(answer).toMatchObject({ link_status: 'linked', phone_status: 'unchanged' });
  });
});

describe('a forwarded link joins nothing', () => {
  it('a friend who opens it is who they are, with or without guessing', async () => {
    const link = await makeLink();
    const friend = await phone();
    const { sub: own, answer: without } = await friend.launch({ link_ticket: link.ticket });
    expect(without.link_status).toBeUndefined();
    const { sub, answer } = await friend.launch(linkParameters(link, wrongFor(link)));
    expect([sub, answer.link_status]).toEqual([own, 'failed']);
    expect(own).not.toBe(website.sub);
    expect(await kindsOf(website.sub)).toEqual(['phone']);
    // The visitor themselves still can.
    expect((await (await phone()).launch(linkParameters(link))).sub).toBe(website.sub);
  });

  it('is void after three wrong tries, also for the right digits', async () => {
    const link = await makeLink();
    const friend = await phone();
    for (const step of [1, 2, 3])
      expect((await friend.launch(linkParameters(link, wrongFor(link, step)))).answer.link_status).toBe('failed');
    const { sub, answer } = await friend.launch(linkParameters(link));
    expect(answer.link_status).toBe('failed');
    expect(sub).not.toBe(website.sub);
    expect(await db('tickets').where({ kind: 'launch-link' })).toEqual([]);
  });

  it('of twelve guesses at the same instant, over two processes, three are compared', async () => {
    // Without the count the right one, whichever comes first, would join every time.
    const joined = await Promise.all(Array.from({ length: 4 }, guessAtOnce));
    expect(joined.filter(Boolean).length).toBeLessThan(4);
    const tried = await db('rate_limits').where('key', 'like', 'launch_link_tries%').orderBy('points', 'desc').first();
    expect(Number(tried.points)).toBeGreaterThan(3);
  });

  async function guessAtOnce(): Promise<boolean> {
    const { token } = await sides.signInBySms(browser());
    const link = await makeLink({}, token);
    const guesses = [...Array.from({ length: 11 }, (_, i) => wrongFor(link, i + 1)), link.pairing_code];
    const { person_id } = await phone();
    const appid = 'wxsandbox0000000001';
    const codes = await Promise.all(guesses.map(() => sides.sandbox(`/people/${person_id}/login-code`, { appid })));
    const statuses = await Promise.all(
      guesses.map(async (link_code, i) => {
        const parameters = { subject_token: String(codes[i]?.code), link_ticket: link.ticket, link_code };
        return (await sides.exchange(`10.200.0.${i}`, parameters, i % 2 ? other : origin)).body.link_status;
      }),
    );
    return statuses.includes('linked');
  }

  it('is used once, ends after five minutes, and is for one mini-program', async () => {
    const used = await makeLink();
    await (await phone()).launch(linkParameters(used));
    const again = await (await phone()).launch(linkParameters(used));
    expect([again.sub === website.sub, again.answer.link_status]).toEqual([false, 'failed']);

    const late = await makeLink();
    await db('tickets').update({ expires_at: db.raw("now() - interval '1 second'") });
    expect((await (await phone()).launch(linkParameters(late))).answer.link_status).toBe('failed');

    const foreign = await makeLink();
    await db('tickets').update({ kind: 'handover' });
    expect((await (await phone()).launch(linkParameters(foreign))).answer.link_status).toBe('failed');
  });

  it('opens nothing of a person who was suspended meanwhile', async () => {
    const link = await makeLink();
    await db('subjects').where({ id: website.sub }).update({ status: 'suspended' });
    const { sub, answer } = await (await phone()).launch(linkParameters(link));
    expect([sub === website.sub, answer.link_status]).toEqual([false, 'failed']);
  });
});

describe('what can be asked about it', () => {
  const preview = (link_ticket: string, client_id = 'demo-miniprogram') =>
    me('', '/miniprogram-links/preview', { body: { client_id, link_ticket } });

  it('the mini-program learns the website’s name and nothing about the person, and spends nothing', async () => {
    const link = await makeLink();
    const { status, body } = await preview(link.ticket);
    expect([status, body]).toEqual([200, { client: '山屿官网', expires_in: expect.any(Number) }]);
    expect((await preview(link.ticket, 'stranger')).status).toBe(404);
    expect((await preview('A'.repeat(22))).status).toBe(404);
    expect((await (await phone()).launch(linkParameters(link))).sub).toBe(website.sub);
  });

  it('links are made by a person’s token of ours, for a mini-program of ours, and not without end', async () => {
    const at = '/miniprogram-links';
    expect((await me('', at, { body: { client_id: 'demo-miniprogram' } })).status).toBe(401);
    expect((await me(website.token, at, { body: { client_id: 'shop' } })).body).toMatchObject({
      error: { code: 'invalid_fields', fields: { client_id: expect.any(String) } },
    });
    const odd = { client_id: 'demo-miniprogram', path: '/pages/x?y', query: 'a=中' };
    expect((await me(website.token, at, { body: odd })).body).toMatchObject({
      error: { fields: { path: expect.any(String), query: expect.any(String) } },
    });
    for (let i = 0; i < 20; i++) await makeLink();
    expect((await me(website.token, at, { body: { client_id: 'demo-miniprogram' } })).status).toBe(429);
  });

  it('C14: WeChat away is 503, and the next try works', async () => {
    await sides.control('PUT', '/faults', { target: 'generate_urllink', errcode: 85407 });
    const answer = await me(website.token, '/miniprogram-links', { body: { client_id: 'demo-miniprogram' } });
    await sides.control('DELETE', '/faults');
    expect([answer.status, (answer.body.error as { code: string }).code]).toEqual([503, 'wechat_misconfigured']);
    await makeLink();
  });
});
