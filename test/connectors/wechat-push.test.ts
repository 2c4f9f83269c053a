/** 消息推送 on the wire: the vendor's published vectors, and what somebody else would send. */
import { describe, expect, it } from 'vitest';
import { openPush, sealReply, verifyAddress, writeReply } from '../../src/connectors/wechat/push.ts';
import { decryptPush, encryptReply, isSignedBy, signatureOf } from '../../src/connectors/wechat/push-crypto.ts';
import { formatOf, readMessage, writeMessage } from '../../src/connectors/wechat/push-message.ts';

const token = 'AAAAA';
const app = { appid: 'wxba5fad812f8e6fb9', push_token: token, encoding_aes_key: 'A'.repeat(43) };
const plainApp = { ...app, encoding_aes_key: null };
const at = (seconds: number) => new Date(seconds * 1000);

/** The page 消息推送 of the mini-program documents, secure mode. */
const secure = {
  query: {
    signature: '6c5c811b55cc85e0e1b54100749188c20beb3f5d',
    timestamp: '1714112445',
    nonce: '415670741',
    encrypt_type: 'aes',
    msg_signature: '046e02f8204d34f8ba5fa3b1db94908f3df2e9b3',
  },
  Encrypt:
    '+qdx1OKCy+5JPCBFWw70tm0fJGb2Jmeia4FCB7kao+/Q5c/ohsOzQHi8khUOb05JCpj0JB4RvQMkUyus8TPxLKJGQqcvZqzDpVzazhZv6JsXUnnR8XGT740XgXZUXQ7vJVnAG+tE8NUd4yFyjPy7GgiaviNrlCTj+l5kdfMuFUPpRSrfMZuMcp3Fn2Pede2IuQrKEYwKSqFIZoNqJ4M8EajAsjLY2km32IIjdf8YL/P50F7mStwntrA2cPDrM1kb6mOcfBgRtWygb3VIYnSeOBrebufAlr7F9mFUPAJGj04=',
  text: '{"ToUserName":"gh_97417a04a28d","FromUserName":"o9AgO5Kd5ggOC-bXrbNODIiE3bGY","CreateTime":1714112445,"MsgType":"event","Event":"debug_demo","debug_str":"hello world"}',
};
const secureBody = JSON.stringify({ ToUserName: 'gh_97417a04a28d', Encrypt: secure.Encrypt });
const now = at(1714112450);

describe("the vendor's vectors", () => {
  it.each([
    ['1714036504', '1514711492', 'f464b24fc39322e44b38aa78f5edd27bd1441696'],
    ['1714037059', '486452656', '899cf89e464efb63f54ddac96b0a0a235f53aa78'],
    ['1714112445', '415670741', '6c5c811b55cc85e0e1b54100749188c20beb3f5d'],
  ])('the signature at %s', (timestamp, nonce, signature) => {
    expect(signatureOf([token, timestamp, nonce])).toBe(signature);
    expect(isSignedBy([token, timestamp, nonce], signature)).toBe(true);
    expect(isSignedBy(['AAAAB', timestamp, nonce], signature)).toBe(false);
  });

  it('the echostr of the first check goes back to the letter', () => {
    const query = {
      signature: 'f464b24fc39322e44b38aa78f5edd27bd1441696',
      timestamp: '1714036504',
      nonce: '1514711492',
      echostr: '4375120948345356249',
    };
    expect(verifyAddress(app, query, at(1714036510))).toEqual({ echostr: '4375120948345356249' });
  });

  it('a push in secure mode opens: msg_signature, AES, length, appid', () => {
    expect(signatureOf([token, secure.query.timestamp, secure.query.nonce, secure.Encrypt])).toBe(
      secure.query.msg_signature,
    );
    expect(decryptPush(app, secure.Encrypt)).toBe(secure.text);
    expect(openPush(app, { query: secure.query, body: secureBody, now })).toMatchObject({
      kind: 'opened',
      isEncrypted: true,
      format: 'json',
      fields: { Event: 'debug_demo', CreateTime: '1714112445', debug_str: 'hello world' },
    });
  });

  it('a reply is encrypted and signed as theirs is', () => {
    const random = Buffer.from('707722b803182950');
    const text = '{"demo_resp":"good luck"}';
    expect(encryptReply(app, text, random)).toBe(
      'ELGduP2YcVatjqIS+eZbp80MNLoAUWvzzyJxgGzxZO/5sAvd070Bs6qrLARC9nVHm48Y4hyRbtzve1L32tmxSQ==',
    );
    expect(
      JSON.parse(sealReply(app, text, { format: 'json', seconds: 1713424427, nonce: '415670741', random })),
    ).toMatchObject({
      MsgSignature: '1b9339964ed2e271e7c7b6ff2b0ef902fc94dea1',
      TimeStamp: 1713424427,
      Nonce: '415670741',
    });
  });

  it('Chinese is counted in bytes (vector of WxJava)', () => {
    const keys = {
      appid: 'wxb11529c136998cb6',
      encoding_aes_key: 'abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG',
    };
    const encrypted = encryptReply(keys, '我是中文abcd123', Buffer.from('aaaabbbbccccdddd'));
    expect(encrypted).toBe('jn1L23DB+6ELqJ+6bruv21Y6MD7KeIfP82D6gU39rmkgczbWwt5+3bnyg5K55bgVtVzd832WzZGMhkP72vVOfg==');
    expect(decryptPush(keys, encrypted)).toBe('我是中文abcd123');
  });
});

describe('what is not WeChat speaking to this app', () => {
  const open = (changes: Partial<typeof secure.query>, body = secureBody, instead: object = {}) =>
    openPush({ ...app, ...instead }, { query: { ...secure.query, ...changes }, body, now });

  it.each([
    ['another signature', open({ signature: 'f'.repeat(40) }), 'wrong_signature'],
    ['another msg_signature', open({ msg_signature: 'f'.repeat(40) }), 'wrong_signature'],
    ['none', openPush(app, { query: {}, body: secureBody, now }), 'wrong_signature'],
    ['a changed ciphertext', open({}, secureBody.replace('+qdx', '+qdy')), 'wrong_signature'],
    ['another nonce', open({ nonce: '415670742' }), 'wrong_signature'],
    ['another token', open({}, secureBody, { push_token: 'AAAAB' }), 'wrong_signature'],
    ["another app's", open({}, secureBody, { appid: 'wxba5fad812f8e6fb0' }), 'wrong_key'],
    ['encrypted with another key', open({}, secureBody, { encoding_aes_key: `${'A'.repeat(42)}E` }), 'wrong_key'],
    ['an app without a token', open({}, secureBody, { push_token: null }), 'not_set_up'],
    ['encrypted, and we have no key', open({}, secureBody, { encoding_aes_key: null }), 'wrong_key'],
    ['neither XML nor JSON', open({}, 'MsgType=event'), 'unreadable'],
  ])('%s is refused', (_what, opened, why) => {
    expect(opened).toEqual({ kind: 'refused', why });
  });

  it('in the clear is refused when there is a key: the signature does not cover the body', () => {
    expect(open({}, secure.text)).toEqual({ kind: 'refused', why: 'not_encrypted' });
    expect(openPush(plainApp, { query: secure.query, body: secure.text, now })).toMatchObject({
      kind: 'opened',
      isEncrypted: false,
    });
  });

  it('in compatible mode only the encrypted half is read', () => {
    const body = JSON.stringify({ ...JSON.parse(secure.text), Event: 'something_else', Encrypt: secure.Encrypt });
    expect(open({}, body)).toMatchObject({ fields: { Event: 'debug_demo' } });
  });

  it('five minutes early or late is stale', () => {
    for (const seconds of [-310, 310])
      expect(openPush(app, { query: secure.query, body: secureBody, now: at(1714112445 + seconds) })).toEqual({
        kind: 'refused',
        why: 'stale',
      });
    expect(verifyAddress(app, { ...secure.query, echostr: '1' }, at(1714112445 + 310))).toEqual({ why: 'stale' });
  });

  it('no garbled ciphertext throws', () => {
    for (const text of [
      '',
      'A',
      'AAAA',
      '=',
      Buffer.alloc(16).toString('base64'),
      Buffer.alloc(64, 7).toString('base64'),
    ])
      expect(decryptPush(app, text)).toBeUndefined();
  });
});

describe('messages', () => {
  const revoke =
    '<xml><ToUserName><![CDATA[gh_870882ca4b1]]></ToUserName><FromUserName><![CDATA[owAqB1v0ahK_Xlc7GshIDdf2yf7E]]></FromUserName><CreateTime>1626857200</CreateTime><MsgType><![CDATA[event]]></MsgType><Event><![CDATA[user_authorization_revoke]]></Event><OpenID><![CDATA[owAqB1nqaOYYWl0Ng484G2z5NIwU]]></OpenID><AppID><![CDATA[wx13974bf780d3dc89]]></AppID><RevokeInfo><![CDATA[1]]></RevokeInfo></xml>';

  it("reads the vendor's XML and JSON alike, and takes their stray spaces off", () => {
    expect(readMessage(revoke, 'xml')?.fields).toMatchObject({
      Event: 'user_authorization_revoke',
      OpenID: 'owAqB1nqaOYYWl0Ng484G2z5NIwU',
      CreateTime: '1626857200',
    });
    const json =
      '{"ToUserName":"gh_870882ca4b1","CreateTime":1627359464," Event ":"user_authorization_revoke","OpenPID":" G7esq5NVzP76HIHoB95t4CVBP6to"}';
    expect(readMessage(json, 'json')?.fields).toMatchObject({
      Event: 'user_authorization_revoke',
      OpenPID: 'G7esq5NVzP76HIHoB95t4CVBP6to',
    });
    expect(readMessage('<xml>\n  <Event >\n <![CDATA[ SCAN ]]> </ Event>\n</xml>\n', 'xml')?.fields.Event).toBe('SCAN');
  });

  it('keeps a MsgId that is greater than a number', () => {
    expect(readMessage('{"MsgId":23456789012345678901}', 'json')?.fields.MsgId).toBe('23456789012345678901');
    expect(readMessage('<xml><MsgId>23456789012345678901</MsgId></xml>', 'xml')?.fields.MsgId).toBe(
      '23456789012345678901',
    );
  });

  it('reads List as one object, as several, and as elements', () => {
    const one = { TemplateId: 'a', SubscribeStatusString: 'accept' };
    const two = { TemplateId: 'b', SubscribeStatusString: 'reject' };
    expect(readMessage(JSON.stringify({ List: one }), 'json')?.list).toEqual([one]);
    expect(readMessage(JSON.stringify({ List: [one, two] }), 'json')?.list).toEqual([one, two]);
    const item = ({ TemplateId, SubscribeStatusString }: typeof one) =>
      `<List><TemplateId><![CDATA[${TemplateId}]]></TemplateId><SubscribeStatusString>${SubscribeStatusString}</SubscribeStatusString></List>`;
    const xml = `<xml><SubscribeMsgPopupEvent>${item(one)}${item(two)}</SubscribeMsgPopupEvent></xml>`;
    expect(readMessage(xml, 'xml')?.list).toEqual([one, two]);
  });

  it.each([
    ['an entity bomb', '<!DOCTYPE xml [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><xml><Content>&b;</Content></xml>'],
    ['a file of ours', '<!DOCTYPE xml [<!ENTITY a SYSTEM "file:///etc/passwd">]><xml><Content>&a;</Content></xml>'],
    ['depth', `${'<a>'.repeat(10_000)}${'</a>'.repeat(10_000)}`],
    ['attributes', '<xml a="b"><Event>SCAN</Event></xml>'],
    ['a second root', '<xml></xml><xml></xml>'],
    ['an element that is never closed', '<xml><Event>SCAN</Event>'],
    ['elements that cross', '<xml><a><b></a></b></xml>'],
    ['an open CDATA', '<xml><a><![CDATA[ </a></xml>'],
    ['a list for an object', '[1]'],
  ])('refuses XML with %s', (_what, text) => {
    expect(readMessage(text, formatOf(text))).toBeUndefined();
  });

  it('leaves what looks like an entity or a tag in a person’s text as text', () => {
    const text = '<xml><Content><![CDATA[<!DOCTYPE &b; <b>]]></Content><Other>&lt;&unknown;&amp;amp;</Other></xml>';
    expect(readMessage(text, 'xml')?.fields).toMatchObject({ Content: '<!DOCTYPE &b; <b>', Other: '<&unknown;&amp;' });
  });

  it('E5: a field called __proto__ is a field', () => {
    for (const text of ['{"__proto__":"x","Event":"SCAN"}', '<xml><__proto__>x</__proto__><Event>SCAN</Event></xml>'])
      expect(readMessage(text, formatOf(text))?.fields.Event).toBe('SCAN');
    expect(({} as { x?: string }).x).toBeUndefined();
  });

  it('G8: half a megabyte of openings is read in linear time', () => {
    const startedAt = performance.now();
    for (const piece of ['<![CDATA[', '<', '<a', '</', '&amp', ' '])
      readMessage(`<xml>${piece.repeat(100_000)}`, 'xml');
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });

  it('writes a reply that cannot be broken out of, in the format that came', () => {
    const push = openPush(plainApp, { query: secure.query, body: revoke, now });
    if (push.kind !== 'opened') throw new Error(push.why);
    const reply = writeReply(plainApp, push, { text: ']]><b>', now });
    expect(readMessage(reply, 'xml')?.fields).toEqual({
      ToUserName: 'owAqB1v0ahK_Xlc7GshIDdf2yf7E',
      FromUserName: 'gh_870882ca4b1',
      CreateTime: '1714112450',
      MsgType: 'text',
      Content: ']]><b>',
    });
    expect(writeMessage({ a: 1 }, 'json')).toBe('{"a":1}');
  });

  it('a reply to an encrypted push is encrypted', () => {
    const push = openPush(app, { query: secure.query, body: secureBody, now });
    if (push.kind !== 'opened') throw new Error(push.why);
    const reply = JSON.parse(writeReply(app, push, { text: '好', now }));
    expect(reply.MsgSignature).toBe(signatureOf([token, String(reply.TimeStamp), reply.Nonce, reply.Encrypt]));
    expect(JSON.parse(decryptPush(app, reply.Encrypt) ?? '')).toMatchObject({ MsgType: 'text', Content: '好' });
  });
});
