/** Phone numbers as the simulated world writes them: E.164, split the way WeChat and the SMS gateways want it. */
import { parsePhoneNumberFromString } from 'libphonenumber-js';

/**
 * Mainland numbers by their shape (new ranges reach the library late), others by the library.
 * Takes what people and gateways write: 13800138000, +8613800138000, 0086…, 86…, +852….
 */
export function toE164(text: string): string | undefined {
  const compact = text.normalize('NFKC').replace(/[\s()-]/g, '');
  const mainland = /^(?:\+|00)?(?:86)?(1[3-9]\d{9})$/.exec(compact);
  if (mainland) return `+86${mainland[1]}`;
  const international = parsePhoneNumberFromString(compact.replace(/^00/, '+').replace(/^(?=\d)/, '+'));
  return international?.isPossible() && international.countryCallingCode !== '86' ? international.number : undefined;
}

export function splitE164(phone: string): { countryCode: string; purePhoneNumber: string } {
  if (phone.startsWith('+86')) return { countryCode: '86', purePhoneNumber: phone.slice(3) };
  const parsed = parsePhoneNumberFromString(phone);
  return {
    countryCode: parsed?.countryCallingCode ?? '',
    purePhoneNumber: parsed?.nationalNumber ?? phone.replace(/^\+/, ''),
  };
}
