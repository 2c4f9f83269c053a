/**
 * When it happened. The sender's clock may be wrong, so what counts is how long before sending it happened:
 * timestamp = received_at − (sentAt − originalTimestamp). Without sentAt the stated time is taken.
 */

const furthestAheadMs = 5 * 60_000;
/** A clock that shows an earlier year was never set. */
const earliest = Date.UTC(2000, 0, 1);
const iso = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)(Z|[+-]\d{2}:?\d{2})?)?$/i;

/** ISO 8601, UTC when it names no zone, or milliseconds since 1970; undefined for anything else (threat F9). */
export function parseTime(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) && value > 0 ? Math.round(value) : undefined;
  const parts = typeof value === 'string' && value.length <= 40 ? iso.exec(value) : null;
  if (!parts) return undefined;
  const [, day, time = '00:00:00', zone = 'Z'] = parts;
  const at = Date.parse(`${day}T${time}${zone.toUpperCase()}`);
  return Number.isNaN(at) ? undefined : at;
}

export type EventTime = { timestamp: string; original_timestamp: string | null };

export function eventTime(stated: unknown, sent: unknown, received: Date): EventTime {
  const receivedAt = received.getTime();
  const original = parseTime(stated);
  const sentAt = parseTime(sent);
  const at = original === undefined ? receivedAt : sentAt === undefined ? original : receivedAt - (sentAt - original);
  const timestamp = at < earliest ? receivedAt : Math.min(at, receivedAt + furthestAheadMs);
  return { timestamp: new Date(timestamp).toISOString(), original_timestamp: storable(original) };
}

/** Years that a database has no room for, or that ISO 8601 writes with a sign, are not kept. */
function storable(at: number | undefined): string | null {
  const inRange = at !== undefined && at >= 0 && at < Date.UTC(10_000, 0, 1);
  return inRange ? new Date(at).toISOString() : null;
}
