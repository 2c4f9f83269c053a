/** Finding a person by whatever staff have in hand. Exact look-ups by index only: nobody browses people here. */
import type { Knex } from 'knex';
import type { IdentityKind } from '../connectors/contract.ts';
import { parseEmail } from '../connectors/email-address.ts';
import { parsePhone } from '../connectors/phone-number.ts';
import { AppError } from '../errors.ts';
import type { Seal } from '../seal.ts';
import { keyOf } from './identity-key.ts';
import { findByLookup } from './store.ts';
import { currentSubject, type Subject } from './subjects.ts';

export type Found = Subject & {
  /** By what; `sub` for a subject id, also an absorbed one. */
  matched: IdentityKind | 'sub';
  issuer: string;
};

/** Phone (any spelling), e-mail, openid, unionid, id of another provider, member number, or sub. Of at most 200 characters. */
export async function findPeople({ db, seal }: { db: Knex; seal: Seal }, text: string): Promise<Found[]> {
  const term = text.trim();
  if (!term || term.length > 200 || term.includes('\0')) return [];
  const named = await currentSubject(db, term.toLowerCase());
  if (named) return [{ ...named, matched: 'sub', issuer: '' }];
  const rows = await findByLookup(db, lookupsOf(seal, term));
  const found: Found[] = [];
  for (const { kind, issuer, subject_id } of rows) {
    const subject = await currentSubject(db, subject_id);
    if (subject && !found.some(({ sub }) => sub === subject.sub)) found.push({ ...subject, matched: kind, issuer });
  }
  return found;
}

function lookupsOf(seal: Seal, term: string): { kind: IdentityKind; lookup: string }[] {
  const phone = spelt(() => parsePhone(term));
  const email = spelt(() => parseEmail(term));
  const sealed = [
    ...(phone ? [{ kind: 'phone' as const, issuer: '', external_id: phone }] : []),
    ...(email ? [{ kind: 'email' as const, issuer: '', external_id: email }] : []),
  ].map((identity) => keyOf(seal, identity));
  const open = (['wechat_openid', 'wechat_unionid', 'oidc', 'member_no'] as const).map((kind) => ({
    kind,
    lookup: term,
  }));
  return [...sealed, ...open];
}

/** Undefined for what is no such thing. */
function spelt(parse: () => string): string | undefined {
  try {
    return parse();
  } catch (error) {
    if (error instanceof AppError) return undefined;
    throw error;
  }
}
