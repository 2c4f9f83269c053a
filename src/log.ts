/**
 * One JSON line an entry, on standard error. Secrets, codes, tokens and full phone numbers never get this far: fields of
 * those names are removed, and phone numbers inside any text are masked (threat G1).
 */
import { Writable } from 'node:stream';
import pino from 'pino';

export type Logger = pino.Logger;

const secretFields = [
  'password',
  'secret',
  'client_secret',
  'access_key_secret',
  'appsecret',
  'session_key',
  'code',
  'otp',
  'token',
  'access_token',
  'refresh_token',
  'id_token',
  'subject_token',
  'phone_code',
  'wechat_code',
  'authorization',
  'cookie',
  'phone',
  'email',
  'to',
  'js_code',
];

/** Masks what is personal or secret inside free text: mainland mobile numbers, and the secrets of query strings. */
export function scrub(text: string): string {
  return text
    .replace(/(?<!\d)(1[3-9]\d)\d{4}(\d{4})(?!\d)/g, '$1****$2')
    .replace(/\b(secret|appsecret|access_token|js_code|code|password|client_secret)=[^&\s"']+/gi, '$1=[redacted]');
}

export function createLogger(options: { level: string; destination?: Writable }): Logger {
  const out = options.destination ?? pino.destination({ dest: 2, sync: true });
  (out as NodeJS.EventEmitter).on('error', () => {});
  const scrubbing = new Writable({
    write(chunk, _encoding, done) {
      // A closed terminal or pipe takes the log with it (EIO, EPIPE); requests and the orderly stop go on without.
      try {
        out.write(scrub(chunk.toString()));
      } catch {}
      done();
    },
  });
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: secretFields.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]), censor: '[redacted]' },
    },
    scrubbing,
  );
}
