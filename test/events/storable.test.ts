import { assert, jsonValue, property, string, uniqueArray } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { exceededBound, storableJson, storableText } from '../../src/events/storable.ts';
import { idKey } from '../../src/events/store.ts';
import { testDatabase } from '../helpers/database.ts';

const { db } = await testDatabase();
const anyText = string({ unit: 'binary', maxLength: 20 });

describe('F6: whatever a stranger sends', () => {
  it('is stored as it was, but for what PostgreSQL cannot hold', async () => {
    const values: unknown[] = [];
    assert(
      property(jsonValue({ stringUnit: 'binary' }), (value) => void values.push(value)),
      { numRuns: 500 },
    );
    // Half a surrogate pair and a NUL, as text, in a list, and as a name.
    for (const text of ['\0', '\ud800', 'a\udc00b', '\ud83d\ude00', '\\u0000'])
      values.push(text, [text], { [text]: text });
    const { rows } = await db.raw('select ?::jsonb as stored', [storableJson(values)]);
    expect(rows[0].stored).toHaveLength(values.length);
    expect(rows[0].stored.at(-1)).toEqual({ '\\u0000': '\\u0000' });
  });

  it('F5: is found by the key that the database finds it by', async () => {
    const ids: string[] = ['\0', '\ud800', 'a', crypto.randomUUID(), crypto.randomUUID().toUpperCase()];
    ids.push(crypto.randomUUID().replace(/^(.{14})./, '$1f'), '00000000-0000-0000-0000-000000000000');
    assert(
      property(anyText, (text) => void ids.push(text)),
      { numRuns: 200 },
    );
    const { rows } = await db.raw(
      'select id_key(id) as key from unnest(?::text[]) with ordinality as i (id, n) order by n',
      [ids.map(storableText)],
    );
    expect(ids.map((id) => idKey(id).replaceAll('-', ''))).toEqual(
      rows.map(({ key }: { key: string }) => key.replaceAll('-', '')),
    );
  });

  it('becomes text that a second cleaning leaves alone', () => {
    assert(
      property(uniqueArray(anyText), (texts) => {
        for (const text of texts) {
          const clean = storableText(text);
          expect(clean.isWellFormed() && !clean.includes('\0')).toBe(true);
          expect(storableText(clean)).toBe(clean);
        }
      }),
    );
  });

  it('is measured without a fault, however it is nested', () => {
    assert(
      property(jsonValue({ maxDepth: 40 }), (value) => {
        const bound = exceededBound({ value });
        if (bound === undefined) expect(Buffer.byteLength(JSON.stringify({ value }))).toBeLessThanOrEqual(32_768);
      }),
    );
  });
});
