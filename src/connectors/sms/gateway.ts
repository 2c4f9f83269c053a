/**
 * What an SMS provider is. A provider gets the number and the code and nothing else of the person (PIPL article 21: the minimum
 * leaves the house). Another one is another file here and another branch of the settings.
 */
import { z } from 'zod';
import type { ConnectorServices } from '../contract.ts';
import type { Delivery } from '../one-time-code.ts';
import { aliyunSettings, sendByAliyun } from './aliyun.ts';

const providers = [aliyunSettings] as const;
const names = providers.map(({ shape }) => shape.provider.value).join(', ');

export const smsSettings = z
  .discriminatedUnion('provider', providers, {
    error: ({ code }) => (code === 'invalid_union' ? `is one of ${names}` : undefined),
  })
  .and(
    z.object({
      sends_per_minute: z
        .number()
        .int()
        .min(1)
        .max(100_000)
        .default(300)
        .describe('most codes sent in a minute, in all'),
    }),
  );
export type SmsSettings = z.infer<typeof smsSettings>;

export type SmsMessage = {
  /** E.164. */
  phone: string;
  code: string;
  /** Names this message in the provider's own log and keeps a repeated request from being a second message. */
  otp_id: string;
};

/** Never throws: says how it ended, so that limits are given back exactly when nothing was sent. */
export type SmsGateway = (message: SmsMessage) => Promise<Delivery>;

export function createGateway(services: Pick<ConnectorServices, 'clock' | 'log'>, settings: SmsSettings): SmsGateway {
  switch (settings.provider) {
    case 'aliyun':
      return (message) => sendByAliyun(services, settings, message);
  }
}
