/** The access and refresh tokens of one person for one website or official account (`sns/*`), not to be mixed up with an app's. */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../clock.ts';

const accessLifetime = 7_200_000;
const refreshLifetime = 30 * 86_400_000;

export type Grant = {
  appid: string;
  person_id: string;
  openid: string;
  scope: string;
  /** Made up for the visit of a snapshot page. */
  fake_unionid?: string;
};
export type UserTokenAnswer = {
  access_token: string;
  expires_in: number;
  refresh_token: string;
  openid: string;
  scope: string;
};
type Pair = Grant & { access: string; access_until: number; refresh: string; refresh_until: number };

export type UserTokens = {
  issue(grant: Grant): UserTokenAnswer;
  /** The same access token, prolonged, while it lives; a new one after. The refresh token's 30 days are never prolonged. */
  refresh(text: string, appid: string): UserTokenAnswer | 40030 | 42002;
  /** The person took it back: every token of theirs for this app is void. */
  revoke(appid: string, person_id: string): void;
  /** The grant, or the errcode. */
  check(access: string | undefined, openid: string | undefined): Grant | 40003 | 40014 | 41001 | 41009 | 42001;
};

export function createUserTokens({ clock }: { clock: Clock }): UserTokens {
  const pairs = new Map<string, Pair>();
  const byAccess = new Map<string, Pair>();
  const now = () => clock.now().getTime();
  return {
    issue(grant) {
      const pair = {
        ...grant,
        access: token(),
        access_until: now() + accessLifetime,
        refresh: token(),
        refresh_until: now() + refreshLifetime,
      };
      pairs.set(pair.refresh, pair);
      byAccess.set(pair.access, pair);
      return said(pair);
    },
    refresh(text, appid) {
      const pair = pairs.get(text);
      if (pair?.appid !== appid) return 40030;
      if (pair.refresh_until <= now()) return 42002;
      if (pair.access_until <= now()) pair.access = token();
      pair.access_until = now() + accessLifetime;
      byAccess.set(pair.access, pair);
      return said(pair);
    },
    revoke(appid, person_id) {
      for (const pairsOf of [pairs, byAccess])
        for (const [text, pair] of pairsOf)
          if (pair.appid === appid && pair.person_id === person_id) pairsOf.delete(text);
    },
    check(access, openid) {
      if (!access) return 41001;
      if (!openid) return 41009;
      const pair = byAccess.get(access);
      if (!pair) return 40014;
      if (pair.access !== access || pair.access_until <= now()) return 42001;
      return pair.openid === openid ? pair : 40003;
    },
  };
}

function token(): string {
  return `${(randomBytes(1).readUInt8() % 90) + 10}_${randomBytes(64).toString('base64url')}`;
}

function said(pair: Pair): UserTokenAnswer {
  return {
    access_token: pair.access,
    expires_in: accessLifetime / 1000,
    refresh_token: pair.refresh,
    openid: pair.openid,
    scope: pair.scope,
  };
}
