/**
 * How many codes may be sent (threats B6, B7): to one recipient, from one address, from one network, in all, for so much money.
 * A limit counts codes that were sent, or may have been: what a later limit or the provider refused is given back, so nobody is
 * made to wait for a message that never left (threat B11).
 *
 * Below the limits there are signs that something is abnormal. From then on whoever asks has to do a captcha first; on an ordinary
 * day nobody meets one.
 */
import { BlockList, isIPv6 } from 'node:net';
import { AppError, type ErrorCode, fail } from '../errors.ts';
import { networkOf } from '../http/client-address.ts';
import type { Limit, Limits } from '../http/limits.ts';
import type { ConnectorServices } from './contract.ts';

/** Seconds between two codes to one recipient; people are told to wait this long. */
export const spacing = 60;
const day = 86_400;

const spacingLimit: Limit = { name: 'code_recipient_spacing', points: 1, seconds: spacing };
const perHour: Limit = { name: 'code_recipient_hour', points: 5, seconds: 3600 };
const perDay: Limit = { name: 'code_recipient_day', points: 10, seconds: day };
/** Codes that nobody typed: what a stranger leaves behind who uses up somebody's codes of the day. */
const unproven: Limit = { name: 'code_recipient_unproven', points: 10, seconds: day };
/** Generous, because whole offices and mobile carriers share an address; a bot is stopped within its first minute. */
const perAddress: Limit = { name: 'code_address', points: 30, seconds: 600 };
const perNetwork: Limit = { name: 'code_network', points: 150, seconds: 600 };
/** Numbers of one thousand (138 0013 8xxx) asked for from one network: people are spread, lists that earn money are sequential. */
const perThousand: Limit = { name: 'code_network_thousand', points: 60, seconds: 3600 };

/** From so many uses on in the window of the limit, a captcha is demanded. */
const abnormalFrom = { unproven: 4, address: 11, network: 41, thousand: 5 };
/** And from this part of a cap on. Of the caps of a day the operator hears then, too. */
const abnormalPart = { minute: 0.5, day: 0.8 };

/** What the company allows itself, over all recipients. */
export type Caps = {
  perMinute: number;
  /** In 24 hours. */
  perDay?: number;
  /** In the currency of the settings: what a message costs, and what 24 hours may cost. */
  money?: { price: number; perDay: number } | undefined;
};

export type Sending = { channel: string; recipient: string; ip: string; caps: Caps; captcha: string | undefined };

export type SendCount = {
  /** Nothing was sent: everything is given back. */
  refund(): Promise<void>;
  /** It may have been sent: another try is allowed at once, but hour, day and budget keep it. */
  refundSpacing(): Promise<void>;
};

type Services = Pick<ConnectorServices, 'limits' | 'captcha' | 'log'>;

type Counter = {
  limit: Limit;
  key: string;
  weight?: number;
  error?: ErrorCode;
  abnormalFrom?: number;
  /** A cap by the name of its setting. */
  cap?: string;
};

/** @throws code_too_soon | too_many_requests | sending_paused | captcha_required */
export async function countSend(services: Services, sending: Sending): Promise<SendCount> {
  const { limits } = services;
  const counted: Counter[] = [];
  const refund = async () => {
    for (const { limit, key, weight } of counted.splice(0)) await limits.refund(limit, key, weight);
  };
  try {
    const signs: string[] = [];
    let isFirstThisHour = false;
    for (const counter of countersOf(sending)) {
      // One number that is sent several codes is no sequence.
      if (counter.limit === perThousand && !isFirstThisHour) continue;
      // Also a refused use was counted, so it is given back with the others.
      counted.push(counter);
      const used = await spend(services, sending.channel, counter);
      if (counter.limit === perHour) isFirstThisHour = used === 1;
      if (used >= (counter.abnormalFrom ?? Number.POSITIVE_INFINITY)) signs.push(counter.limit.name);
    }
    if (signs.length) await demandCaptcha(services, sending, signs);
  } catch (refused) {
    await refund();
    throw refused;
  }
  return { refund, refundSpacing: () => limits.refund(spacingLimit, recipientKey(sending)) };
}

/** Whoever typed the code is no stranger to the number. */
export async function countProven(limits: Limits, sending: Pick<Sending, 'channel' | 'recipient'>): Promise<void> {
  await limits.forget(unproven, recipientKey(sending));
}

const recipientKey = ({ channel, recipient }: Pick<Sending, 'channel' | 'recipient'>) => `${channel} ${recipient}`;

function countersOf({ channel, recipient, ip, caps }: Sending): Counter[] {
  const key = recipientKey({ channel, recipient });
  const network = networkOf(ip);
  const { address, network: near, thousand } = isInside(ip) ? nothing : abnormalFrom;
  return [
    { limit: spacingLimit, key, error: 'code_too_soon' },
    { limit: perHour, key },
    { limit: perDay, key },
    { limit: unproven, key, abnormalFrom: abnormalFrom.unproven },
    { limit: perAddress, key: ip, abnormalFrom: address },
    { limit: perNetwork, key: network, abnormalFrom: near },
    ...(channel === 'sms'
      ? [{ limit: perThousand, key: `${network} ${recipient.slice(0, -3)}`, abnormalFrom: thousand }]
      : []),
    ...capsOf(channel, caps),
  ];
}

/**
 * A developer's machine, or a proxy that TRUST_PROXY does not name: it tells nothing about who asks, and would demand a captcha of
 * everybody. The limits hold there all the same.
 */
const inside = new BlockList();
for (const [network, bits] of [
  ['127.0.0.0', 8],
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
] as const)
  inside.addSubnet(network, bits, 'ipv4');
inside.addAddress('::1', 'ipv6');
inside.addSubnet('fc00::', 7, 'ipv6');

const isInside = (ip: string) => inside.check(ip, isIPv6(ip) ? 'ipv6' : 'ipv4');
const nothing: Partial<typeof abnormalFrom> = {};

function capsOf(channel: string, { perMinute, perDay, money }: Caps): Counter[] {
  const cap = (setting: string, limit: Omit<Limit, 'name'>, part: number, weight = 1): Counter => ({
    limit: { ...limit, name: `code_${setting}_${channel}` },
    key: '',
    weight,
    error: 'sending_paused',
    // The first use alone is never abnormal, however small the cap.
    abnormalFrom: Math.max(limit.points * part, weight) + weight,
    cap: setting,
  });
  return [
    cap('sends_per_minute', { points: perMinute, seconds: 60 }, abnormalPart.minute),
    ...(perDay ? [cap('sends_per_day', { points: perDay, seconds: day }, abnormalPart.day)] : []),
    ...(money
      ? [cap('daily_budget', { points: inUnits(money.perDay), seconds: day }, abnormalPart.day, inUnits(money.price))]
      : []),
  ];
}

/** Counters are integers, and a message costs fractions of a cent. */
const inUnits = (money: number) => Math.round(money * 10_000);

async function spend(services: Services, channel: string, counter: Counter): Promise<number> {
  const { limit, key, weight = 1, error, cap } = counter;
  try {
    const { used, seconds } = await services.limits.spend(limit, key, error, weight);
    const alarmAt = limit.points * abnormalPart.day;
    if (cap && limit.seconds === day && used >= alarmAt && (await isNews(services, counter, 'near', seconds)))
      services.log.warn({ connector: channel, cap, seconds_left: seconds }, 'connectors: 80 % of this cap is used');
    return used;
  } catch (refused) {
    const seconds = refused instanceof AppError ? refused.retryAfterSeconds : undefined;
    if (cap && seconds && (await isNews(services, counter, 'reached', seconds)))
      services.log.error(
        { connector: channel, cap, seconds_left: seconds },
        'connectors: cap reached, nothing is sent',
      );
    throw refused;
  }
}

/** The operator hears once in the window of a cap, from whichever process. */
async function isNews({ limits }: Services, { limit }: Counter, what: string, seconds: number): Promise<boolean> {
  try {
    await limits.spend({ name: `${limit.name}_${what}`, points: 1, seconds }, '');
    return true;
  } catch (error) {
    if (error instanceof AppError) return false;
    throw error;
  }
}

async function demandCaptcha({ captcha, log }: Services, sending: Sending, signs: string[]): Promise<void> {
  if (sending.captcha && (await captcha.verify(sending.captcha))) return;
  log.info({ connector: sending.channel, signs }, 'connectors: captcha demanded');
  throw fail('captcha_required');
}
