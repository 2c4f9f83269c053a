/**
 * How many codes may be sent (threats B6, B7): to one recipient, from one address, from one network, in all. A limit counts
 * codes that were sent, or may have been: what a later limit or the provider refused is given back, so nobody is made to wait
 * for a message that never left (threat B11).
 */
import { isIPv6 } from 'node:net';
import type { Limit, Limits } from '../http/limits.ts';

/** Seconds between two codes to one recipient; people are told to wait this long. */
export const spacing = 60;

const perRecipient: Limit[] = [
  { name: 'code_recipient_hour', points: 5, seconds: 3600 },
  { name: 'code_recipient_day', points: 10, seconds: 86_400 },
];
const spacingLimit: Limit = { name: 'code_recipient_spacing', points: 1, seconds: spacing };
/** Generous, because whole offices and mobile carriers share an address; a bot is stopped within its first minute. */
const perAddress: Limit = { name: 'code_address', points: 30, seconds: 600 };
const perNetwork: Limit = { name: 'code_network', points: 150, seconds: 600 };

export type SendCount = {
  /** Nothing was sent: everything is given back. */
  refund(): Promise<void>;
  /** It may have been sent: another try is allowed at once, but hour, day and budget keep it. */
  refundSpacing(): Promise<void>;
};

export type Sending = { channel: string; recipient: string; ip: string; perMinute: number };

/** @throws code_too_soon | too_many_requests */
export async function countSend(limits: Limits, sending: Sending): Promise<SendCount> {
  const recipient = `${sending.channel} ${sending.recipient}`;
  // The figure is part of the name: an operator's new figure starts a counter of its own.
  const budget = {
    name: `code_minute_${sending.channel}_${sending.perMinute}`,
    points: sending.perMinute,
    seconds: 60,
  };
  const counters: [Limit, string][] = [
    [spacingLimit, recipient],
    ...perRecipient.map((limit): [Limit, string] => [limit, recipient]),
    [perAddress, sending.ip],
    [perNetwork, networkOf(sending.ip)],
    [budget, ''],
  ];
  const counted: typeof counters = [];
  const refund = async () => {
    for (const [limit, key] of counted.splice(0)) await limits.refund(limit, key);
  };
  try {
    for (const [limit, key] of counters) {
      // Also a refused use was counted, so it is given back with the others.
      counted.push([limit, key]);
      await limits.spend(limit, key, limit === spacingLimit ? 'code_too_soon' : 'too_many_requests');
    }
  } catch (refused) {
    await refund();
    throw refused;
  }
  return { refund, refundSpacing: () => limits.refund(spacingLimit, recipient) };
}

/** The /24 of an IPv4 address, the /64 of an IPv6 one: what one household or one rented machine has to itself. */
export function networkOf(ip: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(ip)?.[1] ?? ip;
  if (!isIPv6(mapped)) return mapped.replace(/\.\d+$/, '.0/24');
  // The URL parser writes every spelling of an address the same way, with :: for its longest run of zeros.
  const [head = '', tail] = new URL(`http://[${mapped.replace(/%.*$/, '')}]`).hostname.slice(1, -1).split('::');
  const left = head ? head.split(':') : [];
  const right = tail ? tail.split(':') : [];
  const zeros = tail === undefined ? [] : Array<string>(8 - left.length - right.length).fill('0');
  return `${[...left, ...zeros, ...right].slice(0, 4).join(':')}::/64`;
}
