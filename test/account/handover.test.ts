import { beforeEach, describe, expect, it } from 'vitest';
import { type Answer, formTo, type Visitor } from '../login/visitor.ts';
import { openSides, type Phone, shop, shopCallback, webView } from './world.ts';

const sides = await openSides();
const { browser, phone, me, other, origin, db } = sides;
const page = `${shop}/orders?from=miniprogram`;

let li: Phone;
let signedIn: Awaited<ReturnType<Phone['launch']>>;
beforeEach(async () => {
  li = await phone();
  signedIn = await li.launch();
});

async function handover(body: object = { client_id: 'shop', url: page }, ip = li.ip) {
  return me(signedIn.token, '/handovers', { body, ip });
}
const addressOf = async () => String((await handover()).body.url);

/** The web view loads the page, which posts itself. */
async function open(view: Visitor, address: string, at = origin): Promise<Answer> {
  const shown = await view.get(address.replace(origin, at));
  return view.submit(formTo(shown, new URL(address).pathname));
}
const inMiniProgram = (ip = li.ip) => browser({ ip, agent: webView });
const reasons = async () =>
  (await db('audit_entries').where({ action: 'handover.refused', subject_id: signedIn.sub })).map(
    ({ details }) => details.reason,
  );

describe('the website opened from the mini-program', () => {
  it('is signed in as the same person, without asking', async () => {
    const { status, body } = await handover();
    expect(status).toBe(201);
    expect(body).toMatchObject({ url: expect.stringMatching(/\/handover\/[\w-]{22}$/), expires_in: 60 });
    const view = inMiniProgram();
    expect((await open(view, String(body.url))).location).toBe(page);
    const out = await sides.toSignIn(view);
    expect(out.location).toContain(shopCallback);
    expect((await sides.redeem(out)).sub).toBe(signedIn.sub);
  });

  it('works through whichever process, and may be asked for again and again', async () => {
    const view = inMiniProgram();
    expect((await open(view, await addressOf(), other)).location).toBe(page);
    expect((await sides.redeem(await sides.toSignIn(view))).sub).toBe(signedIn.sub);
    // Already signed in as this person: nothing is left behind.
    await open(view, await addressOf());
    expect(view.cookie('heyi_handover')).toBeUndefined();
    expect((await sides.redeem(await sides.toSignIn(view))).sub).toBe(signedIn.sub);
  });

  it('whoever was signed in there before is not taken for the person, and their session ends', async () => {
    const view = inMiniProgram();
    const { sub: before } = await sides.signInBySms(view);
    await open(view, await addressOf());
    expect((await sides.redeem(await sides.toSignIn(view))).sub).toBe(signedIn.sub);
    expect(await db('oidc_artifacts').where({ model: 'Session', subject_id: before })).toEqual([]);
  });

  it('finishes one sign-in: the next one in that web view, after signing out, is asked', async () => {
    const view = inMiniProgram();
    await open(view, await addressOf());
    const pass = view.cookie('heyi_handover') ?? '';
    expect(pass).toHaveLength(22);
    await sides.toSignIn(view);
    expect(view.cookie('heyi_handover')).toBeUndefined();
    // Kept by who can read the cookie of a phone, and played again.
    const later = inMiniProgram();
    later.setCookie({ name: 'heyi_handover', value: pass, path: '/' });
    expect(formTo(await sides.toSignIn(later), '/sms')).toBeDefined();
  });

  it('is no fresh sign-in: what asks for one, as the account page does before a change, asks again', async () => {
    const view = inMiniProgram();
    await open(view, await addressOf());
    await sides.toSignIn(view);
    expect(formTo(await sides.toSignIn(view, { max_age: '3600' }), '/sms')).toBeDefined();
    expect((await sides.toSignIn(view)).location).toContain(shopCallback);
  });

  it('asks somebody who has not agreed to the policy, and is no fresh sign-in for who wants one', async () => {
    const zhang = await phone();
    const { token, sub } = await zhang.launch({ consents: '' });
    const view = inMiniProgram(zhang.ip);
    const { body } = await me(token, '/handovers', { body: { client_id: 'shop', url: page }, ip: zhang.ip });
    await open(view, String(body.url));
    expect(formTo(await sides.toSignIn(view, { prompt: 'login' }), '/sms')).toBeDefined();
    const asked = await sides.toSignIn(view);
    const out = await view.follow(await view.submit(formTo(asked, '/agree'), { privacy: '1' }));
    expect((await sides.redeem(out)).sub).toBe(sub);
  });
});

describe('A31: an address that comes into other hands signs nobody in', () => {
  it('opened in an ordinary browser by who was sent it: they land on the website as themselves', async () => {
    const address = await addressOf();
    // The sender's own network, even.
    const victim = browser({ ip: li.ip });
    const { sub } = await sides.signInBySms(victim);
    expect((await open(victim, address)).location).toBe(page);
    expect((await sides.redeem(await sides.toSignIn(victim))).sub).toBe(sub);
    expect(await reasons()).toEqual(['not_a_web_view']);
  });

  it('opened in WeChat’s own browser, from a chat, is no web view of the mini-program', async () => {
    const chat = browser({ ip: li.ip, agent: webView.replace(/MiniProgramEnv.*$/, '') });
    expect((await open(chat, await addressOf())).location).toBe(page);
    expect(formTo(await sides.toSignIn(chat), '/sms')).toBeDefined();
  });

  it('opened in a web view on another network', async () => {
    const friend = inMiniProgram('172.16.9.9');
    expect((await open(friend, await addressOf())).location).toBe(page);
    expect(formTo(await sides.toSignIn(friend), '/sms')).toBeDefined();
    expect(await reasons()).toEqual(['other_network']);
  });

  it('and is spent by that: the person asks for another', async () => {
    const address = await addressOf();
    await open(browser(), address);
    const late = await inMiniProgram().get(address);
    expect(late.status).toBe(410);
    expect(late.html).toContain('这个链接已失效');
    expect(late.forms).toEqual([]);
  });

  it('a pass is for the client it was made for, and stays on its network', async () => {
    const view = inMiniProgram();
    await open(view, await addressOf());
    const elsewhere = await sides.toSignIn(view, { client_id: 'plain', redirect_uri: 'http://localhost:5/callback' });
    expect(formTo(elsewhere, '/sms')).toBeDefined();
    expect(view.cookie('heyi_handover')).toHaveLength(22);
    const thief = browser({ ip: '172.16.9.9', agent: webView });
    thief.setCookie({ name: 'heyi_handover', value: view.cookie('heyi_handover') ?? '', path: '/' });
    expect(formTo(await sides.toSignIn(thief), '/sms')).toBeDefined();
  });
});

describe('an address', () => {
  it('B12: is not spent by looking at it', async () => {
    const address = await addressOf();
    for (const agent of ['curl/8', webView]) expect((await browser({ agent }).get(address)).status).toBe(200);
    expect((await open(inMiniProgram(), address)).location).toBe(page);
  });

  it('is spent once: of twenty posts at the same instant, over two processes, one gets a pass', async () => {
    const address = await addressOf();
    const views = Array.from({ length: 20 }, () => inMiniProgram());
    const forms = await Promise.all(
      views.map(async (view) => formTo(await view.get(address), new URL(address).pathname)),
    );
    const answers = await Promise.all(
      views.map((view, i) => {
        const form = forms[i] ?? { action: '', fields: {} };
        return view.submit(i % 2 ? form : { ...form, action: form.action.replace(origin, other) });
      }),
    );
    expect(answers.filter(({ status }) => status === 303)).toHaveLength(1);
    expect(views.filter((view) => view.cookie('heyi_handover'))).toHaveLength(1);
  });

  it('ends after a minute, and its pass after two', async () => {
    const address = await addressOf();
    const late = () => db('tickets').update({ expires_at: db.raw("now() - interval '1 second'") });
    const view = inMiniProgram();
    const form = formTo(await view.get(address), new URL(address).pathname);
    await late();
    expect((await view.submit(form)).status).toBe(410);
    await open(view, await addressOf());
    await late();
    expect(formTo(await sides.toSignIn(view), '/sms')).toBeDefined();
  });

  it('is for a page of that client and no other place; not for our own pages, nor a mini-program', async () => {
    const refused = async (body: object) => {
      const answer = await handover(body);
      expect(answer.status).toBe(400);
      return Object.keys((answer.body.error as { fields: object }).fields);
    };
    for (const url of [
      'https://evil.example/',
      `${shop}@evil.example/`,
      `${origin}/admin`,
      'javascript:alert(1)',
      '//x',
      `http://localhost:44/`,
    ])
      expect(await refused({ client_id: 'shop', url })).toEqual(['url']);
    expect(await refused({ client_id: 'demo-miniprogram', url: page })).toEqual(['client_id']);
    expect(await refused({ client_id: 'nobody', url: page })).toEqual(['client_id']);
    expect(await refused({ client_id: 'heyi-admin', url: `${origin}/admin` })).not.toEqual([]);
  });

  it('is made by a mini-program of ours for whoever is signed in there, and for nobody else', async () => {
    const { token } = await sides.signInBySms(browser());
    expect((await me(token, '/handovers', { body: { client_id: 'shop', url: page } })).status).toBe(403);
    expect((await me('', '/handovers', { body: { client_id: 'shop', url: page } })).status).toBe(401);
  });

  it('opens nothing for a person who was suspended meanwhile', async () => {
    const [first, second] = [await addressOf(), await addressOf()];
    const view = inMiniProgram();
    await open(view, first);
    await db('subjects').where({ id: signedIn.sub }).update({ status: 'suspended' });
    expect(formTo(await sides.toSignIn(view), '/sms')).toBeDefined();
    expect((await open(inMiniProgram(), second)).location).toBe(page);
    expect(await reasons()).toEqual(['person_gone']);
  });

  it('A30: posting needs the page’s own form, and the secret is in no table', async () => {
    const address = await addressOf();
    expect((await inMiniProgram().post(address, {})).status).toBe(403);
    expect(JSON.stringify(await db('tickets'))).not.toContain(address.split('/').at(-1));
  });
});
