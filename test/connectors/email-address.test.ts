import { describe, expect, it } from 'vitest';
import { mailboxOf, maskEmail, parseEmail } from '../../src/connectors/email-address.ts';

describe('B13: one spelling of an e-mail address', () => {
  it.each([
    ['Li.Lei@Example.COM', 'li.lei@example.com'],
    ['  li@example.com ', 'li@example.com'],
    ['ｌｉ＠ｅｘａｍｐｌｅ．ｃｏｍ', 'li@example.com'],
    ['li@bücher.example', 'li@xn--bcher-kva.example'],
    ['li@中文.中国', 'li@xn--fiq228c.xn--fiqs8s'],
    ['li+shop@example.com', 'li+shop@example.com'],
    ['li.lei@gmail.com', 'li.lei@gmail.com'],
    ["o'neil_x-1@sub.example.co", "o'neil_x-1@sub.example.co"],
  ])('%j is %s', (text, address) => {
    expect(parseEmail(text)).toBe(address);
    expect(parseEmail(address)).toBe(address);
  });

  it.each([
    'a@x.com\r\nBcc: victim@example.com',
    'a@x.com\n',
    'a\u0000@x.com',
    'a@x.com\u2028Bcc: b@x.com',
    'a@x.com,b@x.com',
    'a@x.com;b@x.com',
    'A <a@x.com>',
    '"a b"@x.com',
    'a b@x.com',
    'a@b@x.com',
    '.a@x.com',
    'a..b@x.com',
    'a@localhost',
    'a@[127.0.0.1]',
    'a@127.0.0.1',
    'a@-x.com',
    'a@x.com.',
    'лі@example.com',
    `${'a'.repeat(65)}@x.com`,
    `a@${'b.'.repeat(150)}com`,
    '@x.com',
    'a@',
    '',
  ])('%j is refused', (text) => {
    expect(() => parseEmail(text)).toThrow(expect.objectContaining({ code: 'email_invalid' }));
  });

  it('counts mails to one mailbox whatever tag is put on its name', () => {
    expect(mailboxOf('li+1@example.com')).toBe('li@example.com');
    expect(mailboxOf('li@example.com')).toBe('li@example.com');
    expect(mailboxOf('+1@example.com')).not.toBe('@example.com');
  });

  it('shows the first letter and the domain', () => {
    expect(maskEmail('li.lei@example.com')).toBe('l***@example.com');
    expect(maskEmail('x@example.com')).toBe('x***@example.com');
  });
});
