/**
 * The closed list of error codes. A code is a promise to programs: it is never renamed, and its status never changes.
 * Sentences for people come from the locale files under `errors.<code>`; the English ones here are for developers.
 */
const codes = {
  bad_request: [400, 'The request is malformed.'],
  invalid_json: [400, 'The body is not valid JSON.'],
  invalid_fields: [400, 'Some fields are missing or wrong; see "fields".'],
  form_expired: [403, 'The form has expired or was not opened in this browser. Load the page again.'],
  unauthorized: [401, 'A valid access token is required.'],
  unknown_write_key: [401, 'The write key is unknown or disabled.'],
  forbidden: [403, 'This token may not do that.'],
  origin_not_allowed: [403, 'The key is not registered for this origin.'],
  not_found: [404, 'There is nothing here.'],
  method_not_allowed: [405, 'The path does not answer to this method.'],
  conflict: [409, 'The request contradicts what is stored.'],
  payload_too_large: [413, 'The body is larger than allowed.'],
  unsupported_media_type: [415, 'Send the body as application/json.'],
  unsupported_encoding: [415, 'The content encoding is not supported; send gzip or none.'],
  idempotency_key_reused: [422, 'This Idempotency-Key was used for another request.'],
  too_many_requests: [429, 'Too many requests. Wait and try again.'],
  internal: [500, 'Something went wrong on our side.'],
  upstream_unavailable: [503, 'A service outside the company does not answer. Try again shortly.'],
  database_unavailable: [503, 'The database does not answer. Try again shortly.'],

  phone_invalid: [400, 'This is not a phone number that can receive a code.'],
  phone_region_refused: [400, 'Codes are not sent to numbers of this country.'],
  email_invalid: [400, 'This is not an e-mail address.'],
  code_wrong: [400, 'The code is wrong.'],
  code_expired: [400, 'The code has expired or was used. Ask for a new one.'],
  code_tries_spent: [400, 'The code was entered wrongly too often. Ask for a new one.'],
  code_too_soon: [429, 'A code was sent a moment ago. Wait before asking for another.'],
  captcha_required: [400, 'A security check has to be done before a code is sent.'],
  sending_paused: [429, 'No more codes are sent at the moment. Use another way of signing in.'],
  send_refused: [400, 'The gateway refused to send to this recipient.'],
  privacy_not_agreed: [400, 'The privacy policy must be agreed to before the first sign-in.'],
  login_expired: [400, 'This sign-in has expired. Start again from the website.'],
  method_not_offered: [400, 'This application does not offer this way of signing in.'],

  wechat_code_invalid: [400, 'The WeChat code is used, expired or of another app.'],
  wechat_refused: [400, 'WeChat refused this person.'],
  wechat_snapshot: [403, 'WeChat shows a preview of this page, in which nobody can sign in.'],
  wechat_misconfigured: [503, 'The WeChat app is not set up correctly. The operator was told.'],

  provider_answer_invalid: [400, 'The answer of the identity provider does not prove who this is. Start again.'],
  connector_not_configured: [503, 'This way of signing in is not set up.'],
  unknown_person: [404, 'Nobody is known by this identity.'],
  subject_suspended: [403, 'This account is suspended.'],
  second_proof_needed: [403, 'This number was not used for long: one more proof is needed, or a new account.'],
  identity_taken: [409, 'This way of signing in belongs to another account.'],
  identity_contradicts: [409, 'The account has another one of this kind already.'],
  last_identity: [409, 'The last way of signing in cannot be removed.'],
  merge_refused: [409, 'These two cannot be merged.'],
  case_decided: [409, 'This case was decided already.'],
  segment_takes_too_long: [
    503,
    'This definition takes too long to evaluate for everybody. Narrow its window and try again.',
  ],
  last_owner: [409, 'The last owner of the console keeps the role.'],
} as const satisfies Record<string, readonly [status: number, sentence: string]>;

export type ErrorCode = keyof typeof codes;

/** What is wrong with each field: field name to a sentence. */
export type FieldErrors = Record<string, string>;

export type FailOptions = {
  /** Public sentence in place of the code's own. It must hold no secret and no personal data. */
  message?: string;
  fields?: FieldErrors;
  /** Seconds after which the caller may try again; sent as Retry-After. */
  retryAfterSeconds?: number;
  /** Kept for the log, never shown. */
  cause?: unknown;
};

export class AppError extends Error {
  readonly code: ErrorCode;
  readonly status: number;
  readonly fields: FieldErrors | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ErrorCode, options: FailOptions = {}) {
    super(options.message ?? codes[code][1], { cause: options.cause });
    this.name = 'AppError';
    this.code = code;
    this.status = codes[code][0];
    this.fields = options.fields;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

/** Use as `throw fail('code_wrong')`: the only way to make an error that a client may see. */
export function fail(code: ErrorCode, options?: FailOptions): AppError {
  return new AppError(code, options);
}

/** A setting or an environment fault: main prints the sentence alone, without a stack trace, and exits 1. */
export class StartupError extends Error {
  override readonly name = 'StartupError';
}
export const errorCodes = Object.keys(codes) as ErrorCode[];
