/** What looks personal in what strangers send, found in the time of its length. */
import { describe, expect, it } from 'vitest';
import { isAddress, maskedClaim, maskedSample } from '../../src/events/personal.ts';

describe('an address', () => {
  it('is masked in a sample, and where it stands for the user', () => {
    expect(maskedSample('{"a":"li.wei+1@mail.example.com","b":"a@b"}')).toBe('{"a":"l***@mail.example.com","b":"a@b"}');
    expect(maskedClaim('li.wei@example.com')).toBe('l***@example.com');
    expect(['a@b.c', 'a@b', 'a b@c.d', '@b.c', 'a@b@c.d'].map(isAddress)).toEqual([true, false, false, false, false]);
  });

  it('F7: is looked for in the time of the text, whatever it is made of', () => {
    const began = performance.now();
    for (const part of ['a', '.', '@', '@.', 'a@', 'a.', '-', 'a@a.']) {
      const text = `a@${part.repeat(30_000)}@ x`;
      isAddress(text);
      maskedClaim(text);
      maskedSample(text);
    }
    // Each of these took a second or more when the time grew with its square.
    expect(performance.now() - began).toBeLessThan(1_500);
  });
});
