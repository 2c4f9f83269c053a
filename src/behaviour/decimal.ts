/** Exact decimals: money is compared and summed as written, not as the nearest binary fraction. */

/** `units / 10 ** scale` */
export type Decimal = { units: bigint; scale: number };

export const zero: Decimal = { units: 0n, scale: 0 };

const plain = /^-?\d{1,20}(\.\d{1,10})?$/;

/** The decimal that a JSON number (its shortest form) or a plain decimal string stands for; null for all else. */
export function decimalOf(value: unknown): Decimal | null {
  if (typeof value === 'number') return ofNumber(value);
  return typeof value === 'string' && plain.test(value) ? ofText(value) : null;
}

function ofNumber(value: number): Decimal | null {
  if (Number.isSafeInteger(value)) return { units: BigInt(value), scale: 0 };
  return Number.isFinite(value) ? ofText(String(value)) : null;
}

function ofText(text: string): Decimal {
  const [mantissa = '', exponent = '0'] = text.split('e');
  const [whole = '', fraction = ''] = mantissa.split('.');
  const scale = fraction.length - Number(exponent);
  const units = BigInt(whole + fraction);
  return scale >= 0 ? { units, scale } : { units: units * 10n ** BigInt(-scale), scale: 0 };
}

function unitsAt({ units, scale }: Decimal, wanted: number): bigint {
  return scale === wanted ? units : units * 10n ** BigInt(wanted - scale);
}

export function add(a: Decimal, b: Decimal): Decimal {
  const scale = Math.max(a.scale, b.scale);
  return { units: unitsAt(a, scale) + unitsAt(b, scale), scale };
}

export function negate({ units, scale }: Decimal): Decimal {
  return { units: -units, scale };
}

export function times({ units, scale }: Decimal, count: number): Decimal {
  return { units: units * BigInt(count), scale };
}

/** Below, equal to or above nought, as a sort function says it. */
export function compare(a: Decimal, b: Decimal): number {
  const scale = Math.max(a.scale, b.scale);
  const [left, right] = [unitsAt(a, scale), unitsAt(b, scale)];
  return left < right ? -1 : left > right ? 1 : 0;
}

/**
 * The same for a value of an event and a number of a definition; null when the value is neither number nor plain decimal. Nearest
 * doubles keep the order, and up to 15 digits they are one to one, so that only a longer string that meets the same double is
 * compared digit by digit.
 */
export function compareWith(value: unknown, wanted: number): number | null {
  if (typeof value === 'number') return value < wanted ? -1 : value > wanted ? 1 : value === wanted ? 0 : null;
  if (typeof value !== 'string' || !plain.test(value)) return null;
  const nearest = Number(value);
  if (nearest !== wanted) return nearest < wanted ? -1 : 1;
  return value.length <= 15 ? 0 : compare(ofText(value), ofNumber(wanted) ?? zero);
}

/** For people to read, not to count on: rounded to the nearest double. */
export function toNumber({ units, scale }: Decimal): number {
  return Number(`${units}e-${scale}`);
}
