import { array, assert, constantFrom, integer, property, string, tuple } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseEmail } from '../../src/connectors/email-address.ts';
import { parsePhone } from '../../src/connectors/phone-number.ts';
import { AppError } from '../../src/errors.ts';

/** What was made of it; undefined when it was refused. Anything but a refusal of ours is a fault. */
function accepted(parse: (text: string) => string, text: string): string | undefined {
  try {
    return parse(text);
  } catch (error) {
    if (error instanceof AppError) return undefined;
    throw error;
  }
}

const anything = string({ unit: 'binary', maxLength: 60 });
/** Text that is nearly a number or an address: what a parser meets at its edges. */
const nearly = (units: string) => array(constantFrom(...units), { maxLength: 30 }).map((parts) => parts.join(''));

describe('B8: of whatever anybody types', () => {
  it('a phone number has one spelling, which is its own', () => {
    const typed = nearly('+0123456789８６ -().‑\u200b');
    for (const source of [anything, typed]) {
      assert(
        property(source, (text) => {
          const phone = accepted(parsePhone, text);
          if (phone === undefined) return;
          expect(phone).toMatch(/^\+[1-9]\d{6,14}$/);
          expect(parsePhone(phone)).toBe(phone);
        }),
        { numRuns: 2_000 },
      );
    }
  });

  it('a mainland number is the same however it is written', () => {
    const separator = constantFrom('', ' ', '-', '\u00a0', '\u2011', '\u200b');
    const number = tuple(integer({ min: 3, max: 9 }), integer({ min: 0, max: 999_999_999 }));
    assert(
      property(number, constantFrom('', '+86', '0086', '86'), separator, ([second, rest], prefix, between) => {
        const digits = `1${second}${String(rest).padStart(9, '0')}`;
        const written = [prefix, digits.slice(0, 3), digits.slice(3, 7), digits.slice(7)].join(between);
        expect(parsePhone(written)).toBe(`+86${digits}`);
      }),
    );
  });

  it('an e-mail address has one spelling, which is its own and holds nothing that could end a header line (B13)', () => {
    const typed = nearly('aZ0.@＠-_+ü例"<>,\r\n\u2028 ');
    for (const source of [anything, typed, tuple(typed, typed).map((parts) => parts.join('@'))]) {
      assert(
        property(source, (text) => {
          const address = accepted(parseEmail, text);
          if (address === undefined) return;
          expect(address).toMatch(/^[\x21-\x7e]{1,64}@[a-z0-9.-]{3,254}$/);
          expect(address).not.toMatch(/[<>,;:"\\]/);
          expect(parseEmail(address)).toBe(address);
          expect(parseEmail(` ${address.toUpperCase()} `)).toBe(address);
        }),
        { numRuns: 2_000 },
      );
    }
  });
});
