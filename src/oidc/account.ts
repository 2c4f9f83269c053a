/**
 * The engine's view of a person. A subject that does not stand (suspended, deleted, absorbed by another) is nobody: codes and
 * refresh tokens answer invalid_grant, sessions lead to the sign-in page (threats A20, D12).
 */
import type { Account, KoaContextWithOIDC } from 'oidc-provider';
import type { Database } from '../database.ts';
import type { Seal } from '../seal.ts';
import { claimsOf, currentSubject } from '../subjects/subjects.ts';
import { reach } from './oauth-errors.ts';
import { currentUnit } from './unit.ts';

export async function stands(db: Database, sub: string): Promise<boolean> {
  const known = currentUnit()?.standing.get(sub);
  if (known !== undefined) return known;
  const subject = await reach(currentSubject(db, sub));
  const isStanding = subject?.status === 'active' && subject.sub === sub;
  currentUnit()?.standing.set(sub, isStanding);
  return isStanding;
}

export function createAccounts({ db, seal }: { db: Database; seal: Seal }) {
  return async (ctx: KoaContextWithOIDC, sub: string): Promise<Account | undefined> => {
    if (!(await stands(db, sub))) return undefined;
    return {
      accountId: sub,
      async claims(use, scope) {
        // An ID token beside an access token for /userinfo names the person alone (OpenID Connect Core section 5.4).
        const isBare = use === 'id_token' && ctx.oidc?.entities.AccessToken?.aud === undefined;
        if (isBare || !/\b(profile|email|phone)\b/.test(scope)) return { sub };
        return { ...(await reach(claimsOf({ db, seal }, sub))), sub };
      },
    };
  };
}
