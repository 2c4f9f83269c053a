/** Connectors and write keys by `npx heyi`: what an operator without the console does on a production installation. */
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { SMTPServer } from 'smtp-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { projectRoot } from '../../src/config.ts';
import { listInstances } from '../../src/connectors/operators.ts';
import { catalogueReader } from '../../src/events/catalogue.ts';
import { ensurePartition } from '../../src/events/store.ts';
import { listWriteKeys } from '../../src/events/write-keys.ts';
import { createI18n } from '../../src/http/i18n.ts';
import { createLogger } from '../../src/log.ts';
import { buildNext } from '../../src/segments/build.ts';
import { createSegment } from '../../src/segments/segment.ts';
import { type ResolveInput, resolveSubject } from '../../src/subjects/resolve.ts';
import { runningApp } from '../helpers/app.ts';
import { noJobs } from '../helpers/jobs.ts';
import * as project from './project.ts';

const settings = {
  NODE_ENV: 'production',
  PUBLIC_URL: 'https://localhost:9',
  HEYI_SECRET: 'x'.repeat(20) + crypto.randomUUID(),
};
const { config, db, url, seal } = await runningApp(settings);
const base = project.temporaryFolder();
const folder = join(base, 'work');
/** Everything that a command or the server has said. */
const said: string[] = [];
let clone: string;

beforeAll(() => {
  clone = project.cloneProject(join(base, 'clone'));
  mkdirSync(folder);
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

async function run(command: string[], input = '') {
  const environment = { ...settings, DATABASE_URL: url, DATA_DIR: join(base, 'data') };
  const running = project.run(command, { cwd: folder, settings: environment });
  running.child.stdin?.end(input);
  const code = await running.ended;
  said.push(running.output(), running.complaints());
  return { code, out: running.output(), err: running.complaints() };
}
/** As in the container image, without the launcher: half the processes. */
const heyi = (args: string[], input?: string) =>
  run([process.execPath, join(clone, 'src/cli/main.ts'), ...args], input);
const launched = (args: string[], input: string) => run(['node', join(clone, 'setup/heyi.js'), ...args], input);
const listed = async () => JSON.parse((await heyi(['connector', 'list', '--json'])).out);
const audited = (action: string) => db('audit_entries').where({ action }).orderBy('id');

const password = 'never-show-this-password';

/** A relay that keeps the mails and wants the password. */
async function startRelay() {
  const mails: string[] = [];
  const relay = new SMTPServer({
    logger: false,
    hideSTARTTLS: true,
    allowInsecureAuth: true,
    onAuth: (auth, _session, done) => done(auth.password === password ? null : new Error('no'), { user: 'heyi' }),
    onData(stream, _session, done) {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        mails.push(Buffer.concat(chunks).toString('utf8'));
        done();
      });
    },
  });
  relay.listen(0, '127.0.0.1');
  await once(relay.server, 'listening');
  afterAll(() => new Promise<void>((resolve) => relay.close(() => resolve())));
  return { mails, port: (relay.server.address() as AddressInfo).port };
}

async function askForCode(to: string) {
  const answer = await fetch(`http://127.0.0.1:${config.port}/otp`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ client_id: 'mini', channel: 'email', to }),
  });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
}

describe('a production installation', () => {
  it('has no way of signing in, and its doctor names the command', async () => {
    const { out } = await heyi(['doctor', '--json']);
    expect(JSON.parse(out).checks).toContainEqual({
      check: 'connectors',
      state: 'warn',
      found: expect.any(String),
      advice: expect.stringContaining('npx heyi connector set'),
    });
    const { data, available } = await listed();
    expect(data).toEqual([]);
    expect(available.map(({ connector }: { connector: string }) => connector)).toContain('wechat-miniprogram');
    expect((await heyi(['connector', 'list'])).out).toBe(
      `Not set up: ${available.map(({ connector }: { connector: string }) => connector).join(', ')}. See "npx heyi connector set --help".\n`,
    );
    const client = ['--id', 'mini', '--name', 'Mini', '--appid', 'wx0000000000000001', '--method', 'email'];
    expect((await heyi(['client', 'create', ...client])).code).toBe(0);
    expect((await askForCode('li@example.com')).status).toBe(503);
  });

  it('sends a code as soon as a connector is set up from standard input, while the server runs', async () => {
    const relay = await startRelay();
    const wanted = { host: '127.0.0.1', user: 'heyi', password, from: 'no-reply@example.com' };
    const set = ['connector', 'set', 'email', '--settings', '-', '--set', `port=${relay.port}`, '--json'];
    const { code, out, err } = await launched(set, JSON.stringify(wanted));
    expect([code, err]).toEqual([0, '']);
    expect(JSON.parse(out)).toMatchObject({
      id: 'email',
      is_enabled: true,
      changed: expect.arrayContaining(['password', 'port']),
    });
    expect(await askForCode('li@example.com')).toMatchObject({ status: 200, body: { otp_id: expect.any(String) } });
    expect(relay.mails.join()).toContain('To: li@example.com');
    expect((await heyi(['doctor', '--json'])).out).toContain('"found": "email, and no text messages"');
  });

  it('ends sign-in by a connector that is disabled, and names one that is not there', async () => {
    expect(await heyi(['connector', 'disable', 'email'])).toMatchObject({ code: 0, out: 'email is disabled.\n' });
    expect((await askForCode('wang@example.com')).status).toBe(503);
    expect((await heyi(['connector', 'disable', 'email'])).code).toBe(0);
    expect(await audited('connector.disabled')).toHaveLength(1);
    expect((await heyi(['connector', 'list'])).out).toMatch(
      /^email +disabled +operator +\S+Z +host=127\.0\.0\.1 port=\d+/m,
    );
    const unknown = await heyi(['connector', 'disable', 'fax', '--json']);
    expect([unknown.code, JSON.parse(unknown.err).error.code]).toEqual([1, 'not_found']);
  });

  it('records what was changed and by which command, without values', async () => {
    const settings = {
      host: 'smtp.example.com',
      port: 465,
      secure: true,
      from: 'a@example.com',
      user: 'heyi',
      password,
    };
    writeFileSync(join(folder, 'email.json'), JSON.stringify(settings));
    await heyi(['connector', 'set', 'email', '--settings', 'email.json']);
    const again = [
      'connector',
      'set',
      'email',
      '--settings',
      'email.json',
      '--set',
      'sends_per_minute=7',
      '--set',
      'secure=false',
    ];
    expect((await heyi(again)).out).toBe('email is set up. Changed: secure, sends_per_minute.\n');
    expect((await audited('connector.configured')).at(-1)).toMatchObject({
      actor_kind: 'system',
      actor_id: 'heyi connector set',
      details: { connector_id: 'email', connector: 'email', changed: ['secure', 'sends_per_minute'] },
    });
    const [stored] = await listInstances({ db, seal });
    expect(stored).toMatchObject({ is_enabled: true, settings: { secure: false, sends_per_minute: 7 } });
  });
});

describe('heyi connector set', () => {
  const wrong = (args: string[], input?: string) => heyi(['connector', 'set', ...args], input);

  it('tells the settings of every connector, which of them are required, and which are secret', async () => {
    const { out } = await wrong(['--help']);
    expect(out).toContain('npx heyi connector set <connector>');
    expect(out).toMatch(/^ {2}access_key_secret +\(required, secret\)$/m);
    expect(out).toMatch(/^ {2}appid +its AppID \(required\)$/m);
  });

  it('ends with 2 when it is typed wrongly', async () => {
    expect(await wrong([])).toMatchObject({ code: 2, err: expect.stringContaining('<connector> is missing') });
    expect(await wrong(['email'])).toMatchObject({ code: 2, err: expect.stringContaining('--settings is missing') });
    expect(await wrong(['email', 'sms', '--settings', '-'])).toMatchObject({ code: 2 });
    expect(await wrong(['email', '--settings', 'nowhere.json'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('ENOENT'),
    });
    expect(await wrong(['email', '--set', 'port'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('name=value'),
    });
  });

  it('takes no secret as an option', async () => {
    expect(await wrong(['email', '--set', `password=${password}`])).toMatchObject({
      code: 2,
      err: expect.stringContaining('password is a secret'),
    });
  });

  it('names every fault, and repeats nothing of what it read', async () => {
    const faults = await wrong(['email', '--settings', '-'], JSON.stringify({ host: '', port: 0, pasword: password }));
    expect(faults.code).toBe(1);
    for (const name of ['host', 'port', 'from', 'pasword']) expect(faults.err).toContain(`- settings.${name}: `);
    expect(await wrong(['fax', '--settings', '-'], '{}')).toMatchObject({
      code: 1,
      err: expect.stringContaining('is one of sms'),
    });
    for (const input of [`{"password": "${password}"`, `["${password}"]`])
      expect(await wrong(['email', '--settings', '-'], input)).toMatchObject({
        code: 1,
        err: expect.stringMatching(/^Standard input (is not valid JSON|must be a JSON object)/),
      });
  });
});

describe('heyi write-key', () => {
  it('prints a key once, which then sends events; the list shows everything else', async () => {
    const options = [
      '--kind',
      'server',
      '--name',
      '订单系统',
      '--channel',
      'store',
      '--client',
      'mini',
      '--origin',
      'https://a.example',
    ];
    const made = JSON.parse((await heyi(['write-key', 'create', ...options, '--json'])).out);
    expect(made).toEqual({ id: expect.any(Number), key: expect.any(String) });
    const answer = await fetch(`http://127.0.0.1:${config.port}/v1/track`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Basic ${btoa(`${made.key}:`)}` },
      body: JSON.stringify({ event: 'order_paid', anonymousId: 'a1', messageId: 'm1' }),
    });
    expect(await answer.json()).toEqual({ success: true, rejected: [] });

    const { out } = await heyi(['write-key', 'list', '--json']);
    expect(JSON.parse(out).data).toMatchObject([
      {
        id: made.id,
        kind: 'server',
        name: '订单系统',
        channel: 'store',
        client_ids: ['mini'],
        origins: ['https://a.example'],
      },
    ]);
    const text = await heyi(['write-key', 'list']);
    expect(text.out).toMatch(/^\d+ +订单系统 +server +mini +https:\/\/a\.example +store +enabled$/m);

    const declaring = ['write-key', 'declare', String(made.id), '--by', '法务'];
    const declared = await heyi([...declaring, '--consent', 'profiling', '--consent', 'marketing']);
    expect(declared.out).toContain('订单系统 declares profiling, marketing, by 法务.');
    expect((await heyi([...declaring, '--consent', 'everything'])).err).toContain('- --consent: ');
    expect(await audited('write_key.consents_declared')).toMatchObject([
      { actor_id: 'heyi write-key declare', details: { by: '法务', purposes: ['profiling', 'marketing'] } },
    ]);
    const audit = await audited('write_key.created');
    expect(audit).toMatchObject([
      { actor_id: 'heyi write-key create', details: { write_key_id: made.id, kind: 'server' } },
    ]);
    expect(out + text.out + JSON.stringify([audit, await db('write_keys')])).not.toContain(made.key);
  });

  it('refuses what the API refuses, by option', async () => {
    const options = [
      '--kind',
      'admin',
      '--name',
      'x',
      '--origin',
      'https://a.example',
      '--origin',
      'https://b.example/',
      '--channel',
      'A B',
    ];
    const { code, err } = await heyi(['write-key', 'create', ...options]);
    expect(code).toBe(1);
    for (const option of ['--kind', '--origin (number 2)', '--channel']) expect(err).toContain(`- ${option}: `);
    expect((await heyi(['write-key', 'create', '--name', 'x'])).code).toBe(2);
    expect(await listWriteKeys(db)).toHaveLength(1);
  });
});

describe('heyi reviewer', () => {
  it('lists a number with a fixed code, shows it without, and takes it off again', async () => {
    const added = await heyi(['reviewer', 'add', '--phone', '138 0013 9999', '--days', '7', '--note', 'version 2.1']);
    expect(added.out).toMatch(/^138\*{4}9999 signs in with the code \d{6} until 20/);
    const code = /code (\d{6})/.exec(added.out)?.[1] ?? 'none';
    const { out } = await heyi(['reviewer', 'list']);
    expect(out).toMatch(/138\*{4}9999 +signs in +20\S+ +version 2\.1/);
    expect(out).not.toContain(code);
    expect((await heyi(['reviewer', 'remove', '--phone', '+8613800139999'])).code).toBe(0);
    expect((await heyi(['reviewer', 'list'])).out).toContain('No number');
    expect((await audited('reviewer.added'))[0]).toMatchObject({ actor_id: 'heyi reviewer add' });
  });
  it('refuses a number that is somebody’s, and what is no number of days', async () => {
    const proofs: ResolveInput['proofs'] = [
      { connector: 'sms', identities: [{ kind: 'phone', issuer: '', external_id: '+8613800139998' }] },
    ];
    await resolveSubject({ db, seal, jobs: noJobs }, { proofs, create: true, context: { channel: 'website' } });
    const taken = await heyi(['reviewer', 'add', '--phone', '13800139998']);
    expect([taken.code, taken.err]).toEqual([1, expect.stringContaining('somebody’s way of signing in')]);
    const endless = await heyi(['reviewer', 'add', '--phone', '13800139997', '--days', 'many']);
    expect([endless.code, endless.err]).toEqual([1, expect.stringContaining('- days: is a number from 1 to 90')]);
  });
});

describe('docs/connectors.md', () => {
  const page = readFileSync(join(projectRoot, 'docs/connectors.md'), 'utf8');

  it('has commands that do what it says, with the settings it shows', async () => {
    const shell = `npx() { shift; '${process.execPath}' '${join(clone, 'src/cli/main.ts')}' "$@"; }\nset -e\n`;
    const ran: string[] = [];
    const blocks = page.matchAll(/(?:^`([\w.]+)`[^\n]*\n\n)?```(json|sh)\n(.*?)```/gms);
    for (const [, file, kind, text = ''] of blocks) {
      if (kind === 'json') writeFileSync(join(folder, file ?? ''), text);
      if (kind === 'json' || text.startsWith('docker')) continue;
      const { code, err } = await run(['sh', '-c', shell + text]);
      expect([code, err], text).toEqual([0, '']);
      ran.push(text);
    }
    expect(ran.length).toBeGreaterThan(4);
    const instances = await listInstances({ db, seal });
    expect(instances.map(({ id, is_enabled }) => [id, is_enabled])).toEqual([
      ['email', true],
      ['sms', true],
      ['upstream-oidc:group', true],
      ['wechat-miniprogram:wx0123456789abcdef', true],
      ['wechat-official:wx2123456789abcdef', true],
      ['wechat-web:wx1123456789abcdef', true],
    ]);
    expect(instances[0]?.settings).toMatchObject({ host: 'relay.internal', port: 25 });
    for (const name of ['sms.json', 'email.json', 'miniprogram.json'])
      expect(existsSync(join(folder, name))).toBe(false);
    expect((await db('clients').select('client_id')).map(({ client_id }) => client_id)).toEqual(
      expect.arrayContaining(['website', 'miniprogram']),
    );
  });
});

it('no command has printed a secret, and none is in the audit record', async () => {
  expect(said.length).toBeGreaterThan(30);
  expect(said.join('\n')).not.toMatch(/never-show|the secret of this key|the AppSecret of this/);
  expect(JSON.stringify(await db('audit_entries'))).not.toMatch(
    /never-show|the secret of this key|the AppSecret of this/,
  );
});

describe('heyi events', () => {
  it('writes a month into a file and brings it back, and segments that can see it are built again', async () => {
    const at = '2026-10-05T00:00:00Z';
    await ensurePartition(db, new Date(at));
    await db.raw(
      `insert into events (id, received_at, "timestamp", source_id, message_key, type, event, channel, trust, properties)
       select uuid_v7(), :at::timestamptz, :at::timestamptz, id, uuid_v7(), 'track', 'visited', 'website', 'claimed', '{}' from write_keys limit 1`,
      { at },
    );
    const clock = systemClock;
    const services = { clock, readCatalogue: catalogueReader({ db, clock }), translate: createI18n().translator('en') };
    const definition = { version: 1, key: 'ever', name: 'Ever', purpose: 'service', where: { event: 'visited' } };
    await db.transaction((trx) => createSegment(trx, services, definition, 'test'));
    await buildNext({ db, clock, log: createLogger({ level: 'silent' }) });

    const { out } = await heyi(['events', 'export', '--month', '2026-10', '--folder', base, '--json']);
    const file = join(base, 'events-2026-10.ndjson.gz');
    expect(JSON.parse(out)).toEqual({ month: '2026-10', file, events: 1 });
    await db('events').delete();
    expect(await db('segment_builds').where({ status: 'building' })).toEqual([]);
    expect(JSON.parse((await heyi(['events', 'import', file, '--json'])).out)).toEqual({ events: 1, stored: 1 });
    expect(await db('segment_builds').where({ status: 'building' })).toHaveLength(1);
    const { code, err } = await heyi(['events', 'import', join(base, 'other.gz')]);
    expect([code, err]).toEqual([1, expect.stringContaining('no such file')]);
  });
});
