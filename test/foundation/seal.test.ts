import { describe, expect, it } from 'vitest';
import { assertSameSecret, createSeal } from '../../src/seal.ts';
import { testDatabase } from '../helpers/database.ts';

const { db } = await testDatabase();
const seal = createSeal('a secret of at least thirty-two characters');

describe('seal', () => {
  it('opens what it sealed', () => {
    expect(seal.open(seal.seal('+8613800138000', 'identities'), 'identities')).toBe('+8613800138000');
  });
  it('seals the same value differently each time', () => {
    expect(seal.seal('x', 'a')).not.toBe(seal.seal('x', 'a'));
  });
  it('does not open a value that was sealed for another context, altered, or sealed with another secret', () => {
    const envelope = seal.seal('x', 'a');
    expect(() => seal.open(envelope, 'b')).toThrow();
    expect(() => seal.open(`${envelope.slice(0, -2)}AA`, 'a')).toThrow();
    expect(() => createSeal('another secret of thirty-two characters!').open(envelope, 'a')).toThrow(/another key/);
  });
  it('finds a value again by its keyed hash, apart from equal values of another kind', () => {
    expect(seal.hash('x', 'phone')).toBe(seal.hash('x', 'phone'));
    expect(seal.hash('x', 'phone')).not.toBe(seal.hash('x', 'email'));
  });
  it('refuses to start on a database that was sealed with another secret', async () => {
    await assertSameSecret(db, seal);
    await assertSameSecret(db, seal);
    await expect(assertSameSecret(db, createSeal('another secret of thirty-two characters!'))).rejects.toThrow(
      /HEYI_SECRET/,
    );
  });
});
