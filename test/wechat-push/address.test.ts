/** The push address: whom it believes, what it does once, and what it hands on. */
import { beforeEach, describe, expect, it } from 'vitest';
import { signatureOf } from '../../src/connectors/wechat/push-crypto.ts';
import { fakeServer } from '../connectors/fakes.ts';
import { testDatabase } from '../helpers/database.ts';
import { follower, mini, nextId, other, pushWorld, seconds, send, signed } from './world.ts';

const { db, url } = await testDatabase();
const crm = await fakeServer(() => ({ type: 'text/xml', body: '<xml>theirs</xml>' }));
const world = await pushWorld({ db, url, forward: `${crm.base}/wechat?app=1` });
const { base, otherBase } = world;
const audit = (action: string) => db('audit_entries').where({ action });
const following = (openid: string) => db('wechat_followers').where({ openid }).first();

beforeEach(() => {
  crm.seen.length = 0;
  crm.behave(() => ({ type: 'text/xml', body: '<xml>theirs</xml>' }));
});

describe('the address', () => {
  it('answers the first check with the echostr and nothing else, to WeChat alone', async () => {
    const [timestamp, nonce] = [String(seconds()), '42'];
    const query = { timestamp, nonce, echostr: '4375120948345356249' };
    const signature = signatureOf([mini.push_token, timestamp, nonce]);
    const ask = (more: object) =>
      fetch(`${base}/wechat/${mini.appid}/push?${new URLSearchParams({ ...query, ...more })}`);
    const response = await ask({ signature });
    expect(response.status).toBe(200);
    expect(await response.text()).toBe('4375120948345356249');
    expect(response.headers.get('content-type')).toMatch(/^text\/plain/);
    expect((await ask({ signature: 'f'.repeat(40) })).status).toBe(403);
    expect((await ask({})).status).toBe(403);
    expect(crm.seen).toEqual([]);
  });

  it('is there for apps that are set up, and for no other', async () => {
    const unknown = { ...mini, appid: 'wx00000000000000ff' };
    expect((await send(base, unknown, signed(unknown, follower(nextId(), 'subscribe')))).status).toBe(404);
  });

  it.each([
    ['another token', () => signed({ ...mini, push_token: 'AnotherToken' }, follower(nextId(), 'subscribe'))],
    ["another app's name inside", () => signed({ ...mini, appid: other.appid }, follower(nextId(), 'subscribe'))],
    ['in the clear', () => signed({ ...mini, encoding_aes_key: null }, follower(nextId(), 'subscribe'))],
    ['an hour ago', () => signed(mini, follower(nextId(), 'subscribe'), { timestamp: String(seconds() - 3600) })],
    [
      'a parameter twice',
      () => {
        const push = signed(mini, follower(nextId(), 'subscribe'));
        return { ...push, query: `${push.query}&timestamp=1` };
      },
    ],
  ])('%s: 403, and nobody hears of it', async (_what, make) => {
    const before = await audit('wechat.followed');
    const push = make();
    const answer = await send(base, mini, push);
    expect(answer.status).toBe(403);
    expect(await audit('wechat.followed')).toHaveLength(before.length);
    expect(crm.seen).toEqual([]);
  });

  it('refuses what is too large, and what cannot be read', async () => {
    const large = signed(mini, { Content: 'x'.repeat(70_000) });
    expect((await send(base, mini, large)).status).toBe(413);
    const { query } = signed(mini, {});
    expect((await send(base, mini, { query, body: '<!DOCTYPE a [<!ENTITY b "c">]><xml>&b;</xml>' })).status).toBe(400);
    expect((await send(base, mini, signed(mini, {}, { raw: 'MsgType=event' }))).status).toBe(400);
  });

  it('tells a stranger nothing, and the log holds neither token nor key nor openid', async () => {
    const openid = nextId();
    await send(base, mini, signed(mini, follower(openid, 'subscribe')));
    const answer = await send(base, mini, { query: '', body: '{}' });
    expect(JSON.parse(answer.text).error).toMatchObject({
      code: 'forbidden',
      message: 'This is not a push of WeChat.',
    });
    expect(world.logged()).toContain('"why":"wrong_signature"');
    for (const word of [mini.push_token, mini.encoding_aes_key, openid]) expect(world.logged()).not.toContain(word);
  });

  it('E6: line breaks and escapes in a push are one line of the log', async () => {
    const before = world.logged().split('\n').length;
    await send(base, mini, signed(mini, follower(nextId(), 'user_info_modified\r\n\u001b[31m{"level":"fatal"}')));
    const lines = world
      .logged()
      .split('\n')
      .slice(before - 1)
      .filter(Boolean);
    for (const line of lines) expect(() => JSON.parse(line)).not.toThrow();
    expect(lines.join('')).not.toContain('\u001b');
  });
});

describe('a push that comes again', () => {
  it('is done once, over three attempts, two processes and parallel ones', async () => {
    const event = follower(nextId(), 'subscribe');
    const before = (await audit('wechat.followed')).length;
    const attempt = (process: string) => send(process, mini, signed(mini, event, { format: 'xml' }));
    const answers = await Promise.all([base, otherBase, base, otherBase].map(attempt));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    expect((await attempt(otherBase)).status).toBe(200);
    expect(await audit('wechat.followed')).toHaveLength(before + 1);
  });

  it('in the clear, a signature is good for one message: another body with it is refused', async () => {
    const first = signed(other, follower(nextId(), 'subscribe'));
    expect((await send(base, other, first)).status).toBe(200);
    const victim = nextId();
    const forged = { query: first.query, body: JSON.stringify(follower(victim, 'subscribe')) };
    expect((await send(otherBase, other, forged)).status).toBe(403);
    expect(await following(victim)).toBeUndefined();
    // The same once more, as WeChat sends it when no answer came.
    expect((await send(base, other, first)).status).toBe(200);
  });

  it('what failed half-way is done when it comes again', async () => {
    const openid = nextId();
    const event = follower(openid, 'subscribe');
    await db.raw(`alter table audit_entries rename to audit_entries_away`);
    const failed = await send(base, mini, signed(mini, event));
    await db.raw(`alter table audit_entries_away rename to audit_entries`);
    expect(failed.status).toBe(500);
    expect(await following(openid)).toBeUndefined();
    expect((await send(base, mini, signed(mini, event))).status).toBe(200);
    expect(await following(openid)).toMatchObject({ is_following: true });
  });
});

describe('followers', () => {
  it('are kept as WeChat tells, whichever push arrives first', async () => {
    const openid = nextId();
    const at = seconds();
    await send(base, mini, signed(mini, follower(openid, 'subscribe', { CreateTime: at - 20 }), { format: 'xml' }));
    expect(await following(openid)).toMatchObject({ appid: mini.appid, is_following: true });
    await send(base, mini, signed(mini, follower(openid, 'unsubscribe', { CreateTime: at })));
    expect(await following(openid)).toMatchObject({ is_following: false });
    await send(base, mini, signed(mini, follower(openid, 'subscribe', { CreateTime: at - 10 })));
    expect(await following(openid)).toMatchObject({ is_following: false });
  });

  it('a message that is no event changes nothing and is thanked for', async () => {
    const openid = nextId();
    crm.behave(() => ({ status: 204, body: '' }));
    const text = { ...follower(openid, ''), MsgType: 'text', Content: 'hello', MsgId: 12345 };
    expect((await send(base, mini, signed(mini, text))).status).toBe(200);
    expect(await following(openid)).toBeUndefined();
  });
});

describe('the other system of the company', () => {
  it('gets a verified push to the letter, and its reply goes back as it is', async () => {
    const push = signed(mini, follower(nextId(), 'CLICK', { EventKey: 'menu 1' }), { format: 'xml' });
    const answer = await send(base, mini, push, 'text/xml; charset=utf-8');
    expect(answer).toEqual({ status: 200, type: 'text/xml', text: '<xml>theirs</xml>' });
    const [seen] = crm.seen;
    expect(`${seen?.url.pathname}${seen?.url.search}`).toBe(`/wechat?app=1&${push.query}`);
    expect(seen?.body).toBe(push.body);
    expect(seen?.headers['content-type']).toBe('text/xml; charset=utf-8');
    expect(seen?.headers.cookie).toBeUndefined();
  });

  it('gets each attempt of WeChat, also one that we have done already', async () => {
    const event = follower(nextId(), 'subscribe');
    await send(base, mini, signed(mini, event));
    await send(base, mini, signed(mini, event));
    expect(crm.seen).toHaveLength(2);
  });

  it.each([
    ['an error page', () => ({ status: 500, body: 'oops' })],
    ['a redirect, which is not followed', () => ({ status: 302, body: '' })],
    ['a reset', () => 'reset' as const],
    ['a reply no message can be', () => ({ body: 'x'.repeat(70_000) })],
  ])('%s: WeChat is thanked, our part is done, and it is counted', async (_what, behaviour) => {
    const openid = nextId();
    crm.behave(behaviour);
    world.counted.length = 0;
    const answer = await send(base, mini, signed(mini, follower(openid, 'subscribe')));
    expect(answer).toMatchObject({ status: 200, text: 'success' });
    expect(await following(openid)).toMatchObject({ is_following: true });
    expect(world.counted).toEqual(['failed']);
    expect(crm.seen).toHaveLength(1);
    expect(world.logged()).toContain('not taken by the system');
  });

  it('that is silent is not waited for longer than WeChat waits for us', async () => {
    crm.behave(() => 'hang');
    const startedAt = performance.now();
    const openid = nextId();
    expect((await send(base, mini, signed(mini, follower(openid, 'subscribe')))).text).toBe('success');
    expect(performance.now() - startedAt).toBeLessThan(4_900);
    expect(await following(openid)).toMatchObject({ is_following: true });
  }, 8_000);

  it('is named by https, or lies on this machine', async () => {
    const { checkSettings } = await import('../../src/connectors/settings.ts');
    const { connectors } = await import('../../src/connectors/registry.ts');
    const connector = connectors.find(({ name }) => name === 'wechat-miniprogram');
    if (!connector) throw new Error('no mini-programs');
    const check = (push_forward_url: string) =>
      checkSettings(connector, { appid: mini.appid, secret: 'x', push_forward_url });
    for (const address of [
      'http://crm.example.com/push',
      'ftp://crm.example.com',
      'https://a:b@crm.example.com',
      'crm',
    ])
      expect(check(address)).toMatchObject({ faults: { 'settings.push_forward_url': expect.any(String) } });
    for (const address of ['https://crm.example.com/push?app=1', 'http://127.0.0.1:8080/push'])
      expect(check(address)).toMatchObject({ settings: { push_forward_url: address } });
  });
});
