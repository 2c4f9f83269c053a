import { beforeAll, describe, expect, test } from 'vitest';
import { createConnectors, connectors as known } from '../../src/connectors/registry.ts';
import { testServices } from '../connectors/services.ts';
import { testDatabase } from '../helpers/database.ts';
import { type Answer, type Send, serveApi } from './http.ts';

const { db } = await testDatabase();
const services = testServices(db);
const { seal } = services;
const connectors = createConnectors(services);

let send: Send;
let log: () => string;
beforeAll(async () => {
  ({ send, log } = await serveApi({
    db,
    seal,
    authenticate: async (client_id) => ({ client_id, scopes: ['settings:write'] }),
  }));
});

const answers: string[] = [];
async function keep(answer: Promise<Answer>): Promise<Answer> {
  answers.push(JSON.stringify([(await answer).headers, (await answer).text]));
  return answer;
}
const post = (body: unknown, key?: string) =>
  keep(
    send('POST', '/api/v1/connectors', {
      token: 'console',
      body,
      ...(key !== undefined && { headers: { 'idempotency-key': key } }),
    }),
  );
const list = (query = '') => keep(send('GET', `/api/v1/connectors${query}`, { token: 'console' }));
const data = (answer: Answer) => answer.body.data as Record<string, unknown>[];
const audited = () => db('audit_entries').where('action', 'like', 'connector.%').orderBy('id');

const sms = {
  provider: 'aliyun',
  access_key_id: 'LTAI-of-the-test',
  access_key_secret: 'never-show-this-key',
  sign_name: '合一',
  template_code: 'SMS_1',
};
const email = {
  host: 'smtp.example.com',
  port: 465,
  secure: true,
  user: 'heyi',
  password: 'never-show-this-password',
  from: '合一 <no-reply@example.com>',
};
const app = { appid: 'wx00000000000000a1', secret: 'never-show-this-app-secret', open_platform: 'company' };
const appId = `wechat-miniprogram:${app.appid}`;

describe('POST /connectors', () => {
  test('200 with the connector as it is listed, and it can be used at once', async () => {
    expect(await connectors.forms()).toEqual([]);
    const { password: _, ...shown } = email;
    const made = await post({ connector: 'email', settings: email });
    expect(made).toMatchObject({ status: 200 });
    expect(made.body).toEqual({
      id: 'email',
      connector: 'email',
      is_enabled: true,
      source: 'operator',
      updated_at: expect.stringMatching(/Z$/),
      settings: { ...shown, sends_per_minute: 300 },
    });
    expect(data(await list())).toEqual([made.body]);
    expect(await connectors.forms()).toEqual([{ name: 'email', field: 'email' }]);
  });

  test('200 for one connector of each app, whose id follows from the appid', async () => {
    expect(await post({ connector: 'wechat-miniprogram', settings: app })).toMatchObject({
      status: 200,
      body: { id: appId, settings: { appid: app.appid, open_platform: 'company' } },
    });
    const other = { ...app, appid: 'wx00000000000000a2' };
    expect(
      await post({ id: `wechat-miniprogram:${other.appid}`, connector: 'wechat-miniprogram', settings: other }),
    ).toMatchObject({ status: 200 });
    expect(data(await list()).map(({ id }) => id)).toEqual(
      expect.arrayContaining([appId, 'wechat-miniprogram:wx00000000000000a2']),
    );
  });

  test('200 replaces all settings, and says in the audit record who changed which, and no value', async () => {
    await post({ connector: 'sms', settings: { ...sms, sends_per_minute: 5 } });
    const replaced = await post({
      connector: 'sms',
      settings: { ...sms, access_key_secret: 'never-show-the-second-key' },
    });
    expect(replaced.body.settings).toMatchObject({ sends_per_minute: 300 });
    const entries = (await audited()).filter(({ details }) => details.connector_id === 'sms');
    expect(entries).toMatchObject([
      { actor_kind: 'client', actor_id: 'console', client_id: 'console', ip: expect.any(String) },
      {
        action: 'connector.configured',
        request_id: replaced.headers['x-request-id'] ?? expect.any(String),
        details: { connector_id: 'sms', connector: 'sms', changed: ['access_key_secret', 'sends_per_minute'] },
      },
    ]);
    expect(entries[0].details.changed).toEqual(
      [...Object.keys(sms), 'base_url', 'sends_per_day', 'sends_per_minute'].sort(),
    );
  });

  test('200 takes what the sandbox had set up, and enables what was disabled', async () => {
    const settings = { ...app, appid: 'wx00000000000000a3' };
    const id = `wechat-miniprogram:${settings.appid}`;
    await connectors.configure({ id, connector: 'wechat-miniprogram', settings, source: 'sandbox' });
    await connectors.disableSandbox();
    expect(data(await list()).find((item) => item.id === id)).toMatchObject({ source: 'sandbox', is_enabled: false });
    const answer = await post({ connector: 'wechat-miniprogram', settings });
    expect(answer.body).toMatchObject({ source: 'operator', is_enabled: true });
  });

  test('200 again for a repeated Idempotency-Key, ten at once included, with one effect', async () => {
    const body = { connector: 'sms', settings: { ...sms, sign_name: '一次' } };
    const before = (await audited()).length;
    const answers = await Promise.all(Array.from({ length: 10 }, () => post(body, 'k-connector')));
    expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(200));
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect((await audited()).length - before).toBe(1);
    expect(JSON.stringify(await db('idempotency_keys'))).not.toMatch(/never-show/);
  });

  test('422 for the same key with other settings, which change nothing', async () => {
    await post({ connector: 'sms', settings: sms }, 'k-other');
    const answer = await post({ connector: 'sms', settings: { ...sms, sign_name: '别的' } }, 'k-other');
    expect(answer).toMatchObject({ status: 422, body: { error: { code: 'idempotency_key_reused' } } });
    expect(data(await list()).find(({ id }) => id === 'sms')).toMatchObject({ settings: { sign_name: '合一' } });
  });

  const { access_key_secret: _, ...withoutSecret } = sms;
  test.each([
    ['no settings', { connector: 'sms' }, ['settings']],
    ['settings that are a list', { connector: 'sms', settings: [] }, ['settings']],
    ['no connector', { settings: sms }, ['connector']],
    ['an unknown connector', { connector: 'fax', settings: {} }, ['connector']],
    ['the id of another', { id: 'email', connector: 'sms', settings: sms }, ['id']],
    ['a second one of a form', { id: 'sms:2', connector: 'sms', settings: sms }, ['id']],
    ['an origin of its own', { connector: 'sms', settings: sms, source: 'sandbox' }, ['source']],
    ['an unknown provider', { connector: 'sms', settings: { ...sms, provider: 'pigeon' } }, ['settings.provider']],
    [
      'a secret left out: the stored one is not taken',
      { connector: 'sms', settings: withoutSecret },
      ['settings.access_key_secret'],
    ],
    [
      'every fault at once',
      {
        connector: 'sms',
        settings: { provider: 'aliyun', sign_name: '【合一】', template_code: 'x', sends_per_minut: 1 },
      },
      ['access_key_id', 'access_key_secret', 'sends_per_minut', 'sign_name', 'template_code'].map(
        (name) => `settings.${name}`,
      ),
    ],
    ['a misspelt setting', { connector: 'email', settings: { ...email, form: 'x' } }, ['settings.form']],
    ['half a log-in', { connector: 'email', settings: { ...email, user: undefined } }, ['settings.password']],
    [
      'plain http',
      { connector: 'wechat-miniprogram', settings: { ...app, base_url: 'http://wx.example.com' } },
      ['settings.base_url'],
    ],
    [
      'something that is no appid',
      { connector: 'wechat-miniprogram', settings: { ...app, appid: 'never-show-x' } },
      ['settings.appid'],
    ],
  ])('400 for %s, by field', async (_what, body, fields) => {
    const before = await db('connectors').orderBy('id');
    const answer = await post(body);
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid_fields' } } });
    expect(Object.keys(answer.body.error?.fields ?? {}).sort()).toEqual(fields);
    expect(await db('connectors').orderBy('id')).toEqual(before);
  });

  test('400 for __proto__ among the settings changes no object (E5)', async () => {
    await post(`{"connector":"sms","settings":{"__proto__":{"polluted":"x"},"provider":"aliyun"}}`);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  test('400 for a thousand unknown settings answers with fifty', async () => {
    const settings = Object.fromEntries(Array.from({ length: 1_000 }, (_, at) => [`unknown_${at}`, at]));
    const answer = await post({ connector: 'sms', settings });
    expect(Object.keys(answer.body.error?.fields ?? {})).toHaveLength(50);
  });
});

describe('GET /connectors', () => {
  test('200 with the schema of what each connector takes, in which secrets are write-only', async () => {
    const { available } = (await list()).body as {
      available: { connector: string; kind: string; settings_schema: Schema }[];
    };
    type Schema = { type: string; properties: Record<string, object>; required: string[] };
    const find = (name: string) => available.find(({ connector }) => connector === name);
    expect(available.map(({ connector }) => connector)).toEqual(known.map(({ name }) => name));
    expect(find('wechat-miniprogram')).toMatchObject({
      kind: 'exchange',
      settings_schema: {
        type: 'object',
        required: ['appid', 'secret'],
        properties: { secret: { type: 'string', writeOnly: true }, base_url: { default: 'https://api.weixin.qq.com' } },
      },
    });
    expect(find('wechat-miniprogram')?.settings_schema.properties.appid).not.toHaveProperty('writeOnly');
    expect(find('email')?.settings_schema.properties).toMatchObject({ password: { writeOnly: true } });
  });

  test('200 with every connector once, page by page, all with the same list of what there is', async () => {
    const whole = data(await list('?limit=1000'));
    const first = await list('?limit=2');
    const second = await list(`?limit=1000&cursor=${first.body.next_cursor}`);
    expect(whole.length).toBeGreaterThan(3);
    expect([...data(first), ...data(second)]).toEqual(whole);
    expect(second.body).toMatchObject({ next_cursor: null, available: first.body.available });
  });

  test('200 with null in place of settings that this version cannot read any more', async () => {
    const settings_sealed = seal.seal(JSON.stringify({ host: 'never-show-this-host' }), 'connectors');
    await db('connectors').where({ id: 'email' }).update({ settings_sealed });
    expect(data(await list()).find(({ id }) => id === 'email')).toMatchObject({ is_enabled: true, settings: null });
    const { port: _, ...incomplete } = email;
    expect((await post({ connector: 'email', settings: incomplete })).status).toBe(400);
    expect(await post({ connector: 'email', settings: email })).toMatchObject({
      status: 200,
      body: { settings: { port: 465 } },
    });
  });
});

test('no secret is in any answer, log line or audit record, and none is stored in clear', async () => {
  expect(answers.length).toBeGreaterThan(30);
  expect(answers.join('\n')).not.toMatch(/never-show/);
  expect(log()).toContain('"path":"/api/v1/connectors"');
  expect(log()).not.toMatch(/never-show/);
  expect(JSON.stringify([await db('audit_entries'), await db('connectors')])).not.toMatch(/never-show/);
});
