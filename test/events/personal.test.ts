/** What looks personal in what strangers send, found in the time of its length. */
import { describe, expect, it } from 'vitest';
import { isAddress, maskedClaim, maskedSample, maskedText, maskPersonal } from '../../src/events/personal.ts';

describe('F11: a field that is named for what is personal', () => {
  it('is masked wherever it stands, and nothing else is touched', () => {
    const order = {
      order_id: '1',
      receiver: { name: '李', phone: '13800138000', places: [{ 手机号: 13800138000, city: '杭州' }] },
      contacts: [['x'], { e_mail: 'lily@example.com', mobile_no: null, id_card: { no: '110101199003070000' } }],
    };
    const before = structuredClone(order);
    expect(maskPersonal(order)).toEqual({
      order_id: '1',
      receiver: { name: '李', phone: '138****8000', places: [{ 手机号: '138****8000', city: '杭州' }] },
      contacts: [['x'], { e_mail: 'l***@example.com', mobile_no: null, id_card: '****' }],
    });
    expect(order).toEqual(before);
    const plain = { name: 'phone', list: [1, { telescope: '13800138000' }], phone_case: 'red' };
    expect(maskPersonal(plain)).toBe(plain);
  });

  it('E5: __proto__ is a name like any other', () => {
    const masked = maskPersonal(
      JSON.parse('{"__proto__":{"phone":"13800138000"},"a":{"__proto__":{"b":1},"tel":"1"}}'),
    );
    expect(JSON.stringify(masked)).toBe('{"__proto__":{"phone":"138****8000"},"a":{"__proto__":{"b":1},"tel":"****"}}');
    expect('phone' in {}).toBe(false);
  });
});

describe('F11: a number as people write it', () => {
  it.each([
    '138 0013 8000',
    '138-0013-8000',
    '(138) 0013.8000',
    '+86 138 0013 8000',
    '0086-138-0013-8000',
    '１３８００１３８０００',
    '+86 (0)571-8888 6666',
    '+1 (415) 555-0132',
    '0571-88886666',
    '(021) 88886666',
  ])('is masked in samples, pages and claims: %s', (number) => {
    const digits = number.normalize('NFKC').replace(/\D/g, '');
    for (const text of [
      maskedSample(JSON.stringify({ note: `call ${number}, please` })),
      maskedText(`call ${number}, please`),
      maskedClaim(number),
    ]) {
      expect(text).toContain('****');
      expect(text.normalize('NFKC').replace(/\D/g, '')).not.toContain(digits.slice(-8));
    }
  });

  it('is not seen in what is none', () => {
    const texts = ['2026-11-26T04:00:00.000Z', '1999.90', 'v1.2.3-10', '12 34 56', 'SKU-10-2000-33'];
    for (const text of [...texts, crypto.randomUUID().replaceAll(/\d/g, 'a')]) {
      expect(maskedText(text)).toBe(text);
      expect(maskedSample(text)).toBe(text);
      expect(maskedClaim(text)).toBe(text);
    }
  });
});

describe('an address', () => {
  it('is masked in a sample, and where it stands for the user', () => {
    expect(maskedSample('{"a":"li.wei+1@mail.example.com","b":"a@b"}')).toBe('{"a":"l***@mail.example.com","b":"a@b"}');
    expect(maskedClaim('li.wei@example.com')).toBe('l***@example.com');
    expect(['a@b.c', 'a@b', 'a b@c.d', '@b.c', 'a@b@c.d'].map(isAddress)).toEqual([true, false, false, false, false]);
  });

  it('F7: is looked for in the time of the text, whatever it is made of', () => {
    const began = performance.now();
    for (const part of ['a', '.', '@', '@.', 'a@', 'a.', '-', 'a@a.', '1', '+1', '1 3', '1 3 -', '+8 ', '0571-8']) {
      const text = `a@${part.repeat(30_000)}@ x`;
      isAddress(text);
      maskedClaim(text);
      maskedSample(text);
      maskedText(text);
    }
    // Each of these took a second or more when the time grew with its square.
    expect(performance.now() - began).toBeLessThan(1_500);
  });
});
