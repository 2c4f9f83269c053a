import { describe, expect, it } from 'vitest';
import { maskPhone, parsePhone } from '../../src/connectors/phone-number.ts';

const refusal = (text: string, regions?: string[]) => {
  try {
    return parsePhone(text, regions);
  } catch (error) {
    return (error as { code: string }).code;
  }
};

describe('B8: one spelling of a phone number', () => {
  it.each([
    '13800138000',
    '+8613800138000',
    '0086 13800138000',
    '86 138-0013-8000',
    '8613800138000',
    '＋８６ １３８００１３８０００',
    '１３８００１３８０００',
    '138 0013 8000',
    '(+86) 138.0013.8000',
    '138—0013—8000',
    '\u202d13800138000\u202c',
    ' 13800138000\n',
    '013800138000',
  ])('%j is +8613800138000', (text) => {
    expect(parsePhone(text, ['86'])).toBe('+8613800138000');
  });

  it.each(['19412345678', '17112345678', '16212345678', '14912345678', '15412345678'])(
    '%s is taken although metadata may not know its range yet',
    (text) => {
      expect(parsePhone(text, ['86'])).toBe(`+86${text}`);
    },
  );

  it.each([
    '',
    '1380013800',
    '138001380000',
    '12345678901',
    '10012345678',
    '075512345678',
    '+8675512345678',
    '1064812345678',
    '+86 13800138000;ext=1',
    '138OO138OOO',
    '13800138000,13900139000',
    '+',
    `${'1'.repeat(200)}`,
    '١٣٨٠٠١٣٨٠٠٠',
  ])('%j is no number that can receive a code', (text) => {
    expect(refusal(text, ['86'])).toBe('phone_invalid');
  });
});

describe('B7: codes go to served countries only', () => {
  it('refuses a number of a country that is not on the list', () => {
    expect(refusal('+85291234567', ['86'])).toBe('phone_region_refused');
    expect(refusal('+19005551234', ['86', '1'])).toBe('phone_invalid');
  });
  it('takes a number of a country that is on the list', () => {
    expect(parsePhone('00852 9123 4567', ['86', '852'])).toBe('+85291234567');
  });
  it('takes every country when it is not asked about sending', () => {
    expect(parsePhone('+44 7911 123456')).toBe('+447911123456');
  });
});

describe('masked phone numbers', () => {
  it.each([
    ['+8613800138000', '138****8000'],
    ['+85291234567', '+852****4567'],
    ['+6834002', '+683****02'],
    ['+447911123456', '+44****3456'],
  ])('%s is shown as %s', (e164, masked) => {
    expect(maskPhone(e164)).toBe(masked);
  });
});
