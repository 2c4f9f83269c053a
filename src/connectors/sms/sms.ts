/** Sign-in by a code sent to a phone. Owns what is particular to phones; codes and limits are one-time-code.ts, providers gateway.ts. */
import { defineConnector } from '../contract.ts';
import { startCode, verifyCode } from '../one-time-code.ts';
import { maskPhone, parsePhone } from '../phone-number.ts';
import type { Caps } from '../send-limits.ts';
import { isOwnPhone } from '../wechat/given-phones.ts';
import { deliveryOf, keepAccepted, takeReports } from './deliveries.ts';
import { createGateway, type SmsSettings, smsSettings } from './gateway.ts';
import { tellBySms } from './notice.ts';
import { numberOf, proveReviewer, reviewerCode } from './reviewers.ts';

export const sms = defineConnector<SmsSettings>({
  kind: 'form',
  name: 'sms',
  identity: 'phone',
  field: 'phone',
  settings: smsSettings,
  async start(services, settings, input) {
    const phone = parsePhone(input.to, services.smsRegions);
    const request = { channel: 'sms' as const, limited_as: phone, masked_to: maskPhone(phone) };
    const reviewer = await reviewerCode(services, phone, input.purpose);
    if (reviewer) {
      // The same limits as for a message, or the code could be guessed at leisure; but it costs nothing.
      const caps = { perMinute: settings.sends_per_minute };
      return startCode(services, input, { ...request, ...reviewer, caps, send: async () => ({ result: 'sent' }) });
    }
    const send = createGateway(services, settings);
    return startCode(services, input, {
      ...request,
      recipient: phone,
      caps: capsOf(settings),
      async send(message) {
        const delivery = await send({ phone, ...message });
        await keepAccepted(services, message.otp_id, delivery);
        return delivery;
      },
    });
  },
  async verify(services, _settings, input) {
    const recipient = await verifyCode(services, 'sms', input, numberOf);
    const reviewer = await proveReviewer(services, recipient);
    if (reviewer) return reviewer;
    await isOwnPhone(services, recipient);
    return { connector: 'sms', identities: [{ kind: 'phone', issuer: '', external_id: recipient }] };
  },
  notify: tellBySms,
  delivery: deliveryOf,
  report: takeReports,
});

function capsOf({ sends_per_minute, sends_per_day, price_per_message: price, daily_budget }: SmsSettings): Caps {
  const money = price && daily_budget ? { price, perDay: daily_budget } : undefined;
  return { perMinute: sends_per_minute, perDay: sends_per_day, money };
}
