/** Mail through an SMTP relay (nodemailer). A mail is sent once or fails: nothing is queued, because its code lives minutes. */
import nodemailer from 'nodemailer';
import { z } from 'zod';
import { fail } from '../../errors.ts';
import { type ConnectorServices, secret } from '../contract.ts';
import { parseEmail } from '../email-address.ts';
import type { Delivery } from '../one-time-code.ts';
import { isLoopback, upstreamTimeout } from '../upstream.ts';

export const emailSettings = z
  .object({
    host: z
      .string()
      .min(1)
      .max(253)
      .regex(/^[\w.:-]+$/, 'must be a host name or an address')
      .describe('the relay'),
    port: z.number().int().min(1).max(65_535).describe('465 with "secure": true, else 587'),
    secure: z
      .boolean()
      .default(false)
      .describe('TLS from the first byte (port 465); else STARTTLS when the relay offers it'),
    user: z.string().min(1).max(256).optional().describe('left out for a relay that knows this server by its address'),
    password: z.string().min(1).max(1024).optional().meta(secret),
    from: z
      .string()
      .max(400)
      .refine((text) => parseSender(text) !== undefined, 'must be an address, or a name with <address>')
      .describe('sender: an address, or a name with <address>'),
    sends_per_minute: z.number().int().min(1).max(100_000).default(300).describe('most codes sent in a minute, in all'),
  })
  .refine(({ user, password }) => (user === undefined) === (password === undefined), {
    message: 'user and password come together',
    path: ['password'],
  });
export type EmailSettings = z.infer<typeof emailSettings>;

export type Mail = { to: string; message_id: string; subject: string; text: string; html: string };

export async function sendMail(
  { log }: Pick<ConnectorServices, 'log'>,
  settings: EmailSettings,
  mail: Mail,
): Promise<Delivery> {
  const sender = parseSender(settings.from) ?? { name: '', address: '' };
  try {
    await createTransport(settings).sendMail({
      from: sender,
      // As an object, so that it is never read as a list of addresses.
      to: { name: '', address: mail.to },
      messageId: `<${mail.message_id}@${sender.address.split('@')[1]}>`,
      subject: mail.subject,
      text: mail.text,
      html: mail.html,
      // RFC 3834: no out-of-office answers to a machine.
      headers: { 'Auto-Submitted': 'auto-generated', 'X-Auto-Response-Suppress': 'All' },
      disableFileAccess: true,
      disableUrlAccess: true,
      // nodemailer's socketTimeout is one of silence; a relay that drips a byte a second is cut off by this one.
      signal: AbortSignal.timeout(upstreamTimeout),
    });
    return { result: 'sent' };
  } catch (error) {
    return failed(log, error as SmtpError);
  }
}

function createTransport({ host, port, secure, user, password }: EmailSettings) {
  const local = isLoopback(host);
  return nodemailer.createTransport({
    host,
    port,
    secure,
    auth: user === undefined ? undefined : { user, pass: password },
    // A password is never sent in the clear, whatever somebody on the way strips from the greeting (RFC 8314).
    requireTLS: !secure && !local && user !== undefined,
    // Mail to this machine does not leave it, and hardly any relay has a certificate for "localhost".
    tls: { rejectUnauthorized: !local },
    connectionTimeout: 3_000,
    greetingTimeout: 3_000,
    socketTimeout: 4_000,
    dnsTimeout: 3_000,
    socketCloseTimeout: 0,
  });
}

type SmtpError = {
  code?: string;
  originalCode?: string;
  command?: string;
  responseCode?: number;
  timeoutType?: string;
};

/** SMTP replies quote the address, so the log gets codes only. */
function failed(log: ConnectorServices['log'], error: SmtpError): Delivery {
  const { code, originalCode, command, responseCode, timeoutType } = error;
  const entry = { connector: 'email', fault: originalCode ?? code, smtp_reply: responseCode, step: command };
  // 5.1.x: this recipient does not exist or takes no mail from us.
  if (command === 'RCPT TO' && responseCode && responseCode >= 550 && responseCode <= 553) {
    log.info(entry, 'email: recipient refused by the relay');
    return { result: 'failed', error: fail('send_refused') };
  }
  const ours = code === 'EAUTH' || code === 'ETLS' || (responseCode !== undefined && responseCode >= 500);
  if (ours)
    log.error(entry, 'email: check the relay, its certificate, and the user, password and sender of this connector');
  else log.warn(entry, 'email: the relay does not answer as it should');
  // Without a reply, a broken connection can have been broken after the mail was taken.
  const certain =
    responseCode !== undefined ||
    ['EDNS', 'ETLS', 'EAUTH'].includes(code ?? '') ||
    ['CONNECT_TIMEOUT', 'GREETING_TIMEOUT', 'UPGRADE_TIMEOUT'].includes(timeoutType ?? '') ||
    ['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH'].includes(originalCode ?? '');
  const error503 = fail('upstream_unavailable', { retryAfterSeconds: ours ? 60 : 5 });
  return { result: certain ? 'failed' : 'unknown', error: error503 };
}

/** `Heyi <no-reply@example.com>` or the bare address. */
function parseSender(text: string): { name: string; address: string } | undefined {
  const [, name = '', address = ''] = /^([^<>\p{Cc}]*)<([^<>]*)>$/u.exec(text) ?? [null, '', text];
  try {
    return { name: name.trim().replace(/^"(.*)"$/, '$1'), address: parseEmail(address) };
  } catch {
    return undefined;
  }
}
