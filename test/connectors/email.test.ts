import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type Socket } from 'node:net';
import { SMTPServer } from 'smtp-server';
import { afterAll, describe, expect, it } from 'vitest';
import { createConnectors } from '../../src/connectors/registry.ts';
import { testDatabase } from '../helpers/database.ts';
import { closedPort } from './fakes.ts';
import { asking, codeOf, errorOf, newPerson, testServices, windowsEnd } from './services.ts';

type Mail = { from: string; to: string[]; raw: string };

const { db } = await testDatabase();
const mails: Mail[] = [];
const relay = new SMTPServer({
  authOptional: true,
  logger: false,
  onAuth(auth, _session, done) {
    if (auth.username === 'heyi' && auth.password === 'p4ss-w0rd') done(null, { user: 'heyi' });
    else done(Object.assign(new Error('authentication failed'), { responseCode: 535 }));
  },
  onRcptTo(address, _session, done) {
    if (address.address.startsWith('nobody'))
      return done(Object.assign(new Error('no such user'), { responseCode: 550 }));
    if (address.address.startsWith('later')) return done(Object.assign(new Error('greylisted'), { responseCode: 450 }));
    done();
  },
  onData(stream, session, done) {
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      const { mailFrom, rcptTo } = session.envelope;
      const from = mailFrom ? mailFrom.address : '';
      mails.push({ from, to: rcptTo.map(({ address }) => address), raw: Buffer.concat(chunks).toString('utf8') });
      done();
    });
  },
});
relay.listen(0, '127.0.0.1');
await once(relay.server, 'listening');
afterAll(() => new Promise<void>((resolve) => relay.close(() => resolve())));

const services = testServices(db);
const connectors = createConnectors(services);
const settings = {
  host: '127.0.0.1',
  port: (relay.server.address() as AddressInfo).port,
  from: '合一 <no-reply@heyi.example>',
};
const configure = (changes = {}) =>
  connectors.configure({ id: 'email', connector: 'email', settings: { ...settings, ...changes } });
await configure();

/** The text or HTML of a mail, decoded. */
function part({ raw }: Mail, type: string): string {
  const found = raw.split(/\r\n--/).find((piece) => piece.toLowerCase().includes(`content-type: ${type}`)) ?? '';
  const [head = '', ...body] = found.split('\r\n\r\n');
  const text = body.join('\r\n\r\n');
  if (/encoding: base64/i.test(head)) return Buffer.from(text, 'base64').toString('utf8');
  if (!/encoding: quoted-printable/i.test(head)) return text;
  const bytes = text
    .replace(/=\r\n/g, '')
    .replace(/=([\dA-F]{2})/g, (_all, hex) => String.fromCharCode(parseInt(hex, 16)));
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

const codeIn = (mail: Mail | undefined) => (mail ? (/^\s*(\d{6})\s*$/m.exec(part(mail, 'text/plain'))?.[1] ?? '') : '');

describe('a code by mail', () => {
  it('proves the address it was sent to', async () => {
    const { email } = newPerson();
    const started = await connectors.start('email', asking(` ${email.toUpperCase()} `));
    expect(started.masked_to).toBe('p***@example.com');
    const mail = mails.at(-1);
    expect(mail).toMatchObject({ from: 'no-reply@heyi.example', to: [email] });
    const input = { otp_id: started.otp_id, code: codeIn(mail), purpose: 'login' as const, binding: 'browser-1' };
    expect(await connectors.verify('email', input)).toEqual({
      connector: 'email',
      identities: [{ kind: 'email', issuer: '', external_id: email }],
    });
  });

  it.each([
    ['zh-CN', '您的验证码是', '<html lang="zh-CN">'],
    ['en-GB', 'your code is', '<html lang="en">'],
    ['fr', 'your code is', '<html lang="en">'],
  ])('speaks %s', async (locale, sentence, html) => {
    await connectors.start('email', { ...asking(newPerson().email), locale });
    const mail = mails.at(-1) ?? { from: '', to: [], raw: '' };
    expect(part(mail, 'text/plain')).toContain(sentence);
    expect(part(mail, 'text/html')).toContain(html);
    expect(part(mail, 'text/html')).toContain(codeIn(mail));
    expect(mail.raw).toMatch(/^Auto-Submitted: auto-generated/m);
    expect(mail.raw).not.toMatch(/\{\{|undefined/);
  });

  it('B12: holds no link that a scanner could open, and no code in its subject', async () => {
    await connectors.start('email', asking(newPerson().email));
    const mail = mails.at(-1) ?? { from: '', to: [], raw: '' };
    expect(part(mail, 'text/html') + part(mail, 'text/plain')).not.toMatch(/https?:|href|src=/i);
    expect(/^Subject: .*$/m.exec(mail.raw)?.[0]).not.toContain(codeIn(mail));
  });

  it('B13: never becomes a second recipient or header', async () => {
    const before = mails.length;
    for (const to of ['a@x.com\r\nBcc: b@x.com', 'a@x.com,b@x.com', 'a@x.com\nRCPT TO:<b@x.com>']) {
      expect(await codeOf(connectors.start('email', asking(to)))).toBe('email_invalid');
    }
    expect(mails).toHaveLength(before);
  });

  it('B6: counts one mailbox under all its tags', async () => {
    const name = newPerson().email.split('@')[0];
    await connectors.start('email', asking(`${name}+1@example.com`));
    expect(await codeOf(connectors.start('email', asking(`${name}+2@example.com`)))).toBe('code_too_soon');
  });

  it('logs neither address nor code', async () => {
    const { email } = newPerson();
    await connectors.start('email', asking(email));
    await codeOf(connectors.start('email', asking(`nobody-${email}`)));
    expect(services.logged()).not.toContain(email);
    expect(services.logged()).not.toContain(codeIn(mails.at(-1)));
  });
});

describe('B11: a relay that fails', () => {
  it('says that a recipient is refused', async () => {
    expect(await codeOf(connectors.start('email', asking('nobody@example.com')))).toBe('send_refused');
  });
  it('asks for patience when the relay does, and counts nothing', async () => {
    for (let n = 0; n < 7; n++) {
      expect(await codeOf(connectors.start('email', asking('later@example.com')))).toBe('upstream_unavailable');
    }
  });
  it('tells the operator of a wrong password, and the person to try later', async () => {
    await configure({ user: 'heyi', password: 'wr0ng-secret' });
    expect(await codeOf(connectors.start('email', asking(newPerson().email)))).toBe('upstream_unavailable');
    expect(services.logged()).toMatch(/"level":"error".*EAUTH/);
    expect(services.logged()).not.toContain('wr0ng-secret');
    await configure({ user: 'heyi', password: 'p4ss-w0rd' });
    await connectors.start('email', asking(newPerson().email));
    await configure();
  });
  it('sends no password over a connection that is not encrypted', async () => {
    // A relay that is not this machine by name, and offers no TLS.
    const seen: string[] = [];
    const plain = createServer((socket) => {
      socket.write('220 ready\r\n');
      socket.on('data', (data) => {
        seen.push(data.toString());
        socket.write(data.toString().startsWith('EHLO') ? '250-hi\r\n250 AUTH PLAIN LOGIN\r\n' : '502 no\r\n');
      });
    }).listen(0, '0.0.0.0');
    await once(plain, 'listening');
    const port = (plain.address() as AddressInfo).port;
    // 127.1 is this machine in a spelling that counts as another.
    await configure({ host: '127.1', port, user: 'heyi', password: 'p4ss-w0rd' });
    expect(await codeOf(connectors.start('email', asking(newPerson().email)))).toBe('upstream_unavailable');
    expect(seen.join('')).toContain('STARTTLS');
    expect(seen.join('')).not.toContain('AUTH');
    plain.close();
    await configure();
  });
  it('gives back everything when there is no connection', async () => {
    const { email } = newPerson();
    await configure({ port: await closedPort() });
    for (let n = 0; n < 7; n++)
      expect((await errorOf(connectors.start('email', asking(email)))).retryAfterSeconds).toBe(5);
    await configure();
    await connectors.start('email', asking(email));
  });
  it('gives up on a relay that drips, within five seconds', async () => {
    const sockets: Socket[] = [];
    const drip = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => {});
      socket.write('220 ready\r\n');
      const timer = setInterval(() => socket.write('250-and another thing\r\n'), 500);
      socket.on('close', () => clearInterval(timer));
    }).listen(0, '127.0.0.1');
    await once(drip, 'listening');
    await windowsEnd(db);
    await configure({ port: (drip.address() as AddressInfo).port });
    const start = performance.now();
    expect(await codeOf(connectors.start('email', asking(newPerson().email)))).toBe('upstream_unavailable');
    expect(performance.now() - start).toBeLessThan(6_000);
    for (const socket of sockets) socket.destroy();
    drip.close();
    await configure();
  });
});
