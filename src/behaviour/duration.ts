import type { Duration } from './language.ts';

export const day = 86_400_000;
const units: Record<string, number> = { m: 60_000, h: 3_600_000, d: day, w: 7 * day };
const longestDuration = 3650 * day;

/** `30d`, `24h`, `15m`, `2w` in milliseconds; null when it is none, or longer than 3650 days. */
export function parseDuration(text: string): number | null {
  const [, count, unit] = /^(\d{1,9})([mhdw])$/.exec(text) ?? [];
  const length = count && unit ? Number(count) * (units[unit] ?? 0) : null;
  return length !== null && length <= longestDuration ? length : null;
}

/** Of a definition that was validated. */
export function lengthOf(duration: Duration): number {
  const length = parseDuration(duration);
  if (length === null) throw new Error(`"${duration}" is no duration`);
  return length;
}
