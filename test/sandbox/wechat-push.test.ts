/** Message push: the vendor's vectors, the check of an address, the three modes and two formats, retries, and replies. */
import { createHash } from 'node:crypto';
import { beforeEach, describe, expect, test } from 'vitest';
import { decrypt, encrypt, sign } from '../../src/sandbox/push/crypto.ts';
import { write } from '../../src/sandbox/push/message.ts';
import { polite, startReceiver } from './push-receiver.ts';
import { apps, type Json, startWorld } from './world.ts';

const world = await startWorld();
const { call } = world;
const receiver = await startReceiver();
const { appid } = apps.official_account;
const token = 'AAAAA';
const encoding_aes_key = 'abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG';

const configure = (push: Json | null, app: string = appid) => call('PUT', `/apps/${app}`, { push });
const say = (text: string, person = 'lin-xiaoman') => call('POST', `/people/${person}/say`, { appid, text });
const first = ({ body }: { body: Json }) => (body.pushes as Json[])[0] as Json & { attempts: Json[] };
type Listed = Json & { attempts: Json[] };
/** The pushes, once none is going to be tried again. */
async function settled(): Promise<Listed[]> {
  for (;;) {
    const pushes = (await call('GET', '/pushes')).body.pushes as Listed[];
    if (pushes.every(({ state }) => state !== 'pending')) return pushes;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
async function finished(push_id: unknown): Promise<Listed> {
  const push = (await settled()).find((push) => push.push_id === push_id);
  if (!push) throw new Error('This push is not in the list.');
  return push;
}
const fieldOf = (xml: string, name: string) =>
  new RegExp(`<${name}>(?:<!\\[CDATA\\[([\\s\\S]*?)\\]\\]>|([^<]*))</${name}>`)
    .exec(xml)
    ?.slice(1)
    .find((text) => text !== undefined);
const sha1 = (...words: string[]) => createHash('sha1').update(words.sort().join('')).digest('hex');

beforeEach(async () => {
  await settled();
  receiver.answer(polite);
  await configure({ url: receiver.url, token });
  await call('POST', '/people/lin-xiaoman/follow', { appid });
  receiver.take();
});

describe('the vendor’s vectors', () => {
  test('of the signature', () => {
    expect(sign(['AAAAA', '1714036504', '1514711492'])).toBe('f464b24fc39322e44b38aa78f5edd27bd1441696');
    expect(sign(['AAAAA', '1714037059', '486452656'])).toBe('899cf89e464efb63f54ddac96b0a0a235f53aa78');
  });

  test('of decryption', () => {
    const Encrypt =
      '+qdx1OKCy+5JPCBFWw70tm0fJGb2Jmeia4FCB7kao+/Q5c/ohsOzQHi8khUOb05JCpj0JB4RvQMkUyus8TPxLKJGQqcvZqzDpVzazhZv6JsXUnnR8XGT740XgXZUXQ7vJVnAG+tE8NUd4yFyjPy7GgiaviNrlCTj+l5kdfMuFUPpRSrfMZuMcp3Fn2Pede2IuQrKEYwKSqFIZoNqJ4M8EajAsjLY2km32IIjdf8YL/P50F7mStwntrA2cPDrM1kb6mOcfBgRtWygb3VIYnSeOBrebufAlr7F9mFUPAJGj04=';
    const keys = { encoding_aes_key: 'A'.repeat(43), appid: 'wxba5fad812f8e6fb9' };
    expect(sign(['AAAAA', '1714112445', '415670741', Encrypt])).toBe('046e02f8204d34f8ba5fa3b1db94908f3df2e9b3');
    expect(decrypt(Encrypt, keys)).toBe(
      '{"ToUserName":"gh_97417a04a28d","FromUserName":"o9AgO5Kd5ggOC-bXrbNODIiE3bGY","CreateTime":1714112445,"MsgType":"event","Event":"debug_demo","debug_str":"hello world"}',
    );
    expect(decrypt(Encrypt, { ...keys, appid: 'wx0' })).toBeUndefined();
    expect(decrypt('bm9uc2Vuc2U=', keys)).toBeUndefined();
  });

  test('of encryption, with text that is longer in bytes than in characters', () => {
    const keys = { encoding_aes_key: 'A'.repeat(43), appid: 'wxba5fad812f8e6fb9' };
    const reply = encrypt('{"demo_resp":"good luck"}', keys, '707722b803182950');
    expect(reply).toBe('ELGduP2YcVatjqIS+eZbp80MNLoAUWvzzyJxgGzxZO/5sAvd070Bs6qrLARC9nVHm48Y4hyRbtzve1L32tmxSQ==');
    expect(sign(['AAAAA', '1713424427', '415670741', reply])).toBe('1b9339964ed2e271e7c7b6ff2b0ef902fc94dea1');
    const chinese = { encoding_aes_key, appid: 'wxb11529c136998cb6' };
    expect(encrypt('我是中文abcd123', chinese, 'aaaabbbbccccdddd')).toBe(
      'jn1L23DB+6ELqJ+6bruv21Y6MD7KeIfP82D6gU39rmkgczbWwt5+3bnyg5K55bgVtVzd832WzZGMhkP72vVOfg==',
    );
  });

  test('a text cannot end its own CDATA, and a MsgId keeps all its digits', () => {
    const message = { Content: 'a]]><Event>x</Event>', MsgId: 176418236120000001n, CreateTime: 5 };
    expect(write(message, 'xml')).toBe(
      '<xml><Content><![CDATA[a]]]]><![CDATA[><Event>x</Event>]]></Content><MsgId>176418236120000001</MsgId><CreateTime>5</CreateTime></xml>',
    );
    expect(write(message, 'json')).toBe('{"Content":"a]]><Event>x</Event>","MsgId":176418236120000001,"CreateTime":5}');
  });
});

describe('the address of an app’s pushes', () => {
  test('is asked once for its echostr, signed with the token, and kept over a restart', async () => {
    receiver.received.length = 0;
    expect((await configure({ url: `${receiver.url}?x=1`, token, format: 'json' })).body.push).toEqual({
      url: `${receiver.url}?x=1`,
      mode: 'plain',
      format: 'json',
    });
    const [check, ...others] = receiver.received;
    expect(others).toEqual([]);
    const { signature, timestamp = '', nonce = '', echostr, x } = check?.query ?? {};
    expect([check?.method, x, signature]).toEqual(['GET', '1', sha1(token, timestamp, nonce)]);
    expect(echostr).toMatch(/^\d+$/);
  });

  test.each<[string, Parameters<typeof receiver.answer>[0], string]>([
    ['another text', () => ({ body: 'hello' }), 'It answered "hello" in place of the echostr.'],
    ['the echostr with a newline', ({ query }) => ({ body: `${query.echostr}\n` }), 'in place of the echostr'],
    ['an error', () => ({ status: 403 }), 'It answered HTTP 403.'],
    ['a redirect', () => ({ status: 302 }), 'It answered HTTP 302.'],
    ['nothing in time', () => ({ after_ms: 1000 }), 'It did not answer in time.'],
  ])('is not saved when it answers %s; the sentence says so', async (_, answer, sentence) => {
    receiver.answer(answer);
    const refused = await configure({ url: receiver.url.replace('/push', '/other'), token });
    expect(refused.status).toBe(400);
    expect(String((refused.body.error as Json).message)).toContain(sentence);
    const { body } = await call('GET', '/apps');
    const saved = (body.apps as Json[]).find((app) => app.appid === appid)?.push;
    expect(saved).toMatchObject({ url: receiver.url });
  });

  test.each<[string, Json, string]>([
    ['an address of another machine', { url: 'https://example.com/push', token }, 'address of this machine'],
    ['a file', { url: 'file:///etc/passwd', token }, 'http address'],
    ['no token', { url: receiver.url }, 'push.token'],
    ['a short key', { url: receiver.url, token, encoding_aes_key: 'short' }, '43 letters and digits'],
    ['secure mode without a key', { url: receiver.url, token, mode: 'secure' }, 'need an encoding_aes_key'],
    ['nobody listening', { url: 'http://127.0.0.1:9/push', token }, 'It was not reached'],
  ])('is refused: %s', async (_, push, sentence) => {
    const refused = await configure(push);
    expect(refused.status).toBe(400);
    expect(JSON.stringify(refused.body)).toContain(sentence);
  });

  test('tells neither the token nor the key to pages of this machine', async () => {
    await configure({ url: receiver.url, token, encoding_aes_key, mode: 'secure' });
    const shown = JSON.stringify((await call('GET', '/apps')).body);
    expect(shown).not.toContain(token);
    expect(shown).not.toContain(encoding_aes_key);
  });

  test('switched off means no push', async () => {
    await configure(null);
    expect((await say('在吗')).body.pushes).toEqual([]);
    expect(receiver.take()).toEqual([]);
  });

  test('of a seeded app that nobody touched is Heyi’s own, encrypted', async () => {
    const heyiUrl = receiver.url.replace('/push', '');
    const fresh = await startWorld({ heyiUrl });
    await fresh.call('POST', '/people/lin-xiaoman/follow', { appid });
    const [push] = receiver.take();
    expect(push?.path).toBe(`/wechat/${appid}/push`);
    expect(push?.query.encrypt_type).toBe('aes');
    const listed = (await fresh.call('GET', '/apps')).body.apps as Json[];
    expect(listed.map(({ push }) => push)).toEqual([
      { url: `${heyiUrl}/wechat/${apps.miniprogram.appid}/push`, mode: 'secure', format: 'json' },
      { url: `${heyiUrl}/wechat/${apps.website.appid}/push`, mode: 'secure', format: 'xml' },
      { url: `${heyiUrl}/wechat/${appid}/push`, mode: 'secure', format: 'xml' },
    ]);
  });
});

describe('a push', () => {
  test('in plain mode is signed over token, timestamp and nonce, and says all in the clear', async () => {
    expect(first(await say('你好 <b>]]>')).state).toBe('delivered');
    const [push] = receiver.take();
    const { signature, timestamp = '', nonce = '', openid, ...rest } = push?.query ?? {};
    expect(signature).toBe(sha1(token, timestamp, nonce));
    expect(rest).toEqual({});
    expect(push?.type).toBe('text/xml');
    expect(fieldOf(push?.body ?? '', 'FromUserName')).toBe(openid);
    expect(push?.body).toContain('<Content><![CDATA[你好 <b>]]]]><![CDATA[>]]></Content>');
    expect(push?.body).toMatch(/<MsgId>\d{17,19}<\/MsgId><\/xml>$/);
  });

  test.each(['xml', 'json'] as const)('in secure mode shows the receiver’s name alone, as %s', async (format) => {
    await configure({ url: receiver.url, token, encoding_aes_key, mode: 'secure', format });
    await say('你好');
    const [push] = receiver.take();
    const body = push?.body ?? '';
    const Encrypt = format === 'json' ? JSON.parse(body).Encrypt : fieldOf(body, 'Encrypt');
    const { timestamp = '', nonce = '', msg_signature, encrypt_type } = push?.query ?? {};
    expect([encrypt_type, msg_signature]).toEqual(['aes', sha1(token, timestamp, nonce, Encrypt)]);
    expect(body).not.toContain('你好');
    const clear = decrypt(Encrypt, { encoding_aes_key, appid }) ?? '';
    if (format === 'json') {
      expect(Object.keys(JSON.parse(body))).toEqual(['ToUserName', 'Encrypt']);
      expect(JSON.parse(clear)).toMatchObject({ MsgType: 'text', Content: '你好', CreateTime: expect.any(Number) });
    } else expect(fieldOf(clear, 'Content')).toBe('你好');
  });

  test('in compatible mode says it twice: in the clear and encrypted', async () => {
    await configure({ url: receiver.url, token, encoding_aes_key, mode: 'compatible', format: 'json' });
    await say('你好');
    const body = JSON.parse(receiver.take()[0]?.body ?? '');
    expect(body.Content).toBe('你好');
    expect(decrypt(body.Encrypt, { encoding_aes_key, appid })).toContain('"Content":"你好"');
  });

  test.each<[string, Parameters<typeof receiver.answer>[0], string]>([
    ['answers an error', () => ({ status: 500 }), 'It answered HTTP 500.'],
    ['answers a text that is no message', () => ({ body: 'ok' }), 'no xml message'],
    ['answers too late', () => ({ after_ms: 1000, body: 'success' }), 'It did not answer in time.'],
  ])(
    'to a server that %s is tried three times in all, with a signature of its own each',
    async (_, answer, problem) => {
      receiver.answer(answer);
      const push = await finished(first(await say('在吗')).push_id);
      expect(push.state).toBe('failed');
      expect(push.attempts).toHaveLength(3);
      expect(push.attempts[0]?.problem).toContain(problem);
      const sent = receiver.take();
      expect(sent).toHaveLength(3);
      expect(new Set(sent.map(({ body }) => body)).size).toBe(1);
      expect(new Set(sent.map(({ query }) => query.nonce)).size).toBe(3);
    },
  );

  test('that was answered well at the second try is not sent again', async () => {
    let calls = 0;
    receiver.answer(() => (++calls === 1 ? { status: 502 } : { body: '' }));
    const push = await finished(first(await say('在吗')).push_id);
    expect(push.attempts.map(({ outcome }) => outcome)).toEqual(['failed', 'accepted']);
    expect(receiver.take()).toHaveLength(2);
  });

  test('can be sent once more, as WeChat does when it missed the thanks: the same text under a new signature', async () => {
    const { push_id } = first(await say('在吗'));
    const repeated = first(await call('POST', `/pushes/${push_id}/again`));
    expect(repeated).toMatchObject({ push_id, state: 'delivered' });
    expect(repeated.attempts).toHaveLength(2);
    const [one, two] = receiver.take();
    expect(two?.body).toBe(one?.body);
    expect(two?.query.signature).not.toBe(one?.query.signature);
    expect((await call('POST', '/pushes/none/again')).status).toBe(404);
  });

  test('may be answered with a message, which the person gets', async () => {
    const reply = '<xml><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[您好]]></Content></xml>';
    receiver.answer(() => ({ body: reply }));
    expect(first(await say('在吗'))).toMatchObject({ state: 'delivered', attempts: [{ outcome: 'replied', reply }] });
  });

  describe('in secure mode', () => {
    const sealed = (text: string, of = appid, key = encoding_aes_key) => {
      const Encrypt = encrypt(text, { encoding_aes_key: key, appid: of });
      const [TimeStamp, Nonce] = [1713424427, '415670741'];
      return { Encrypt, MsgSignature: sha1(token, String(TimeStamp), Nonce, Encrypt), TimeStamp, Nonce };
    };
    const answerTo = async (body: Json | string) => {
      await configure({ url: receiver.url, token, encoding_aes_key, mode: 'secure', format: 'json' });
      receiver.answer(() => ({ body: typeof body === 'string' ? body : JSON.stringify(body) }));
      return first(await say('在吗')).attempts[0];
    };

    test('an encrypted reply is read; "success" needs no encryption', async () => {
      expect(await answerTo(sealed('{"MsgType":"text","Content":"您好"}'))).toMatchObject({
        outcome: 'replied',
        reply: '{"MsgType":"text","Content":"您好"}',
      });
      receiver.answer(polite);
      expect(await answerTo('success')).toMatchObject({ outcome: 'accepted' });
    });

    test.each<[string, Json, string]>([
      ['in the clear', { MsgType: 'text' }, 'nor encrypted'],
      ['with a wrong signature', { ...sealed('{}'), Nonce: '1' }, 'wrong MsgSignature'],
      ['for another app', sealed('{}', 'wx0'), 'not encrypted with this key for this app'],
      ['that holds no message', sealed('hello'), 'holds no json message'],
    ])('a reply %s is refused', async (_, body, problem) => {
      expect(await answerTo(body)).toMatchObject({ outcome: 'failed', problem: expect.stringContaining(problem) });
    });
  });

  test('a sandbox that is stopped does not go on trying', async () => {
    const [own, elsewhere] = [await startWorld(), await startReceiver()];
    await own.call('PUT', `/apps/${appid}`, { push: { url: elsewhere.url, token } });
    elsewhere.answer(() => ({ status: 500 }));
    await own.call('POST', '/people/lin-xiaoman/follow', { appid });
    await own.sandbox.stop();
    const sent = elsewhere.take().length;
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(elsewhere.take()).toEqual([]);
    expect(sent).toBeLessThan(3);
  });
});
