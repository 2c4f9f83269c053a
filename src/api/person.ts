/** What routes about one person share: finding them, the spelling of identities, and what may be shown of them. */
import { z } from 'zod';
import type { IdentityKind } from '../connectors/contract.ts';
import { parseEmail } from '../connectors/email-address.ts';
import { parsePhone } from '../connectors/phone-number.ts';
import type { Database } from '../database.ts';
import { AppError, fail } from '../errors.ts';
import { text } from '../http/fields.ts';
import { currentSubject, type Subject } from '../subjects/subjects.ts';

const kinds = [
  'phone',
  'email',
  'wechat_openid',
  'wechat_unionid',
  'oidc',
  'member_no',
] as const satisfies IdentityKind[];
export const kind = z.enum(kinds);
export const issuer = {
  description:
    'appid for `wechat_openid`, open-platform account for `wechat_unionid`, issuer URL for `oidc`; empty for the other kinds.',
};
export const subjectId = z.uuid();
export const requestedSubject = z.object({ sub: z.string() });
export const reason = text(500).min(1).meta({ description: 'Why, for the audit record.' });

const withIssuer: IdentityKind[] = ['wechat_openid', 'wechat_unionid', 'oidc'];

/** For the body of a route: an issuer where the kind has one, and only there. */
export function checkIssuer(body: { kind: IdentityKind; issuer: string }, check: z.RefinementCtx): void {
  const needed = withIssuer.includes(body.kind);
  if (needed === (body.issuer !== '')) return;
  const message = needed ? `is needed for ${body.kind}` : `must be empty for ${body.kind}`;
  check.addIssue({ code: 'custom', path: ['issuer'], message });
}

/** @throws not_found, also for text that is no sub at all: the answer does not tell which */
export async function standing(db: Database, sub: string): Promise<Subject> {
  const subject = await currentSubject(db, sub);
  if (!subject) throw fail('not_found');
  return subject;
}

/** One spelling, as sign-in stores it. `field` is named in the error. @throws phone_invalid | email_invalid */
export function normalise(kind: IdentityKind, value: string, field: string): string {
  try {
    if (kind === 'phone') return parsePhone(value);
    return kind === 'email' ? parseEmail(value) : value;
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    throw fail(error.code, { fields: { [field]: error.message } });
  }
}
