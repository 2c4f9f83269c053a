/**
 * One JSON line an entry, on standard error. Secrets, codes, tokens and full phone numbers never get this far: fields of
 * those names are removed, and phone numbers inside any text are masked (threat G1).
 */
import { Writable } from 'node:stream';
import pino from 'pino';

export type Logger = pino.Logger;

const secretFields = new Set([
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
  'link_ticket',
  'link_code',
  'pairing_code',
  'authorization',
  'cookie',
  'phone',
  'email',
  'to',
  'js_code',
]);
const deepest = 4;

const secretParameters = [
  ...['secret', 'appsecret', 'client_secret', 'client_assertion', 'password', 'code_verifier', 'login_hint'],
  ...['token', 'access_token', 'refresh_token', 'subject_token', 'id_token', 'id_token_hint'],
  ...['code', 'js_code', 'phone_code', 'wechat_code'],
].join('|');

/**
 * Each is linear in the length of the text: a path of 16 kB is anybody's to send (threat G8). Most lines have nothing to mask, and
 * a look for the `sign` that no match is without costs a tenth of the pattern.
 */
const masks: { sign: string; pattern: RegExp; mask: string }[] = [
  // A one-time link and a write key are part of a path; signed tokens get into one by mistake.
  { sign: '/admin/setup/', pattern: /(\/admin\/setup\/)[^/\s"?]+/g, mask: '$1[redacted]' },
  { sign: '/report/', pattern: /(\/sms\/[^/\s"?]*\/report\/)[^/\s"?]+/g, mask: '$1[redacted]' },
  { sign: '/projects/', pattern: /(\/v[13]\/projects\/)[^/\s"?]+/g, mask: '$1[redacted]' },
  { sign: 'eyJ', pattern: /(?<![\w-])eyJ[\w-]+(?:\.[\w-]*){1,4}/g, mask: '[redacted]' },
  { sign: '=', pattern: new RegExp(`\\b(${secretParameters})=[^&\\s"']+`, 'gi'), mask: '$1=[redacted]' },
  // As it is stored (+86139…), as gateways spell it (86139…), as people do (139…).
  { sign: '1', pattern: /(?<!\d)((?:\+|00)?86)?(1[3-9]\d)\d{4}(\d{4})(?!\d)/g, mask: '$1$2****$3' },
  { sign: '+', pattern: /\+(\d{3})\d{3,9}(\d{3})(?!\d)/g, mask: '+$1****$2' },
  { sign: '@', pattern: /(?<![\w.+-])([\w+])[\w.+-]*@(?=[\w-]+\.)/g, mask: '$1***@' },
  { sign: '%40', pattern: /(?<![\w.+-])([\w+])[\w.+-]*%40(?=[\w-]+\.)/g, mask: '$1***%40' },
];

/** Masks what is personal or secret inside free text: phone numbers, e-mail addresses, tokens, the secrets of query strings. */
export function scrub(text: string): string {
  return masks.reduce(
    (masked, { sign, pattern, mask }) => (masked.includes(sign) ? masked.replace(pattern, mask) : masked),
    text,
  );
}

/**
 * The same value unless it holds a secret. By hand, for every request writes a line: pino's own redaction, told these names at three
 * depths, took 70 µs of the 75 that a line took; this takes one.
 */
function withoutSecrets<Value extends object>(value: Value, depth = 0): Value {
  let cleaned: Record<string, unknown> | undefined;
  for (const [name, item] of Object.entries(value)) {
    const kept = secretFields.has(name) && item !== undefined ? '[redacted]' : cleanItem(item, depth);
    if (kept === item) continue;
    cleaned ??= (Array.isArray(value) ? [...value] : { ...value }) as Record<string, unknown>;
    cleaned[name] = kept;
  }
  return (cleaned as Value | undefined) ?? value;
}

function cleanItem(item: unknown, depth: number): unknown {
  if (typeof item !== 'object' || item === null) return item;
  // `err`, which has a serializer.
  if (depth === 0 && item instanceof Error) return item;
  return depth < deepest ? withoutSecrets(item, depth + 1) : '[too deep]';
}

/** Where an error of PostgreSQL quotes rows, and statements with what stood in them. */
const ofRows = ['detail', 'where', 'internalQuery'];

/**
 * An error of the database about a value (22P02: invalid input syntax for type numeric: "…") quotes it: what stands in quotation marks is left
 * out. Of other classes it is the name of a table or a constraint.
 */
function quotesValues(error: Error): boolean {
  const { code, severity, cause } = error as Error & { code?: unknown; severity?: unknown };
  const isIts = severity !== undefined && typeof code === 'string' && code.startsWith('22');
  return isIts || (cause instanceof Error && quotesValues(cause));
}

const withoutQuotes = (text: string) => text.replace(/"[^"]*"?/g, '"…"');

/** What an error says, without the statement and without what people sent: to be kept (threat G1). */
export function faultOf(error: unknown): string {
  // What knex puts before it is the text of the statement.
  const said = String(error).split(' - ').at(-1) ?? '';
  return scrub(error instanceof Error && quotesValues(error) ? withoutQuotes(said) : said);
}

/** Its `code` is that of the system or the database (ECONNREFUSED, 57P01), and the first thing an operator looks for. */
function serializeError(error: unknown) {
  if (!(error instanceof Error)) return error;
  const {
    message,
    stack = '',
    ...plain
  }: Record<string, unknown> & { message: string; stack?: string } = {
    ...pino.stdSerializers.err(error),
  };
  if ('severity' in plain) for (const field of ofRows) delete plain[field];
  const shown = quotesValues(error)
    ? { message: withoutQuotes(message), stack: withoutQuotes(stack) }
    : { message, stack };
  return { ...withoutSecrets(plain), ...shown, ...('code' in plain && { code: plain.code }) };
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
      formatters: { level: (label) => ({ level: label }), log: withoutSecrets },
      // What a child logger is given does not pass the formatter.
      redact: { paths: [...secretFields], censor: '[redacted]' },
      serializers: { err: serializeError },
    },
    scrubbing,
  );
}
