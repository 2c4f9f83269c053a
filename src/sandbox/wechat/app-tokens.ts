/**
 * An app's access_token, in its two families that know nothing of each other:
 * cgi-bin/token voids its predecessor 5 minutes after each call; stable_token gives the same token to everybody until it is
 * 5 minutes from its end, and only force_refresh voids it at once.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../clock.ts';

const lifetime = 7_200_000;
const overlap = 300_000;
const forcedApart = 30_000;
const forcedPerDay = 20;

type Token = { text: string; appid: string; expires_at: number; void_at: number };
type StableState = { current: Token; forced_at: number; forced_on: string; forced_times: number };
export type TokenAnswer = { access_token: string; expires_in: number };

export type AppTokens = {
  plain(appid: string): TokenAnswer;
  /** `limited: false` lifts the daily quota of forced refreshes. */
  stable(appid: string, options: { force: boolean; limited: boolean }): TokenAnswer | 'quota_reached';
  /** The appid it was given to, or the errcode. */
  check(text: string | undefined): string | 40001 | 40014 | 41001 | 42001;
};

type Tokens = { issue(appid: string): Token; check: AppTokens['check'] };

/** Every token of both families: expired ones are remembered a while, because they answer otherwise than invented ones. */
function createTokens(now: () => number): Tokens {
  const tokens = new Map<string, Token>();
  return {
    issue(appid) {
      for (const [text, token] of tokens) if (token.expires_at + lifetime < now()) tokens.delete(text);
      // The shape of the real ones, which grew over the years: store at least 512 characters.
      const text = `${(randomBytes(1).readUInt8() % 90) + 10}_${randomBytes(102).toString('base64url')}`;
      const token = { text, appid, expires_at: now() + lifetime, void_at: now() + lifetime };
      tokens.set(text, token);
      return token;
    },
    check(text) {
      if (!text) return 41001;
      if (!/^\d{2}_[\w-]{100,}$/.test(text)) return 40014;
      const token = tokens.get(text);
      if (!token) return 40001;
      if (token.expires_at <= now()) return 42001;
      return token.void_at <= now() ? 40001 : token.appid;
    },
  };
}

export function createAppTokens({ clock }: { clock: Clock }): AppTokens {
  const now = () => clock.now().getTime();
  const { issue, check } = createTokens(now);
  const plain = new Map<string, Token>();
  const stable = new Map<string, StableState>();
  return {
    check,
    plain(appid) {
      const previous = plain.get(appid);
      if (previous) previous.void_at = Math.min(previous.void_at, now() + overlap);
      const token = issue(appid);
      plain.set(appid, token);
      return said(token, now());
    },
    stable(appid, { force, limited }) {
      const state = stable.get(appid);
      if (!state) {
        const current = issue(appid);
        stable.set(appid, { current, forced_at: Number.NEGATIVE_INFINITY, forced_on: '', forced_times: 0 });
        return said(current, now());
      }
      const forcing = force ? forcedRefresh(state, now(), limited) : 'too_soon';
      if (forcing === 'quota_reached') return forcing;
      if (forcing === 'granted') state.current.void_at = now();
      if (forcing === 'granted' || state.current.expires_at - now() <= overlap) state.current = issue(appid);
      return said(state.current, now());
    },
  };
}
/** Rounded up: a token of this millisecond has its whole time, also when the next one has begun. */
function said(token: Token, now: number): TokenAnswer {
  return { access_token: token.text, expires_in: Math.ceil((token.expires_at - now) / 1000) };
}

/** Counted when granted. Within 30 seconds of the last one it is no error: the current token is given. */
function forcedRefresh(state: StableState, now: number, limited: boolean): 'granted' | 'too_soon' | 'quota_reached' {
  if (now - state.forced_at < forcedApart) return 'too_soon';
  const today = shanghaiDay(now);
  const times = state.forced_on === today ? state.forced_times : 0;
  if (limited && times >= forcedPerDay) return 'quota_reached';
  Object.assign(state, { forced_at: now, forced_on: today, forced_times: times + 1 });
  return 'granted';
}

/** The vendor's day, in which quotas are counted. */
function shanghaiDay(at: number): string {
  return new Date(at + 8 * 3_600_000).toISOString().slice(0, 10);
}
