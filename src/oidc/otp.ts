/**
 * POST /otp {client_id, channel, to, captcha?}: sends a one-time code to somebody who signs in inside a mini-program or an app. It
 * never looks whether the recipient is known, so the answer cannot tell (threat B9). The code is bound to the client.
 */
import type { Connectors } from '../connectors/contract.ts';
import { AppError, fail } from '../errors.ts';
import { readForm, readJson } from '../http/body.ts';
import type { Limit, Limits } from '../http/limits.ts';
import { type Context, toAppError } from '../http/server.ts';
import { type ClientDirectory, tokenExchange } from './clients.ts';
import type { Cors } from './cors.ts';
import { isOAuthError, type OAuthError, toOAuthError } from './oauth-errors.ts';

type OtpDependencies = { clients: ClientDirectory; connectors: Connectors; limits: Limits; cors: Cors };

/** Numbers and addresses have limits of their own (connectors/send-limits.ts); this one holds when one client's id is abused. */
const perClient: Limit = { name: 'otp_client', points: 3_000, seconds: 600 };

export function createOtp(deps: OtpDependencies) {
  return async (ctx: Context): Promise<void> => {
    if (ctx.method === 'OPTIONS') return deps.cors.preflight(ctx);
    ctx.set('Cache-Control', 'no-store');
    let client_id: string | undefined;
    try {
      const fields = await readFields(ctx);
      client_id = fields.client_id;
      ctx.body = await send(deps, ctx, fields);
    } catch (thrown) {
      answerError(ctx, thrown);
      if (isCaptchaDemanded(thrown)) await handOverChallenge(deps, ctx);
    }
    const client = client_id === undefined ? undefined : await deps.clients.find(client_id).catch(() => undefined);
    await deps.cors.settle(ctx, client?.row.metadata).catch(() => undefined);
  };
}

type Fields = { client_id: string; channel: string; to: string; captcha: string | undefined };

async function readFields(ctx: Context): Promise<Fields> {
  const body = ctx.is('json') ? await readJson(ctx, { limit: 8_192 }) : await readForm(ctx);
  if (typeof body !== 'object' || body === null) throw fail('invalid_json');
  const given = body as Record<string, unknown>;
  const field = (name: string) => {
    const value = Object.hasOwn(given, name) ? given[name] : undefined;
    if (typeof value === 'string' && value && value.length <= 320) return value;
    throw fail('invalid_fields', { fields: { [name]: `${name} is missing or malformed.` } });
  };
  const captcha = Object.hasOwn(given, 'captcha') ? given.captcha : undefined;
  if (captcha !== undefined && typeof captcha !== 'string')
    throw fail('invalid_fields', { fields: { captcha: 'captcha is the solution as text.' } });
  return { client_id: field('client_id'), channel: field('channel'), to: field('to'), captcha };
}

async function send(
  { clients, connectors, limits }: OtpDependencies,
  ctx: Context,
  { client_id, channel, to, captcha }: Fields,
) {
  const client = (await clients.find(client_id))?.row;
  if (!client?.metadata.grant_types.includes(tokenExchange)) throw unauthorizedClient;
  if ((channel !== 'sms' && channel !== 'email') || !client.methods.includes(channel)) throw fail('method_not_offered');
  await limits.spend(perClient, client_id);
  const locale = ctx.acceptsLanguages('zh-CN', 'zh', 'en') === 'en' ? 'en' : 'zh-CN';
  const input = { to, purpose: 'otp' as const, binding: client_id, ip: ctx.state.ip, locale, captcha };
  const { otp_id, resend_after, expires_in } = await connectors.start(channel, input);
  // The exchange is told nothing but this id, and asks the connector that made it.
  return { otp_id: `${channel}_${otp_id}`, resend_after, expires_in };
}

const unauthorizedClient = {
  status: 400,
  error: 'unauthorized_client',
  error_description: 'The client is unknown or may not send codes.',
};

function answerError(ctx: Context, thrown: unknown): void {
  const error = thrown === unauthorizedClient ? unauthorizedClient : asOAuth(thrown);
  ctx.status = error.status;
  const { error_reason, retry_after_seconds } = error as Partial<OAuthError>;
  if (retry_after_seconds) ctx.set('Retry-After', String(retry_after_seconds));
  ctx.body = {
    error: error.error,
    error_description: error.error_description,
    ...(error_reason && { error_reason }),
  };
}

function isCaptchaDemanded(thrown: unknown): boolean {
  return thrown instanceof AppError && thrown.code === 'captcha_required';
}

/** `invalid_request` would send an app's developer looking for a fault: it is asked to do something, and gets what to do. */
async function handOverChallenge({ connectors }: OtpDependencies, ctx: Context): Promise<void> {
  ctx.body = { ...(ctx.body as object), error: 'captcha_required', captcha: await connectors.challenge() };
}

/** What is not an error of ours stays one of the server, with its line in the log. */
function asOAuth(thrown: unknown): OAuthError {
  const error = toOAuthError(thrown instanceof AppError ? thrown : toAppError(thrown));
  if (isOAuthError(error)) return error;
  throw thrown;
}
