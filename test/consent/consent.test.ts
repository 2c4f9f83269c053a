import { describe, expect, it } from 'vitest';
import {
  currentConsents,
  currentVersion,
  hasAgreed,
  parseConsents,
  recordConsents,
} from '../../src/consent/consent.ts';
import { testDatabase } from '../helpers/database.ts';

const { db } = await testDatabase();

async function person(): Promise<string> {
  const [row] = await db('subjects')
    .insert({ id: db.raw('uuid_v7()') })
    .returning('id');
  return row.id;
}
const base = { channel: 'website', evidence: { ip: '203.0.113.9' } };

describe('consent', () => {
  it('is absent until given, and counts from then on', async () => {
    const subject_id = await person();
    expect(await hasAgreed(db, subject_id, 'profiling')).toBe(false);
    await recordConsents(db, { ...base, subject_id, consents: parseConsents('privacy@1 profiling@1') });
    expect(await hasAgreed(db, subject_id, 'profiling')).toBe(true);
    expect(await hasAgreed(db, subject_id, 'marketing')).toBe(false);
  });

  it('that was withdrawn no longer counts, while both rows stay as evidence', async () => {
    const subject_id = await person();
    const consents = parseConsents('marketing@1');
    await recordConsents(db, { ...base, subject_id, consents });
    await recordConsents(db, { ...base, subject_id, consents, is_granted: false });
    expect(await hasAgreed(db, subject_id, 'marketing')).toBe(false);
    expect(await db('consents').where({ subject_id })).toHaveLength(2);
    expect(await currentConsents(db, subject_id)).toMatchObject([{ purpose: 'marketing', is_granted: false }]);
  });

  it('to an earlier version is asked for again', async () => {
    const subject_id = await person();
    await recordConsents(db, { ...base, subject_id, consents: [{ purpose: 'privacy', version: '0' }] });
    expect(await hasAgreed(db, subject_id, 'privacy')).toBe(false);
  });

  it.each(['privacy@2', 'nonsense@1', 'privacy', '__proto__@1', 'constructor@1'])('refuses %s', (text) => {
    expect(() => parseConsents(text)).toThrowError(expect.objectContaining({ code: 'invalid_fields' }));
  });

  it('names the version in force', () => {
    expect(currentVersion('privacy')).toBe('1');
  });
});
