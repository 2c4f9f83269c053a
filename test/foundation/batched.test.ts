import type { Knex } from 'knex';
import { describe, expect, it } from 'vitest';
import { batched } from '../../src/database.ts';
import { testDatabase } from '../helpers/database.ts';

const { db } = await testDatabase();

/** Squares numbers in the database, and notes how many travelled together. */
function squares() {
  const trips: number[] = [];
  const square = batched(async (connection: Knex, numbers: number[]) => {
    trips.push(numbers.length);
    const { rows } = await connection.raw(
      'select (100 / (n - 13) * 0 + n * n)::integer as square from unnest(?::integer[]) with ordinality as u (n, at) order by at',
      [numbers],
    );
    return rows.map((row: { square: number }) => row.square);
  });
  return { square, trips };
}

describe('batched', () => {
  it('answers each call with its own result, in far fewer round trips', async () => {
    const { square, trips } = squares();
    const numbers = Array.from({ length: 500 }, (_, n) => n + 20);
    expect(await Promise.all(numbers.map((n) => square(db, n)))).toEqual(numbers.map((n) => n * n));
    expect(trips.length).toBeLessThan(20);
    expect(Math.max(...trips)).toBeLessThanOrEqual(64);
  });
  it('sends a lone call at once', async () => {
    const { square, trips } = squares();
    expect(await square(db, 5)).toBe(25);
    expect(trips).toEqual([1]);
  });
  it('fails only the call that is at fault', async () => {
    const { square } = squares();
    const results = await Promise.allSettled([1, 13, 3].map((n) => square(db, n)));
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  });
  it('is a statement of its own in a transaction', async () => {
    const { square, trips } = squares();
    await db.transaction(async (trx) => {
      expect(await Promise.all([square(trx, 2), square(trx, 3)])).toEqual([4, 9]);
    });
    expect(trips).toEqual([1, 1]);
  });
});
