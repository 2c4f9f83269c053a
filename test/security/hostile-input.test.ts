/**
 * Whatever a client sends, the fault is the client's: no answer is 500 or above, and every refusal has the form its caller
 * reads (threats E5, E6, E7, F6, G2, G10). Each nasty value meets each public route of the running product.
 */
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { runningApp } from '../helpers/app.ts';
import { keptLog } from '../helpers/kept-log.ts';
import { complaintAbout, type Sent, senderTo } from './answers.ts';
import { attackerOf, backend, basic, exchangeGrant, freshPhone, oneTimeCode, website, wechatCode } from './attacker.ts';

const { lines, destination: logTo } = keptLog();
const app = await runningApp({ LOG_LEVEL: 'error' }, { logTo });
const attacker = attackerOf(app.config);
const machine = await attacker.machineToken();
const signed = await attacker.signIn('sms', freshPhone());
const person = String((await attacker.redeem(signed)).body.access_token);

const send = senderTo(app.config.port);

async function complaintsOf(requests: Sent[]): Promise<string[]> {
  const complaints: string[] = [];
  const queue = [...requests];
  const work = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const about = `${next.method ?? 'GET'} ${next.path.slice(0, 120)} ${JSON.stringify(next.headers ?? {}).slice(0, 120)} ${String(next.body ?? '').slice(0, 120)}`;
      const complaint = await send(next).then(complaintAbout, (error) => `no answer: ${error}`);
      if (complaint) complaints.push(`${about} → ${complaint}`);
    }
  };
  await Promise.all(Array.from({ length: 8 }, work));
  return complaints;
}

const deep = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
const form = { 'content-type': 'application/x-www-form-urlencoded' };
const json = { 'content-type': 'application/json' };
const uid = 'abcdefghijklmnopqrstu';
const id = '01890000-0000-7000-8000-000000000000';

/** As they stand in a query string or a form. */
const values: Record<string, string> = {
  nothing: '',
  'a NUL': '%00',
  'a NUL in words': 'a%00b',
  'a lone surrogate': '%ED%A0%80',
  'bytes that are no UTF-8': '%FF%FE%80',
  'a malformed percent sequence': '%E0%A4%A',
  'a bare percent sign': '%',
  'line breaks': 'a%0D%0ASet-Cookie:%20x=1',
  SQL: "'%3B%20select%20pg_sleep(9)%20--",
  'a path upwards': '..%2f..%2fetc%2fpasswd',
  'a prototype key': '__proto__',
  'a right-to-left override': '%E2%80%AE%F0%9F%92%A9',
  'a JSON object': '%7B%22a%22%3A1%7D',
  'four thousand letters': 'x'.repeat(4_000),
  'a number too large': '1e400',
  markup: '%3Cscript%3Ealert(1)%3C/script%3E',
};

const queries: [path: string, names: string[]][] = [
  [
    '/authorize',
    ['client_id', 'redirect_uri', 'scope', 'state', 'nonce', 'prompt', 'max_age', 'login_hint', 'id_token_hint']
      .concat(['acr_values', 'claims', 'resource', 'request', 'request_uri', 'response_mode', 'ui_locales'])
      .concat(['response_type', 'code_challenge', 'code_challenge_method', 'display', '__proto__']),
  ],
  [`/authorize/${uid}`, ['x']],
  ['/logout', ['id_token_hint', 'client_id', 'post_logout_redirect_uri', 'state', 'ui_locales', 'logout_hint']],
  ['/logout/success', ['client_id', 'ui_locales']],
  ['/userinfo', ['access_token']],
  ['/', ['lang']],
  ['/privacy', ['lang', 'ui_locales']],
  ['/readyz', ['x']],
  ['/healthz', ['x']],
  ['/jwks', ['x']],
  ['/.well-known/openid-configuration', ['x']],
  ['/api/openapi.json', ['x']],
  ['/static/style.css', ['v']],
  ['/admin', ['lang']],
  ['/admin/callback', ['code', 'state', 'iss', 'error']],
  [`/admin/setup/${uid}`, ['lang']],
  [`/login/${uid}`, ['lang']],
  [`/login/${uid}/sms/verify`, ['note', 'lang']],
];

const signInQuery = {
  client_id: website.id,
  redirect_uri: `${app.config.demoUrl}/callback`,
  response_type: 'code',
  scope: 'openid',
  code_challenge: 'x'.repeat(43),
  code_challenge_method: 'S256',
};

describe('nasty values in the address', () => {
  it.each(queries)('%s', async (path, names) => {
    const fine: Record<string, string> = path === '/authorize' ? signInQuery : {};
    const requests = names.flatMap((name) =>
      Object.values(values).flatMap((value) => {
        const others = new URLSearchParams(Object.entries(fine).filter(([other]) => other !== name));
        return [{ accept: 'text/html' }, { accept: 'application/json' }].map((headers) => ({
          path: `${path}?${others}&${name}=${value}`,
          headers,
        }));
      }),
    );
    const twice = names.map((name) => ({ path: `${path}?${name}=a&${name}=b&${name}[]=c&${name}[x]=d` }));
    expect(await complaintsOf([...requests, ...twice])).toEqual([]);
  });

  it('in the segments of a path', async () => {
    const around = ['/login/#', '/login/#/sms', '/login/#/sms/verify', `/login/${uid}/#`, '/authorize/#', '/static/#']
      .concat(['/admin/setup/#', '/admin/#', '/v1/#', '/v1/projects/#/settings', '/api/v1/#', '/api/v1/subjects/#'])
      .concat(['/api/v1/subjects/#/events', '/api/v1/connectors/#', '/wechat/#/callback', '/#', '/.well-known/#']);
    const headers = { authorization: `Bearer ${machine}` };
    const requests = around.flatMap((path) =>
      Object.values(values).flatMap((value) =>
        ['GET', 'POST'].map((method) => ({ method, path: path.replace('#', value), headers })),
      ),
    );
    expect(await complaintsOf(requests)).toEqual([]);
  });

  it('to the management API, with a token that may do everything', async () => {
    const headers = { authorization: `Bearer ${machine}` };
    const requests = ['limit', 'cursor', 'from', 'to', 'type', 'event', 'channel', 'kind', '__proto__'].flatMap(
      (name) =>
        [
          '/subjects',
          `/subjects/${id}`,
          `/subjects/${id}/events`,
          `/subjects/${id}/identities`,
          '/clients',
          '/write-keys',
        ]
          .concat(['/connectors', `/subjects/${id}/profile`, `/subjects/${id}/consents`])
          .flatMap((path) =>
            Object.values(values).map((value) => ({ path: `/api/v1${path}?${name}=${value}`, headers })),
          ),
    );
    expect(await complaintsOf(requests)).toEqual([]);
  });
});

const grants = ['authorization_code', 'refresh_token', 'client_credentials', exchangeGrant, 'password', ''];
const parameters = ['code', 'redirect_uri', 'code_verifier', 'refresh_token', 'scope', 'resource', 'anonymous_id']
  .concat(['consents', 'subject_token', 'phone_code', 'wechat_code', 'create', 'client_id', 'client_secret'])
  .concat(['requested_token_type', 'client_assertion', 'client_assertion_type', 'grant_type', '__proto__']);

describe('nasty values in forms', () => {
  it.each(grants)('/token with the grant %s', async (grant_type) => {
    const fine: Record<string, string> = {
      grant_type,
      client_id: 'demo-miniprogram',
      subject_token: 'x',
      subject_token_type: wechatCode,
    };
    const requests = parameters.flatMap((name) =>
      Object.values(values).flatMap((value) => {
        const others = Object.entries(fine).filter(([other]) => other !== name);
        const body = `${new URLSearchParams(others)}&${name}=${value}`;
        const codes = body.replace(encodeURIComponent(wechatCode), encodeURIComponent(oneTimeCode));
        return [
          { method: 'POST', path: '/token', headers: form, body },
          { method: 'POST', path: '/token', headers: form, body: codes },
          {
            method: 'POST',
            path: '/token',
            headers: { ...form, ...basic(backend.id, backend.secret) },
            body: body.replace('client_id=demo-miniprogram&', ''),
          },
        ];
      }),
    );
    expect(await complaintsOf(requests)).toEqual([]);
  });

  it.each([
    ['/otp', ['client_id', 'channel', 'to'], { client_id: 'demo-miniprogram', channel: 'sms', to: '1' }, {}],
    ['/revoke', ['token', 'token_type_hint', 'client_id'], { token: 'x' }, basic(website.id, website.secret)],
    ['/introspect', ['token', 'token_type_hint'], { token: 'x' }, basic(backend.id, backend.secret)],
    [
      '/par',
      ['redirect_uri', 'scope', 'claims', 'request', 'state', 'login_hint', 'max_age', 'id_token_hint'],
      signInQuery,
      basic(website.id, website.secret),
    ],
    ['/userinfo', ['access_token'], {}, {}],
    ['/logout/confirm', ['xsrf', 'logout'], {}, {}],
    [`/login/${uid}/sms`, ['phone', 'csrf', 'privacy'], {}, {}],
    ['/admin/sign-out', ['csrf'], {}, {}],
    [`/admin/setup/${uid}`, ['csrf'], {}, {}],
  ])('%s', async (path, names, fine, headers) => {
    const requests = names.flatMap((name) =>
      Object.values(values).map((value) => {
        const others = new URLSearchParams(Object.entries(fine).filter(([other]) => other !== name));
        return { method: 'POST', path, headers: { ...form, ...headers }, body: `${others}&${name}=${value}` };
      }),
    );
    const twice = names.map((name) => ({
      method: 'POST',
      path,
      headers: { ...form, ...headers },
      body: `${new URLSearchParams(fine)}&${name}=a&${name}=b`,
    }));
    expect(await complaintsOf([...requests, ...twice])).toEqual([]);
  });

  it('in the forms of a sign-in under way', async () => {
    const visitor = signed.visitor;
    const page = await visitor.follow(await visitor.get(attacker.authorize(website.id, { prompt: 'login' }).url));
    const [action] = page.forms.filter((form) => form.action.endsWith('/sms'));
    const complaints: string[] = [];
    for (const value of Object.values(values)) {
      for (const name of ['phone', 'privacy', 'csrf', '__proto__']) {
        const cookie = visitor
          .cookies()
          .map((kept) => `${kept.name}=${kept.value}`)
          .join('; ');
        const fields = new URLSearchParams({ ...action?.fields, phone: '1', privacy: '1' });
        fields.delete(name);
        const path = new URL(action?.action ?? '').pathname;
        const body = `${fields}&${name}=${value}`;
        complaints.push(...(await complaintsOf([{ method: 'POST', path, headers: { ...form, cookie }, body }])));
      }
    }
    expect(complaints).toEqual([]);
  });
});

const bodies: Record<string, string | Buffer> = {
  nothing: '',
  'a word': 'null',
  'a number': '1e400',
  'a list': '[]',
  'a string': '"\\u0000"',
  'no JSON': '{"a":',
  'a prototype': '{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}}}',
  'deep lists': deep(20_000),
  'a byte order mark': Buffer.from('\uFEFF{}', 'utf8'),
  UTF16: Buffer.from('{"event":"a"}', 'utf16le'),
  'bytes that are no UTF-8': Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]),
  'as large as is allowed': `{"a":"${'x'.repeat(60_000)}"}`,
};
/** A field of a body, each in the place of a string. */
const oddities: unknown[] = [
  ...[null, 0, -1, 1.5, 1e300, true, [], ['a'], {}, { toString: 'x', $gt: '' }, [[[[[]]]]], '', ' ', '\0', '\ud800'],
  ...[
    'x'.repeat(20_000),
    '__proto__',
    '../..',
    '\u202e',
    '2026-13-45T99:99:99Z',
    '+275760-09-13T00:00:00.001Z',
    'Infinity',
  ],
  ...['9999-12-31T23:59:59Z', '-000001-01-01T00:00:00Z', '1e400', 'ſK', '\u2028', '<%= 1 %>'],
];

const jsonRoutes: [path: string, headers: Record<string, string>, fields: Record<string, unknown>][] = [
  [
    '/v1/track',
    basic('demo-server-key', ''),
    {
      event: 'a',
      userId: id,
      anonymousId: 'b',
      messageId: 'm',
      timestamp: '',
      properties: {},
      context: {},
      originalTimestamp: '',
      sentAt: '',
      type: 'track',
      channel: 'website',
      integrations: {},
    },
  ],
  [
    '/v1/identify',
    basic('demo-client-key', ''),
    { userId: id, anonymousId: 'b', traits: {}, context: { externalIds: [] } },
  ],
  ['/v1/page', { authorization: `Bearer ${person}` }, { name: 'a', anonymousId: 'b', category: '', properties: {} }],
  ['/v1/alias', basic('demo-client-key', ''), { userId: id, previousId: 'b' }],
  ['/v1/group', basic('demo-client-key', ''), { groupId: 'b', userId: 'a', traits: {} }],
  [
    '/v1/batch',
    basic('demo-server-key', ''),
    { batch: [{ type: 'track', event: 'a', anonymousId: 'b' }], sentAt: '', context: {} },
  ],
  ['/v1/track', {}, { writeKey: 'demo-client-key', event: 'a', anonymousId: 'b' }],
  ['/otp', {}, { client_id: 'demo-miniprogram', channel: 'sms', to: '1' }],
  ['/api/v1/subjects/lookup', { authorization: `Bearer ${machine}` }, { kind: 'phone', value: '1', issuer: '' }],
  [
    '/api/v1/clients',
    { authorization: `Bearer ${machine}` },
    {
      client_id: 'c',
      name: 'n',
      redirect_uris: ['https://a.example/b'],
      grant_types: ['authorization_code'],
      methods: ['sms'],
      channel: 'website',
      appid: 'wx',
      origins: [],
      scope: '',
      party: 'first',
      source: 'sandbox',
    },
  ],
  [
    '/api/v1/write-keys',
    { authorization: `Bearer ${machine}` },
    { kind: 'client', name: 'n', client_ids: [], origins: [], channel: 'website', catalogue: {}, key: 'k' },
  ],
  ['/api/v1/connectors', { authorization: `Bearer ${machine}` }, { id: 'x', connector: 'sms', settings: {} }],
];

describe('nasty bodies', () => {
  it.each(jsonRoutes.map((route, index) => [`${route[0]} (${index + 1})`, ...route] as const))(
    '%s',
    async (_, path, headers, fields) => {
      const post = (body: string | Buffer, more: Record<string, string> = {}) => ({
        method: 'POST',
        path,
        headers: { ...json, ...headers, ...more },
        body,
      });
      const whole = Object.values(bodies).map((body) => post(body));
      const inOne = Object.keys(fields).flatMap((name) =>
        oddities.map((oddity) => post(JSON.stringify({ ...fields, [name]: oddity }))),
      );
      const inBatch = oddities.map((oddity) =>
        post(
          JSON.stringify({
            batch: [oddity, { type: 'track', event: 'ok', anonymousId: 'a', properties: { a: oddity } }],
          }),
        ),
      );
      const coded = [
        post(gzipSync(Buffer.alloc(3_000_000)), { 'content-encoding': 'gzip' }),
        post('no gzip', { 'content-encoding': 'gzip' }),
        post(gzipSync('{}').subarray(0, 12), { 'content-encoding': 'gzip' }),
        post('{}', { 'content-encoding': 'br' }),
        post('{}', { 'content-encoding': 'gzip, gzip' }),
        ...[
          'text/plain',
          'multipart/form-data',
          'application/xml',
          ';;;',
          'application/json; charset=utf-7',
          '\u00ff',
        ].map((type) => post('{}', { 'content-type': type })),
      ];
      const answers = await complaintsOf([...whole, ...inOne, ...inBatch, ...coded]);
      expect(answers).toEqual([]);
      expect(({} as { admin?: boolean }).admin).toBeUndefined();
    },
  );

  it('beyond every limit are refused by size', async () => {
    const big = Buffer.alloc(2_000_000, 'a');
    for (const path of ['/v1/batch', '/otp', '/api/v1/subjects/lookup', '/token']) {
      const type = path === '/token' ? form : json;
      const headers = { ...type, ...(path === '/v1/batch' ? basic('demo-server-key', '') : {}) };
      if (path.startsWith('/api')) Object.assign(headers, { authorization: `Bearer ${machine}` });
      // The connection may be closed while we still send.
      const answer = await send({ method: 'POST', path, headers, body: big }).catch(() => undefined);
      if (answer) expect([path, answer.status, complaintAbout(answer)]).toEqual([path, expect.any(Number), undefined]);
      if (answer) expect([400, 413]).toContain(answer.status);
    }
  });
});

const everyPath = [
  '/',
  '/authorize',
  '/token',
  '/otp',
  '/userinfo',
  '/revoke',
  '/introspect',
  '/par',
  '/logout',
  '/jwks',
]
  .concat(['/logout/confirm', `/login/${uid}`, `/login/${uid}/sms`, '/v1/track', '/v1/batch', '/v1/m', '/privacy'])
  .concat(['/v1/projects/demo-client-key/settings', '/api/v1/subjects/lookup', `/api/v1/subjects/${id}`, '/admin'])
  .concat(['/admin/sign-out', '/admin/callback', '/static/style.css', '/readyz', '/healthz', '/api/openapi.json'])
  .concat([
    '/.well-known/openid-configuration',
    '/device',
    '/register',
    '/nothing',
    '/wechat/x/callback',
    '/favicon.ico',
  ]);

describe('nasty requests', () => {
  it('of any method (G10)', async () => {
    const methods = [
      'GET',
      'HEAD',
      'POST',
      'PUT',
      'PATCH',
      'DELETE',
      'OPTIONS',
      'TRACE',
      'PROPFIND',
      'M-SEARCH',
      'QUERY',
    ];
    const requests = everyPath.flatMap((path) => methods.map((method) => ({ method, path })));
    const complaints = await complaintsOf(requests.filter(({ method }) => method !== 'HEAD'));
    expect(complaints).toEqual([]);
    const { status, text } = await send({ method: 'TRACE', path: '/', headers: { cookie: 'secret=1' } });
    expect([status, text.includes('secret')]).toEqual([405, false]);
  });

  it('with malformed headers', async () => {
    const authorizations = [
      'Basic',
      'Basic ',
      'Basic !!!',
      'Basic Og==',
      'Basic YQ==',
      `Basic ${btoa('\0:\0')}`,
      'Bearer',
    ]
      .concat([
        `Basic ${btoa('%:%')}`,
        `Basic ${btoa('%E0%A4%A:x')}`,
        'Bearer ',
        'Bearer a b',
        `Bearer ${'.'.repeat(9_000)}`,
      ])
      .concat([
        'Bearer eyJhbGciOiJub25lIn0.e30.',
        'DPoP x',
        'Digest username="a"',
        ' ',
        `Basic ${btoa('x'.repeat(9_000))}`,
      ])
      .concat([`Basic ${btoa('__proto__:x')}`, 'Bearer __proto__', `Bearer ${'A'.repeat(43)}`]);
    const cookies = [
      '=',
      ';;;',
      '_session=%',
      '_session=',
      '_session=\u00ff',
      `_session=${'x'.repeat(9_000)}`,
      'heyi_form=%00',
    ]
      .concat([`_interaction=${uid}; _interaction.sig=x`, 'heyi_login=v1.x.y', 'heyi_admin=a.b.c', '__proto__=1'])
      .concat(['heyi_session=x; heyi_session.sig=y', 'heyi_lang=%', 'heyi_interaction=\u0080', 'heyi_admin_flow=%7B']);
    const others: Record<string, string>[] = [
      { accept: '*/*;q=x' },
      { accept: 'text/html, '.repeat(500) },
      { 'accept-language': 'x'.repeat(5_000) },
      { origin: 'null' },
      { origin: 'http://[' },
      { 'x-forwarded-for': '::::' },
      { 'if-none-match': '*' },
      { range: 'bytes=0-99999999999' },
      { 'idempotency-key': '\u00ff' },
      { 'user-agent': '\u001b[31m'.replaceAll('\u001b', '') },
    ];
    const headers = [
      ...authorizations.map((authorization) => ({ authorization })),
      ...cookies.map((cookie) => ({ cookie })),
      ...others,
    ];
    const requests = everyPath.flatMap((path) =>
      headers.flatMap((one) => [
        { path, headers: one },
        { method: 'POST', path, headers: { ...form, ...one }, body: 'a=b' },
      ]),
    );
    expect(await complaintsOf(requests)).toEqual([]);
  });

  it('whose address is not in origin form', async () => {
    const paths = ['http://evil.example/authorize', '//evil.example/', '/%2f%2fevil.example', '/..%2f..%2fpackage.json']
      .concat(['/static/../../package.json', '/static/..%5c..%5cpackage.json', '/\\evil', '*', '/%', '/a?%', '/?&&&=&'])
      .concat(['/static/%2e%2e/%2e%2e/package.json', '/static/style.css%00.png', '/./token', '//token', '/token/']);
    const requests = paths.flatMap((path) => ['GET', 'POST'].map((method) => ({ method, path })));
    expect(await complaintsOf(requests)).toEqual([]);
    for (const path of paths) expect((await send({ path })).text).not.toContain('"devDependencies"');
  });

  it('that try to be two (G14) end the connection with 400', async () => {
    const raw = (text: string) =>
      new Promise<string>((resolve) => {
        let said = '';
        const socket = connect(app.config.port, '127.0.0.1', () => socket.write(text));
        socket.on('data', (chunk) => {
          said += chunk;
        });
        socket.on('close', () => resolve(said));
        socket.on('error', () => resolve(said));
      });
    const head = 'POST /token HTTP/1.1\r\nHost: a\r\n';
    for (const smuggled of [
      `${head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n`,
      `${head}Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef`,
      `${head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
      `${head}X-Folded: a\r\n b\r\nContent-Length: 0\r\n\r\n`,
      'GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n',
    ])
      expect(await raw(smuggled)).toMatch(/^HTTP\/1\.1 400 (?![\s\S]*HTTP\/1\.1 )/);
  });

  it('leave no error in the log and everything in working order', async () => {
    expect(lines).toEqual([]);
    expect((await attacker.redeem(await attacker.signIn('sms', freshPhone()))).status).toBe(200);
  });
});
