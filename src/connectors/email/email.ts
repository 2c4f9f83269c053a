/** Sign-in by a code sent by mail. Owns what is particular to mail; codes and limits are one-time-code.ts, SMTP is smtp.ts. */
import { defineConnector } from '../contract.ts';
import { mailboxOf, maskEmail, parseEmail } from '../email-address.ts';
import { codeTtl, startCode, verifyCode } from '../one-time-code.ts';
import { codeMail, noticeMail } from './message.ts';
import { type EmailSettings, emailSettings, sendMail } from './smtp.ts';

export const email = defineConnector<EmailSettings>({
  kind: 'form',
  name: 'email',
  identity: 'email',
  field: 'email',
  settings: emailSettings,
  async start(services, settings, input) {
    const address = parseEmail(input.to);
    return startCode(services, input, {
      channel: 'email',
      recipient: address,
      limited_as: mailboxOf(address),
      masked_to: maskEmail(address),
      caps: { perMinute: settings.sends_per_minute },
      send: ({ code, otp_id }) =>
        sendMail(services, settings, {
          to: address,
          message_id: otp_id,
          ...codeMail({ code, locale: input.locale, minutes: codeTtl / 60 }),
        }),
    });
  },
  async verify(services, _settings, input) {
    const address = await verifyCode(services, 'email', input, mailboxOf);
    return { connector: 'email', identities: [{ kind: 'email', issuer: '', external_id: address }] };
  },
  async notify(services, settings, notice) {
    const mail = { to: notice.to, message_id: notice.id, ...noticeMail(notice) };
    const delivery = await sendMail(services, settings, mail);
    if (delivery.result !== 'sent') throw delivery.error;
    return true;
  },
});
