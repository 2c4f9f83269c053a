/** Seconds that things live, and the one rule for refresh tokens: 30 days idle, 180 days in all. */

const minute = 60;
const day = 86_400;

export const lifetimes = {
  authorizationCode: 60,
  accessToken: 10 * minute,
  idToken: 10 * minute,
  interaction: 60 * minute,
  refreshIdle: 30 * day,
  refreshAbsolute: 180 * day,
  /** Single sign-on: ends after two weeks without use, and after a month in any case (ASVS 7.3). */
  sessionIdle: 14 * day,
  sessionAbsolute: 30 * day,
  /** A session that only carries the state of a sign-out. */
  sessionEmpty: 60 * minute,
  /** How long a public client may repeat the refresh token it has just spent. */
  refreshRepeat: 30,
} as const;

/** What is left of a family that began at `startedAt` (seconds); not positive: it is over. */
export function familyRemains(startedAt: number, now: Date): number {
  return lifetimes.refreshAbsolute - (Math.floor(now.getTime() / 1000) - startedAt);
}
