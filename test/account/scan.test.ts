import { beforeEach, describe, expect, it } from 'vitest';
import { readQrPicture } from '../helpers/qr-picture.ts';
import { type Answer, formTo, type Visitor } from '../login/visitor.ts';
import { openSides, type Phone, shopCallback } from './world.ts';

const sides = await openSides();
const { browser, phone, me, origin, other, db } = sides;

const signInPage = (pc: Visitor) => sides.toSignIn(pc);

/** From the website to the page with the code; the ticket is read from the pixels, as a phone does. */
async function show(pc: Visitor): Promise<{ page: Answer; ticket: string; base: string }> {
  const page = await pc.follow(await pc.submit(formTo(await signInPage(pc), '/miniprogram-scan')));
  return { page, base: page.url.replace(/\/scan.*$/, ''), ticket: await ticketOn(pc, page) };
}

async function ticketOn(pc: Visitor, page: Answer): Promise<string> {
  const [, path = ''] = /<img class="scan-code" src="([^"]+)"/.exec(page.html) ?? [];
  const picture = await pc.bytes(`${origin}${path}`);
  return new URL(readQrPicture(picture.bytes).text).searchParams.get('scene') ?? '';
}

const stateOf = async (pc: Visitor, base: string, at = origin) =>
  (await pc.json(`${at}${new URL(base).pathname}/scan/state`)).state;

const subAfter = async (out: Answer) => (await sides.redeem(out)).sub;

const finish = async (pc: Visitor, base: string) => {
  const page = await pc.get(`${base}/scan`);
  return pc.follow(await pc.submit(formTo(page, '/scan')));
};

let li: Awaited<ReturnType<typeof phone>>;
let signedIn: Awaited<ReturnType<typeof li.launch>>;
beforeEach(async () => {
  li = await phone();
  signedIn = await li.launch();
});

describe('signing in on a computer by a mini-program code', () => {
  it('the phone sees which site asks and from where, says yes, and the computer is signed in as that person', async () => {
    const pc = browser({ ip: '203.0.113.40' });
    const { page, ticket, base } = await show(pc);
    expect(page.html).toContain('山屿官网');
    expect(await stateOf(pc, base)).toBe('pending');

    const seen = await me(signedIn.token, `/sign-ins/${ticket}`, { ip: '198.51.100.9' });
    expect(seen).toMatchObject({
      status: 200,
      body: {
        client: '山屿官网',
        host: 'localhost:4',
        network: '203.0.113.*',
        is_same_network: false,
        browser: 'Chrome · Windows',
        state: 'scanned',
      },
    });
    expect(await stateOf(pc, base)).toBe('scanned');
    const confirmed = await me(signedIn.token, `/sign-ins/${ticket}`, { body: { decision: 'confirm' }, at: other });
    expect(confirmed).toMatchObject({ status: 200, body: { state: 'confirmed' } });
    // Whichever process the page asks.
    expect(await stateOf(pc, base)).toBe('confirmed');
    expect(await stateOf(pc, base, other)).toBe('confirmed');

    const out = await finish(pc, base);
    expect(out.location).toContain(shopCallback);
    expect(await subAfter(out)).toBe(signedIn.sub);
    const [record] = await db('audit_entries').where({ action: 'subject.signed_in', subject_id: signedIn.sub });
    expect(record.details).toMatchObject({ method: 'miniprogram-scan:wxsandbox0000000001', is_new: false });
  });

  it('refused on the phone, the computer says so and offers another code', async () => {
    const pc = browser();
    const { ticket, base } = await show(pc);
    await me(signedIn.token, `/sign-ins/${ticket}`);
    await me(signedIn.token, `/sign-ins/${ticket}`, { body: { decision: 'deny' } });
    expect(await stateOf(pc, base)).toBe('denied');
    const again = await pc.follow(
      await pc.submit(formTo(await pc.get(`${base}/scan`), '/miniprogram-scan:wxsandbox0000000001')),
    );
    expect(await ticketOn(pc, again)).not.toBe(ticket);
    // A late change of mind is for the old code, which is spent for nothing.
    expect((await me(signedIn.token, `/sign-ins/${ticket}`, { body: { decision: 'confirm' } })).status).toBe(409);
  });

  it('the page loads nothing but from here, tells the browser to keep the picture, and is no code of anybody else', async () => {
    const pc = browser();
    const { page } = await show(pc);
    expect([...page.html.matchAll(/(?:src|href)="([^"]+)"/g)].every(([, url]) => /^[/?#]/.test(url ?? ''))).toBe(true);
    const [, path = ''] = /src="([^"]+scan\/code[^"]*)"/.exec(page.html) ?? [];
    const { headers } = await pc.bytes(`${origin}${path}`);
    expect(headers.get('content-type')).toMatch(/^image\//);
    expect(headers.get('cache-control')).toContain('private');
    const stranger = await browser().get(`${origin}${path}`);
    expect(stranger.headers.get('content-type')).toContain('text/html');
    expect(stranger.status).toBe(400);
  });

  it('whoever has not agreed to the policy is asked on the computer first', async () => {
    const zhang = await phone();
    const { token, sub } = await zhang.launch({ consents: '' });
    const pc = browser();
    const { ticket, base } = await show(pc);
    await me(token, `/sign-ins/${ticket}`);
    await me(token, `/sign-ins/${ticket}`, { body: { decision: 'confirm' } });
    const asked = await finish(pc, base);
    expect(asked.url).toMatch(/\/agree$/);
    const out = await pc.follow(await pc.submit(formTo(asked, '/agree'), { privacy: '1' }));
    expect(await subAfter(out)).toBe(sub);
  });

  it('somebody else who was signed in in this browser is signed out first', async () => {
    const pc = browser();
    const first = await show(pc);
    await me(signedIn.token, `/sign-ins/${first.ticket}`);
    await me(signedIn.token, `/sign-ins/${first.ticket}`, { body: { decision: 'confirm' } });
    await finish(pc, first.base);
    const wang = await (await phone()).launch();
    const page = await pc.follow(await pc.get(sides.authorize({ prompt: 'login' })));
    const shown = await pc.follow(await pc.submit(formTo(page, '/miniprogram-scan')));
    const ticket = await ticketOn(pc, shown);
    await me(wang.token, `/sign-ins/${ticket}`);
    await me(wang.token, `/sign-ins/${ticket}`, { body: { decision: 'confirm' } });
    const out = await finish(pc, shown.url.replace(/\/scan$/, ''));
    expect(await subAfter(out)).toBe(wang.sub);
    expect(await db('oidc_artifacts').where({ model: 'Session', subject_id: signedIn.sub })).toEqual([]);
  });
});

describe('C13: a code that is shown where it does not belong', () => {
  it('signs in the browser that asked, never the phone, and no browser that only knows the ticket', async () => {
    const attacker = browser();
    const { ticket, base } = await show(attacker);
    await me(signedIn.token, `/sign-ins/${ticket}`);
    await me(signedIn.token, `/sign-ins/${ticket}`, { body: { decision: 'confirm' } });
    // Another browser has an interaction of its own, and posts to its own page.
    const bystander = browser();
    const own = await show(bystander);
    expect((await finishWith(bystander, own, base)).status).toBe(400);
    expect(await stateOf(bystander, own.base)).toBe('pending');
    // It was not spent by that.
    expect((await finish(attacker, base)).location).toContain(shopCallback);
  });

  it('names the client that asked, whatever the page around the code says, and its host beside the name', async () => {
    const { ticket } = await show(browser());
    const { body } = await me(signedIn.token, `/sign-ins/${ticket}`);
    expect(body).toMatchObject({ client: '山屿官网', host: 'localhost:4' });
    expect(Object.keys(body).sort()).toEqual(
      ['asked_at', 'browser', 'client', 'expires_in', 'host', 'is_same_network', 'network', 'state'].sort(),
    );
  });

  it('is for one person: who scans it second can neither see nor answer', async () => {
    const wang = await (await phone()).launch();
    const { ticket } = await show(browser());
    await me(signedIn.token, `/sign-ins/${ticket}`);
    expect((await me(wang.token, `/sign-ins/${ticket}`)).status).toBe(409);
    expect((await me(wang.token, `/sign-ins/${ticket}`, { body: { decision: 'confirm' } })).status).toBe(409);
    expect((await me(signedIn.token, `/sign-ins/${ticket}`)).body).toMatchObject({ state: 'scanned' });
  });

  it('of twenty people who scan at the same instant, over two processes, one may answer', async () => {
    const { ticket } = await show(browser());
    const people = await Promise.all(Array.from({ length: 20 }, async () => (await phone()).launch()));
    const answers = await Promise.all(
      people.map(({ token }, i) => me(token, `/sign-ins/${ticket}`, { at: i % 2 ? other : origin })),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 409)).toHaveLength(19);
  });

  it('cannot be answered without having been looked at, by another mini-program, or by a program', async () => {
    const { ticket } = await show(browser());
    expect((await me(signedIn.token, `/sign-ins/${ticket}`, { body: { decision: 'confirm' } })).status).toBe(409);
    const elsewhere = await sides.tokenByCode('stranger');
    expect((await me(elsewhere, `/sign-ins/${ticket}`)).status).toBe(404);
    const machine = await fetch(`${origin}/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa('demo-backend:demo-backend-secret')}` },
      body: new URLSearchParams({ grant_type: 'client_credentials', resource: `${origin}/api` }),
    });
    const { access_token } = (await machine.json()) as { access_token: string };
    expect((await me(access_token, `/sign-ins/${ticket}`)).status).toBe(403);
    expect((await me('', `/sign-ins/${ticket}`)).status).toBe(401);
  });

  it('works once: twenty posts at the same instant, over two processes, lead to one sign-in', async () => {
    const pc = browser();
    const { ticket, base } = await show(pc);
    await me(signedIn.token, `/sign-ins/${ticket}`);
    await me(signedIn.token, `/sign-ins/${ticket}`, { body: { decision: 'confirm' } });
    const form = formTo(await pc.get(`${base}/scan`), '/scan');
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        pc.submit(i % 2 ? form : { ...form, action: form.action.replace(origin, other) }),
      ),
    );
    expect(answers.every(({ status }) => status === 303)).toBe(true);
    expect(await db('audit_entries').where({ action: 'subject.signed_in', subject_id: signedIn.sub })).toHaveLength(1);
    expect((await me(signedIn.token, `/sign-ins/${ticket}`)).status).toBe(404);
  });

  it('ends after three minutes, also for who has confirmed it', async () => {
    const pc = browser();
    const { ticket, base } = await show(pc);
    await me(signedIn.token, `/sign-ins/${ticket}`);
    await me(signedIn.token, `/sign-ins/${ticket}`, { body: { decision: 'confirm' } });
    const form = formTo(await pc.get(`${base}/scan`), '/scan');
    await db('tickets').update({ expires_at: db.raw("now() - interval '1 second'") });
    expect(await stateOf(pc, base)).toBe('expired');
    const page = await pc.follow(await pc.submit(form));
    expect(page.url).toBe(`${base}/scan`);
    expect(page.html).toContain('小程序码已失效');
    expect((await me(signedIn.token, `/sign-ins/${ticket}`)).status).toBe(404);
  });

  it('opens nothing for a person who was suspended after saying yes', async () => {
    const pc = browser();
    const { ticket, base } = await show(pc);
    await me(signedIn.token, `/sign-ins/${ticket}`);
    await me(signedIn.token, `/sign-ins/${ticket}`, { body: { decision: 'confirm' } });
    await db('subjects').where({ id: signedIn.sub }).update({ status: 'suspended' });
    const out = await finish(pc, base);
    expect(out.status).toBe(403);
    expect(out.location).toBeUndefined();
  });

  it('A30: finishing is a post of the page’s own form', async () => {
    const pc = browser();
    const { ticket, base } = await show(pc);
    await me(signedIn.token, `/sign-ins/${ticket}`);
    await me(signedIn.token, `/sign-ins/${ticket}`, { body: { decision: 'confirm' } });
    expect((await pc.post(`${base}/scan`, {})).status).toBe(403);
    const form = formTo(await pc.get(`${base}/scan`), '/scan');
    expect((await pc.post(form.action, form.fields, { 'sec-fetch-site': 'cross-site' })).status).toBe(403);
    expect((await finish(pc, base)).location).toContain(shopCallback);
  });
});

describe('a code', () => {
  it('is offered by the clients that name it, and not on a phone, which cannot scan itself', async () => {
    const plain = { client_id: 'plain', redirect_uri: 'http://localhost:5/callback' };
    const without = await sides.toSignIn(browser(), plain);
    expect(without.html).not.toContain('miniprogram-scan');
    const agent = 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148';
    expect((await signInPage(browser({ agent }))).html).not.toContain('miniprogram-scan');
    const pc = browser();
    const form = formTo(await signInPage(pc), '/sms');
    const refused = await pc.submit({ ...form, action: form.action.replace('/sms', '/miniprogram-scan:wxnobody') });
    expect(refused.status).toBe(400);
  });

  it('cannot be asked for without end', async () => {
    const pc = browser();
    const form = formTo(await signInPage(pc), '/miniprogram-scan');
    for (let i = 0; i < 20; i++) expect((await pc.submit(form)).status).toBe(303);
    const over = await pc.submit(form);
    expect(over.status).toBe(429);
    expect(over.html).toContain('操作过于频繁');
  });

  it('is kept as a hash, what it stands for sealed', async () => {
    const { ticket } = await show(browser({ ip: '203.0.113.77' }));
    const rows = JSON.stringify(await db('tickets'));
    expect(rows).not.toContain(ticket);
    expect(rows).not.toContain('203.0.113.77');
  });

  it('D21: whoever holds the token of a mini-program does not stand in the console with it', async () => {
    const pc = browser();
    const { ticket, base } = await show(pc);
    await me(signedIn.token, `/sign-ins/${ticket}`);
    await me(signedIn.token, `/sign-ins/${ticket}`, { body: { decision: 'confirm' } });
    await finish(pc, base);
    await db('staff').insert({ subject_id: signedIn.sub, role: 'owner', granted_by: 'test' });
    const asked = await pc.follow(await pc.get(`${origin}/admin`));
    expect(asked.url).toContain('/login/');
    expect((await pc.follow(await pc.get(`${origin}/admin`))).url).toContain('/login/');
    await db('staff').delete();
  });

  it('that WeChat refuses to make leaves the person on the sign-in page, with a sentence', async () => {
    await sides.control('PUT', '/faults', { target: 'getwxacodeunlimit', errcode: 41030 });
    const pc = browser();
    const page = await pc.submit(formTo(await signInPage(pc), '/miniprogram-scan'));
    await sides.control('DELETE', '/faults');
    expect(page.status).toBe(503);
    expect(page.html).toContain('微信登录的配置有误');
    expect(formTo(page, '/sms')).toBeDefined();
  });
});

async function finishWith(pc: Visitor, own: { page: Answer }, foreignBase: string): Promise<Answer> {
  const csrf = own.page.forms[0]?.fields.csrf ?? '';
  return pc.post(`${foreignBase}/scan`, { csrf });
}

describe('B20: a computer that a scan signed in, at the account page', () => {
  /** What the page that adds an e-mail address asks: the address, or a proof first. */
  async function asked(pc: Visitor): Promise<string[]> {
    const page = await pc.follow(await pc.get(`${origin}/account/add/email`));
    return page.forms.map(({ action }) => new URL(action).pathname);
  }
  async function scanned(parameters: Record<string, string>, who: Phone) {
    const { token } = await who.launch(parameters);
    const pc = browser();
    const { ticket, base } = await show(pc);
    await me(token, `/sign-ins/${ticket}`);
    await me(token, `/sign-ins/${ticket}`, { body: { decision: 'confirm' } });
    await finish(pc, base);
    return pc;
  }

  it('changes nothing before a code was typed, where the person can be sent one: a stolen token can scan too', async () => {
    const who = await sides.phone({ number: '+8613912349901' });
    const { code } = await sides.sandbox(`/people/${who.person_id}/phone-code`, { appid: 'wxsandbox0000000001' });
    const pc = await scanned({ phone_code: String(code) }, who);
    const forms = await asked(pc);
    expect(forms).toContain('/account/prove');
    expect(forms).not.toContain('/account/add/email');
    // And proving is another sign-in, not the one that the scan was.
    const prove = await pc.get(`${origin}/account/add/email`);
    const signIn = await pc.follow(await pc.submit(formTo(prove, '/account/prove')));
    expect(formTo(signIn, '/sms')).toBeDefined();
  });

  it('may add something where the person has WeChat alone', async () => {
    const pc = await scanned({}, await sides.phone());
    expect(await asked(pc)).toContain('/account/add/email');
  });
});
