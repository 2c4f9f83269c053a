import { createTransport } from 'nodemailer';
import { describe, expect, test } from 'vitest';
import { parseMail } from '../../src/sandbox/mail/message.ts';
import { startWorld } from './world.ts';

const { smtpPort, call } = await startWorld();
const transport = createTransport({ host: '127.0.0.1', port: smtpPort, secure: false });
const inbox = async (to: string) =>
  (await call('GET', `/inbox?to=${encodeURIComponent(to)}`)).body.messages as Record<string, string>[];
const from = '合一 <no-reply@heyi.localhost>';

describe('a mail by nodemailer', () => {
  test('arrives with Chinese subject and text, and the code in it', async () => {
    await transport.sendMail({
      from,
      to: 'Xiaoman@Example.com',
      subject: '登录验证码：这是一个比较长的主题，会被折成好几行编码词',
      text: '您的验证码是 204816。\n\n五分钟内有效 = 请勿转发。',
      html: '<p>您的验证码是 <b>999999</b></p>',
    });
    expect(await inbox('xiaoman@example.com')).toEqual([
      {
        to: 'xiaoman@example.com',
        channel: 'email',
        subject: '登录验证码：这是一个比较长的主题，会被折成好几行编码词',
        text: '您的验证码是 204816。\n\n五分钟内有效 = 请勿转发。',
        code: '204816',
        received_at: expect.any(String),
      },
    ]);
  });

  test.each(['quoted-printable', 'base64'] as const)('is read in %s', async (textEncoding) => {
    const text = `Straße, 合一 123456, ${'long line '.repeat(30)}=end`;
    await transport.sendMail({ from, to: `${textEncoding}@example.com`, subject: 'Code', text, textEncoding });
    expect((await inbox(`${textEncoding}@example.com`))[0]).toMatchObject({ text, code: '123456', subject: 'Code' });
  });

  test('is put into the inbox of every recipient, and has no code when it names none', async () => {
    await transport.sendMail({ from, to: ['a@example.com', 'b@example.com'], subject: 'Hello', text: 'Order 1234567' });
    for (const to of ['a@example.com', 'b@example.com']) expect((await inbox(to))[0]).toMatchObject({ code: null });
  });

  test('without a text part is refused, so that its sender notices', async () => {
    const sent = transport.sendMail({ from, to: 'c@example.com', subject: 'x', html: '<p>only this</p>' });
    await expect(sent).rejects.toMatchObject({ responseCode: 554 });
    expect(await inbox('c@example.com')).toEqual([]);
  });
});

describe('faults of the mailbox', () => {
  const send = () => transport.sendMail({ from, to: 'faults@example.com', subject: 'x', text: 'code 111111' });

  test('refuses with the ordered reply, so many times', async () => {
    await call('PUT', '/faults', { target: 'smtp', errcode: 550, errmsg: '5.1.1 No such user', times: 1 });
    await expect(send()).rejects.toMatchObject({ responseCode: 550 });
    await send();
    expect(await inbox('faults@example.com')).toHaveLength(1);
  });

  test('drops the connection before or after the mail was taken', async () => {
    await call('PUT', '/faults', { target: 'smtp', reset: true, times: 1 });
    await expect(send()).rejects.toThrow();
    expect(await inbox('faults@example.com')).toHaveLength(1);
    await call('PUT', '/faults', { target: 'smtp', reset: 'after', times: 1 });
    await expect(send()).rejects.toThrow();
    expect(await inbox('faults@example.com')).toHaveLength(2);
  });
});

describe('the mail parser', () => {
  test.each([
    [
      'a soft line break',
      'Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n=E5=90=88=\n=E4=B8=80',
      '合一',
    ],
    ['no headers that say anything', 'Subject: x\n\nplain', 'plain'],
    ['another charset', 'Content-Type: text/plain; charset=gbk\nContent-Transfer-Encoding: base64\n\nus/Suw==', '合一'],
    [
      'parts within parts',
      'Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/alternative; boundary="b"\n\n--b\n\ninner\n--b--\n--a--\n',
      'inner',
    ],
  ])('reads %s', (_, source, text) => {
    expect(parseMail(Buffer.from(source)).text).toBe(text);
  });

  test.each([
    ['an unknown transfer encoding', 'Content-Transfer-Encoding: x-uu\n\na'],
    ['a multipart that is not closed', 'Content-Type: multipart/mixed; boundary=a\n\n--a\n\ntext\n'],
    [
      'bytes that are not of the charset',
      'Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n=FF',
    ],
    ['a header without a name', 'nonsense\n\na'],
    ['no body', 'Subject: x'],
  ])('refuses %s', (_, source) => {
    expect(() => parseMail(Buffer.from(source))).toThrow();
  });

  test('joins encoded words and decodes both kinds', () => {
    const source = 'Subject: =?utf-8?B?5ZCI?=\n =?UTF-8?Q?=E4=B8=80_one?= plain\n\nx';
    expect(parseMail(Buffer.from(source)).subject).toBe('合一 one plain');
  });
});
