/** What is personal in a payload is masked before it is stored (architecture rule 9), and in samples of refused events too. */
import { maskEmail } from '../connectors/email-address.ts';
import { maskPhone } from '../connectors/phone-number.ts';
import { scrub } from '../log.ts';
import { isRecord } from './storable.ts';

const personalField =
  /^(?:(?:mobile|cell|tele?|contact)?_?(?:phone|tel)(?:_?(?:number|no|num))?|mobile(?:_?(?:number|no))?|e_?mail(?:_?address)?|id_?(?:card|number)(?:_?(?:number|no))?|手机号?码?|(?:联系)?电话|邮箱|身份证号?码?)$/i;
/** Begins nowhere within a word: tried from every character of a long one, it would take the time of its square (threat F7). */
const address = /(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+/g;

const mostNames = 5_000;
const longestName = 40;
/** Names seen lately: the same few come with every event, and finding one takes a tenth of the pattern. */
const names = new Map<string, boolean>();

export function isPersonalField(name: string): boolean {
  if (name.length > longestName) return personalField.test(name);
  let found = names.get(name);
  if (found !== undefined) return found;
  found = personalField.test(name);
  if (names.size >= mostNames) names.clear();
  names.set(name, found);
  return found;
}

/** The same object unless a field of a personal name holds something, in it or in what it holds. */
export function maskPersonal(fields: Record<string, unknown>): Record<string, unknown> {
  let masked = fields;
  for (const name of Object.keys(fields)) {
    const value = fields[name];
    const shown = value != null && isPersonalField(name) ? mask(value) : maskWithin(value);
    if (shown !== value) masked = { ...masked, [name]: shown };
  }
  return masked;
}

/** An order has the customer's number two levels down. How deep an event is, was bounded before. */
function maskWithin(value: unknown): unknown {
  if (isRecord(value)) return maskPersonal(value);
  if (!Array.isArray(value)) return value;
  const items = value.map(maskWithin);
  return items.some((item, n) => item !== value[n]) ? items : value;
}

export function isPhone(id: string): boolean {
  return /^(?:\+\d{7,15}|(?:86)?1[3-9]\d{9})$/.test(id);
}

/** In the time of its length: each character can be part of one thing only. */
export function isAddress(id: string): boolean {
  return /^[^\s@]+@[^\s@.]+\.[^\s@]+$/.test(id);
}

/**
 * Numbers as people write them: spaces, hyphens, dots and brackets between the digits, digits of full width. Two of these at most, and a
 * bounded number of digits: from each place the time is bounded (threat F7).
 */
const between = '[\\s().\\-\u2010-\u2015\u2212/（）]{0,2}';
const digit = '[0-9０-９]';
const number = (...digits: string[]) => new RegExp(`(?<!${digit})${digits.join(between)}(?!${digit})`, 'gu');
const nine = `(?:${between}${digit}){9}`;
const mobiles = [
  number('(?:[+＋]|[0０]{2})?[8８]', '[6６]', '[1１]', `[3-9３-９]${nine}`),
  number('[1１]', `[3-9３-９]${nine}`),
];
const foreign = new RegExp(`[+＋]${digit}(?:${between}${digit}){6,14}(?!${digit})`, 'gu');
const landline = new RegExp(`(?<![\\w-])[(（]?[0０]${digit}{2,3}[\\s)）-]{1,2}${digit}{7,8}(?![\\w-])`, 'gu');

function maskNumbers(text: string, mask: (digits: string) => string): string {
  return [...mobiles, foreign, landline].reduce(
    (masked, pattern) => masked.replace(pattern, (found) => mask(found.normalize('NFKC').replace(/[^\d+]/g, ''))),
    text,
  );
}

/** Who somebody is said to be. Trackers are often told a phone number or an address for it, which proves nothing and is nobody's id. */
export function maskedClaim(id: string): string {
  return isPhone(id) || isAddress(id) ? mask(id) : maskNumbers(id, mask);
}

function mask(value: unknown): string {
  if (typeof value !== 'string' && typeof value !== 'number') return '****';
  const text = String(value).trim();
  if (text.includes('@')) return maskEmail(text);
  if (/^(?:\+?86)?1[3-9]\d{9}$/.test(text)) return maskPhone(text);
  return text.length >= 11 ? `${text.slice(0, 3)}****${text.slice(-4)}` : '****';
}

/** Text for a page: numbers and addresses in it are masked, whatever field it stood in. */
export function maskedText(text: string): string {
  return maskNumbers(
    text.replace(address, (found) => maskEmail(found)),
    mask,
  );
}

/** The start of a refused event for its sender to recognise it by; no credential, no number, no address. */
export function maskedSample(text: string): string {
  const plain = text.replace(/"(id_?token|access_?token|writeKey)":"[^"]*"/gi, '"$1":"[redacted]"');
  const masked = maskNumbers(scrub(plain), (digits) => `${digits.slice(0, 3)}****${digits.slice(-2)}`);
  return masked
    .replace(address, (found) => maskEmail(found))
    .replace(/(?<!\d)\+?\d{8,18}(?!\d)/g, (digits) => `${digits.slice(0, 3)}****${digits.slice(-2)}`)
    .slice(0, 1_000);
}
