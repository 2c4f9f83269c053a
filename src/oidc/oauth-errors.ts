/**
 * Our errors as OAuth errors (RFC 6749 section 5.2). `error_reason` is our own code: what a mini-program decides by, where the
 * standard knows only `invalid_grant`.
 */
import type { errors as engineErrors } from 'oidc-provider';
import { isDatabaseAway } from '../database.ts';
import { AppError, type ErrorCode } from '../errors.ts';
import { errors } from './engine.ts';

export type OAuthError = engineErrors.OIDCProviderError & {
  error_reason?: string;
  retry_after_seconds?: number;
};

/** What the caller handed over does not prove a person. */
const badProof: ErrorCode[] = [
  'wechat_code_invalid',
  'wechat_refused',
  'code_wrong',
  'code_expired',
  'code_tries_spent',
  'unknown_person',
  'subject_suspended',
  'second_proof_needed',
];
/** Nothing that the caller can mend. */
const outages: ErrorCode[] = [
  'upstream_unavailable',
  'database_unavailable',
  'wechat_misconfigured',
  'connector_not_configured',
];

type Options = { description?: string; reason?: string; retryAfterSeconds?: number | undefined; cause?: unknown };

function oauthError(status: number, error: string, options: Options): OAuthError {
  const made: OAuthError = new errors.CustomOIDCProviderError(error, options.description ?? error);
  // Otherwise the engine says `server_error` for everything from 500 on.
  Object.assign(made, { status, statusCode: status, expose: true, cause: options.cause });
  if (options.reason) made.error_reason = options.reason;
  if (options.retryAfterSeconds) made.retry_after_seconds = options.retryAfterSeconds;
  return made;
}

export function invalidRequest(description: string, reason?: string): OAuthError {
  return oauthError(400, 'invalid_request', { description, ...(reason && { reason }) });
}

export function invalidGrant(description: string, reason?: string): OAuthError {
  return oauthError(400, 'invalid_grant', { description, ...(reason && { reason }) });
}

export function temporarilyUnavailable(options: Options = {}): OAuthError {
  return oauthError(503, 'temporarily_unavailable', {
    description: 'The service is not available at the moment. Try again shortly.',
    retryAfterSeconds: 2,
    ...options,
  });
}

/** Anything thrown by our own parts; what is not a known error is returned as it is, and becomes `server_error`. */
export function toOAuthError(thrown: unknown): unknown {
  if (isDatabaseAway(thrown)) return temporarilyUnavailable({ reason: 'database_unavailable', cause: thrown });
  if (!(thrown instanceof AppError)) return thrown;
  const { code, message, fields, retryAfterSeconds } = thrown;
  const description = fields ? Object.values(fields).join(' ') : message;
  const options = { description, reason: code, retryAfterSeconds, cause: thrown.cause ?? thrown };
  if (badProof.includes(code)) return oauthError(400, 'invalid_grant', options);
  if (outages.includes(code)) return temporarilyUnavailable({ ...options, retryAfterSeconds: retryAfterSeconds ?? 5 });
  if (thrown.status === 429)
    return oauthError(429, 'temporarily_unavailable', { ...options, retryAfterSeconds: retryAfterSeconds ?? 60 });
  return thrown.status < 500 ? oauthError(400, 'invalid_request', options) : thrown;
}

/** An outage is said as one: the engine shows every other error of what it calls as `server_error`. */
export async function reach<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw toOAuthError(error);
  }
}

export function isOAuthError(thrown: unknown): thrown is OAuthError {
  return thrown instanceof errors.OIDCProviderError;
}
