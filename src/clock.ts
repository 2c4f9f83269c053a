/**
 * The one source of time, so that tests can move it.
 *
 * What expires by the database's clock (one-time codes, tokens, leases) is compared in SQL with now(): several
 * processes never agree on their own clocks.
 */
export type Clock = { now(): Date };

export const systemClock: Clock = { now: () => new Date() };
