/**
 * When it happened. The sender's clock may be wrong, so what counts is how long before sending it happened:
 * timestamp = received_at − (sentAt − originalTimestamp). Without sentAt the stated time is taken. Times are milliseconds since 1970.
 */

/** A timestamp is at most so much later than the moment of receipt, whatever the sender's clock shows. */
export const mostAheadMs = 5 * 60_000;
/** A clock that shows an earlier year was never set. */
const earliest = Date.UTC(2000, 0, 1);
const usual = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const iso = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)(Z|[+-]\d{2}:?\d{2})?)?$/i;

/** ISO 8601, UTC when it names no zone, or milliseconds since 1970; undefined for anything else (threat F9). */
export function parseTime(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) && value > 0 ? Math.round(value) : undefined;
  if (typeof value !== 'string' || value.length > 40) return undefined;
  const at = usual.test(value) ? Date.parse(value) : parseUnusual(value);
  return Number.isNaN(at) ? undefined : at;
}

function parseUnusual(value: string): number {
  const parts = iso.exec(value);
  if (!parts) return Number.NaN;
  const [, day, time = '00:00:00', zone = 'Z'] = parts;
  return Date.parse(`${day}T${time}${zone.toUpperCase()}`);
}

export type EventTime = { timestamp: number; original_timestamp: number | null };

export function eventTime(stated: unknown, sent: unknown, receivedAt: number): EventTime {
  const original = parseTime(stated);
  const sentAt = parseTime(sent);
  const at = original === undefined ? receivedAt : sentAt === undefined ? original : receivedAt - (sentAt - original);
  const timestamp = at < earliest ? receivedAt : Math.min(at, receivedAt + mostAheadMs);
  return { timestamp, original_timestamp: isOfThisEra(original) ? original : null };
}

/** What was stated is kept as far as ISO 8601 can write it with four digits for the year. */
function isOfThisEra(at: number | undefined): at is number {
  return at !== undefined && at >= 0 && at < Date.UTC(10_000, 0, 1);
}
