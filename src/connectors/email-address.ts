/**
 * One spelling of an e-mail address, and the rule for it:
 *
 *   1. compatibility forms become plain ones (NFKC: ＠ → @), space around the address is dropped, everything is lower-case;
 *   2. an international domain becomes its ASCII form (IDNA, bücher.example → xn--bcher-kva.example);
 *   3. dots and +tags stay: whether they are the same mailbox is known to the mail host alone.
 *
 * So case never makes a second account, and nobody gets an account by owning a similar address. Quoted and non-ASCII local parts,
 * address literals, several addresses and anything that could end a header line are refused (threat B13).
 */
import { domainToASCII } from 'node:url';
import { fail } from '../errors.ts';

/** The characters of RFC 5322 `atext`, dots only between them. */
const localPart = /^[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*$/;
const label = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** @throws email_invalid */
export function parseEmail(text: string): string {
  const address = normalise(text);
  if (!address) throw fail('email_invalid');
  return address;
}

function normalise(text: string): string | undefined {
  // Control characters are looked for before trimming: a trailing CR LF is an attempt, not a slip.
  if (text.length > 320 || /[\p{Cc}\u2028\u2029]/u.test(text)) return undefined;
  const plain = text.normalize('NFKC').trim().toLowerCase();
  const at = plain.lastIndexOf('@');
  const local = plain.slice(0, Math.max(0, at));
  const domain = domainToASCII(plain.slice(at + 1));
  const labels = domain.split('.');
  const named = labels.length >= 2 && labels.every((part) => label.test(part)) && !/^\d+$/.test(labels.at(-1) ?? '');
  const address = `${local}@${domain}`;
  // RFC 5321 §4.5.3.1: 64 octets before the @, 254 in all.
  return local.length <= 64 && address.length <= 254 && localPart.test(local) && named ? address : undefined;
}

/** The mailbox that limits count for: without its +tag, so that tags do not multiply the mails one mailbox can be sent. */
export function mailboxOf(address: string): string {
  return address.replace(/\+[^@]*@/, '@').replace(/^@/, '+@');
}

/** `l***@example.com`. */
export function maskEmail(address: string): string {
  return address.replace(/^(.)[^@]*/, '$1***');
}
