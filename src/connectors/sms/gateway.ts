/**
 * What an SMS provider is, and the way from one to the other. A provider gets the number and the code and nothing else of the
 * person (PIPL article 21: the minimum leaves the house). Another one is another file here and another branch of the settings.
 */
import { z } from 'zod';
import { type ConnectorServices, secret } from '../contract.ts';
import type { Delivery } from '../one-time-code.ts';
import { type AliyunSettings, aliyunSettings, sendByAliyun } from './aliyun.ts';
import type { SmsMessage } from './message.ts';
import { sendByTencent, type TencentSettings, tencentSettings } from './tencent.ts';

const providers = [aliyunSettings, tencentSettings] as const;
const names = providers.map(({ shape }) => shape.provider.value).join(', ');
const error = ({ code }: { code: string }) => (code === 'invalid_union' ? `is one of ${names}` : undefined);

/** Strict: the check of unknown names that settings.ts makes does not look inside a setting. */
const fallback = z.discriminatedUnion(
  'provider',
  [z.strictObject(aliyunSettings.shape), z.strictObject(tencentSettings.shape)],
  { error },
);

const caps = z.object({
  fallback: fallback
    .optional()
    .describe('a second provider with settings of its own: sends what the first one certainly did not'),
  sends_per_minute: z.number().int().min(1).max(100_000).default(300).describe('most codes sent in a minute, in all'),
  sends_per_day: z
    .number()
    .int()
    .min(1)
    .max(10_000_000)
    .default(20_000)
    .describe('most codes sent in 24 hours, in all'),
  price_per_message: z
    .number()
    .min(0.0001)
    .max(100)
    .optional()
    .describe('of the dearer provider, in the currency of daily_budget, such as 0.045'),
  report_token: z
    .string()
    .regex(/^[\w-]{32,128}$/, 'is 32 to 128 letters and digits; make one with "openssl rand -hex 24"')
    .meta(secret)
    .optional()
    .describe('opens the address that delivery reports are pushed to, /sms/<provider>/report/<report_token>'),
  daily_budget: z.number().min(0.0001).max(200_000).optional().describe('most money spent in 24 hours'),
});

export const smsSettings = z
  .discriminatedUnion('provider', providers, { error })
  .and(caps)
  .refine(({ daily_budget, price_per_message }) => !daily_budget || price_per_message, {
    path: ['price_per_message'],
    error: 'is needed with daily_budget',
  });
export type SmsSettings = z.infer<typeof smsSettings>;

/** Never throws: says how it ended, so that limits are given back exactly when nothing was sent. */
export type SmsGateway = (message: SmsMessage) => Promise<Delivery>;

type Services = Pick<ConnectorServices, 'clock' | 'log'>;

/**
 * The second provider is asked only when the first certainly sent nothing and the fault is its own: never after silence, which
 * would be two messages for one code (threat B11), and never for a number that is wrong or was sent enough.
 */
export function createGateway(services: Services, settings: SmsSettings): SmsGateway {
  const { fallback } = settings;
  return async (message) => {
    const delivery = await send(services, settings, message);
    if (!fallback || delivery.result !== 'failed' || delivery.error.code !== 'upstream_unavailable') return delivery;
    const providers = { provider: settings.provider, next: fallback.provider };
    services.log.warn({ connector: 'sms', otp_id: message.otp_id, ...providers }, 'sms: over to the other provider');
    return send(services, fallback, message);
  };
}

function send(services: Services, settings: AliyunSettings | TencentSettings, message: SmsMessage): Promise<Delivery> {
  switch (settings.provider) {
    case 'aliyun':
      return sendByAliyun(services, settings, message);
    case 'tencent':
      return sendByTencent(services, settings, message);
  }
}
