/**
 * Purposes with their versions, and who agreed to which of them, when and where (PIPL articles 14 and 15). Append-only: the
 * newest row of a purpose counts. Leaves the asking to login/ and the effect to whoever uses data for a purpose.
 */
import type { Knex } from 'knex';
import { fail } from '../errors.ts';

/** Built in; `service` is what a person asked for by using the product and needs no consent. */
export const purposes = {
  privacy: { version: '1' },
  profiling: { version: '1' },
  marketing: { version: '1' },
  ad_sharing: { version: '1' },
  cross_border: { version: '1' },
} as const;

export type PurposeName = keyof typeof purposes;
export type Consent = { purpose: PurposeName; version: string };
export type CurrentConsent = Consent & { is_granted: boolean; at: Date };

export function currentVersion(purpose: PurposeName): string {
  return purposes[purpose].version;
}

/** Reads `privacy@1 profiling@1`. Only the version in force can be agreed to. @throws invalid_fields */
export function parseConsents(text: string): Consent[] {
  return text
    .split(' ')
    .filter(Boolean)
    .map((part) => {
      const [purpose = '', version = ''] = part.split('@');
      if (!Object.hasOwn(purposes, purpose))
        throw fail('invalid_fields', { fields: { consents: `There is no purpose "${purpose}".` } });
      const name = purpose as PurposeName;
      if (version !== currentVersion(name)) {
        throw fail('invalid_fields', {
          fields: { consents: `The version of "${name}" in force is ${currentVersion(name)}.` },
        });
      }
      return { purpose: name, version };
    });
}

export type ConsentRecord = {
  subject_id: string;
  consents: Consent[];
  is_granted?: boolean;
  channel: string;
  /** What proves it later: address, hash of the text shown, request id. */
  evidence: Record<string, unknown>;
};

export async function recordConsents(db: Knex, record: ConsentRecord): Promise<void> {
  if (!record.consents.length) return;
  await db('consents').insert(
    record.consents.map(({ purpose, version }) => ({
      subject_id: record.subject_id,
      purpose,
      version,
      is_granted: record.is_granted ?? true,
      channel: record.channel,
      evidence: JSON.stringify(record.evidence),
    })),
  );
}

export async function currentConsents(db: Knex, sub: string): Promise<CurrentConsent[]> {
  return db('current_consents')
    .select('purpose', 'version', 'is_granted', 'at')
    .where({ subject_id: sub })
    .orderBy('purpose');
}

/** True only for the version in force: a changed policy is asked for again. */
export async function hasAgreed(db: Knex, sub: string, purpose: PurposeName): Promise<boolean> {
  const consents = await currentConsents(db, sub);
  return consents.some(
    (consent) => consent.purpose === purpose && consent.is_granted && consent.version === currentVersion(purpose),
  );
}
