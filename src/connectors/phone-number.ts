/**
 * One spelling of a phone number: E.164. Limits, codes and identities all use it, so no spelling of the same number opens a
 * second counter or a second account (threat B8).
 */
import { type CountryCode, type NumberType, parsePhoneNumberFromString } from 'libphonenumber-js/max';
import { fail } from '../errors.ts';

/** Mainland mobile numbers by shape alone: the library's metadata lags behind ranges that carriers newly open. */
const mainland = /^(?:\+86|0086|86)?(1[3-9]\d{9})$/;

/** Invisible marks that come along when a number is pasted, and the separators people type. */
const separators = /[\s\p{Cf}().\-\u2010-\u2015\u2212/]/gu;

const cannotReceive: NumberType[] = [
  'FIXED_LINE',
  'PREMIUM_RATE',
  'SHARED_COST',
  'TOLL_FREE',
  'VOIP',
  'PAGER',
  'UAN',
  'VOICEMAIL',
];

/**
 * @param regions Country calling codes that are served (`['86']`); without it, every country is.
 * @throws phone_invalid | phone_region_refused
 */
export function parsePhone(text: string, regions?: string[]): string {
  // NFKC turns full-width digits and plus signs into ASCII; letters stay and are refused, never skipped.
  const digits = text.length > 40 ? '' : text.normalize('NFKC').replace(separators, '');
  const parsed = mainlandNumber(digits) ?? foreignNumber(digits);
  if (!parsed) throw fail('phone_invalid');
  if (regions && !regions.includes(parsed.region)) throw fail('phone_region_refused');
  return parsed.e164;
}

/** `138****8000`; of another country `+852****4567`. For pages, logs and texts. */
export function maskPhone(e164: string): string {
  const national = mainland.exec(e164)?.[1];
  if (national) return `${national.slice(0, 3)}****${national.slice(-4)}`;
  const region = parsePhoneNumberFromString(e164)?.countryCallingCode ?? e164.slice(1, 3);
  // Of a short number four digits would be most of it.
  return `+${region}****${e164.slice(e164.length - region.length >= 9 ? -4 : -2)}`;
}

type Parsed = { e164: string; region: string };

function mainlandNumber(digits: string): Parsed | undefined {
  const national = mainland.exec(digits)?.[1];
  return national ? { e164: `+86${national}`, region: '86' } : undefined;
}

function foreignNumber(digits: string): Parsed | undefined {
  if (!/^(\+|00)?\d{6,17}$/.test(digits)) return undefined;
  const found = parsePhoneNumberFromString(digits, 'CN' satisfies CountryCode);
  if (!found?.isPossible() || !/^\+[1-9]\d{6,14}$/.test(found.number)) return undefined;
  const type = found.getType();
  if (type && cannotReceive.includes(type)) return undefined;
  // A mainland number with its trunk zero (013800138000) is the only one left that is a mobile number.
  if (found.countryCallingCode === '86') return mainlandNumber(found.number);
  return { e164: found.number, region: found.countryCallingCode };
}
