/**
 * RFC 8693 at /token: what a mini-program (or an app) has instead of a browser redirect.
 *
 *   wechat-login-code [+ phone_code]         wx.login proves the openid and unionid, the phone button the number
 *                     [+ link_ticket, link_code]  a link of the website: the account there and this WeChat join
 *   one-time-code     [+ wechat_code]        a code of POST /otp proves the number or address
 *
 *   check everything that costs nothing → prove → subject → consents → tokens, in one write → bind the anonymous id
 *
 * The appid is the client's own, never the request's (threat C3), and an openid that a request states is not read (C4).
 */

import type { Connectors, Proof } from '../connectors/contract.ts';
import { type Consent, parseConsents } from '../consent/consent.ts';
import { AppError } from '../errors.ts';
import { claimHeldEvents } from '../events/jobs.ts';
import { limitedAddress } from '../http/client-address.ts';
import type { Limits } from '../http/limits.ts';
import type { Jobs } from '../jobs.ts';
import type { Seal } from '../seal.ts';
import { type Resolution, resolveSubject } from '../subjects/resolve.ts';
import { type EngineClient, ours } from './clients.ts';
import { channelOf, keepConsents } from './consents.ts';
import { errors } from './engine.ts';
import { createExchangeLimits } from './exchange-limits.ts';
import { issueTokens, type RequestedAccess, readRequestedAccess } from './issue.ts';
import { joinByLink, type LinkStatus } from './launch-link.ts';
import { invalidGrant, invalidRequest, toOAuthError } from './oauth-errors.ts';
import { anonymousIdOf, bind, type GrantContext, type TokenEndpointDependencies } from './token-endpoint.ts';

export const wechatLoginCode = 'urn:heyi:token-type:wechat-login-code';
export const oneTimeCode = 'urn:heyi:token-type:one-time-code';

export const exchangeParameters = [
  'subject_token',
  'subject_token_type',
  'requested_token_type',
  'phone_code',
  'wechat_code',
  'link_ticket',
  'link_code',
  'anonymous_id',
  'create',
  'device_id',
  'disown',
  'consents',
  'scope',
  'resource',
];

const accessTokenType = 'urn:ietf:params:oauth:token-type:access_token';

export type ExchangeDependencies = TokenEndpointDependencies & {
  seal: Seal;
  connectors: Connectors;
  limits: Limits;
  jobs: Pick<Jobs, 'send'>;
  publicUrl: string;
};

/** A request that is in order; nothing of it was spent yet. */
type Request = {
  type: typeof wechatLoginCode | typeof oneTimeCode;
  subjectToken: string;
  phoneCode: string | undefined;
  wechatCode: string | undefined;
  /** What a link of the website opened the app with, and the digits that the person typed. */
  link: { ticket: string; code: string } | undefined;
  anonymousId: string | undefined;
  create: boolean;
  /** What this app was given by itself at its first start, to be known again (identity rule 6). */
  device: string | undefined;
  /** "This was never me": of a number that was quiet for long. */
  disown: boolean;
  consents: Consent[];
  access: RequestedAccess;
};

/** Proofs in the order in which they decide, and whether a phone code was handed over in vain. */
type Proven = { proofs: [Proof, ...Proof[]]; phoneFailed: boolean };

export function createTokenExchange(deps: ExchangeDependencies) {
  const limits = createExchangeLimits(deps);
  return async (ctx: GrantContext): Promise<void> => {
    const client = ours(ctx.oidc.client);
    try {
      const request = readRequest(deps, ctx, client);
      limits.assertAllowed(limitedAddress(ctx));
      const proven = await prove(deps, client, request).catch((error) =>
        limits.count(limitedAddress(ctx), client, error),
      );
      const link_status = request.link && (await join(deps, ctx, client, request.link, proven));
      const resolution = await resolve(deps, ctx, client, request, proven);
      if (resolution.linked.length) await claimHeldEvents(deps, resolution.sub);
      await keepConsents(deps, ctx, request.consents, resolution.sub);
      const grant_id = await issueTokens(deps, ctx, resolution.sub, request.access, {
        issued_token_type: accessTokenType,
        ...phoneStatus(proven, resolution),
        ...(link_status && { link_status }),
      });
      if (request.anonymousId)
        await bind(deps, ctx, { anonymous_id: request.anonymousId, subject_id: resolution.sub, grant_id });
    } catch (error) {
      throw toOAuthError(error);
    }
  };
}

function readRequest({ publicUrl }: ExchangeDependencies, { oidc }: GrantContext, client: EngineClient): Request {
  const { params } = oidc;
  const type = text(params.subject_token_type);
  const subjectToken = text(params.subject_token);
  if (!subjectToken || !type) throw invalidRequest('subject_token and subject_token_type are required');
  if (type !== wechatLoginCode && type !== oneTimeCode)
    throw invalidRequest(`subject_token_type must be ${wechatLoginCode} or ${oneTimeCode}`);
  const requested = text(params.requested_token_type);
  if (requested && requested !== accessTokenType)
    throw invalidRequest(`requested_token_type can be ${accessTokenType}`);
  const create = yesOrNo('create', params.create, true);
  const wechatCode = text(params.wechat_code);
  if (!client.appid && (type === wechatLoginCode || wechatCode))
    throw new errors.UnauthorizedClient('the client is bound to no WeChat app');
  return {
    type,
    subjectToken,
    phoneCode: type === wechatLoginCode ? text(params.phone_code) : undefined,
    wechatCode: type === oneTimeCode ? wechatCode : undefined,
    link: type === wechatLoginCode ? linkOf(params) : undefined,
    anonymousId: anonymousIdOf(params),
    create,
    device: deviceOf(params.device_id),
    disown: yesOrNo('disown', params.disown, false),
    consents: parseConsents(text(params.consents) ?? ''),
    access: readRequestedAccess(client, params, publicUrl),
  };
}

/** Without the digits there is nothing to join, whatever the link says. */
function linkOf({ link_ticket, link_code }: Record<string, unknown>): Request['link'] {
  const [ticket, code] = [text(link_ticket), text(link_code)];
  return ticket && code ? { ticket, code } : undefined;
}

function yesOrNo(name: string, value: unknown, otherwise: boolean): boolean {
  const given = text(value) ?? String(otherwise);
  if (given !== 'true' && given !== 'false') throw invalidRequest(`${name} is true or false`);
  return given === 'true';
}

/** Long enough that nobody guesses another's: it opens nothing, and spares its owner a question. */
function deviceOf(value: unknown): string | undefined {
  const device = text(value);
  if (device !== undefined && !/^[\w-]{16,128}$/.test(device))
    throw invalidRequest('device_id is 16 to 128 letters, digits, - and _');
  return device;
}

/** Values are compared and handed on, never parsed here; what no code looks like is refused before it costs a call. */
function text(value: unknown): string | undefined {
  if (value === undefined || value === '') return undefined;
  if (typeof value !== 'string' || value.length > 2000) throw invalidRequest('a parameter is malformed');
  return value;
}

async function prove(deps: ExchangeDependencies, client: EngineClient, request: Request): Promise<Proven> {
  return request.type === wechatLoginCode ? proveByWechat(deps, client, request) : proveByCode(deps, client, request);
}

/** The phone code is spent only after the login code has proven somebody, and its failure does not fail the sign-in. */
async function proveByWechat(
  { connectors, log }: ExchangeDependencies,
  { appid = '', clientId }: EngineClient,
  { subjectToken, phoneCode }: Request,
): Promise<Proven> {
  const login = await connectors.exchange(appid, { login_code: subjectToken });
  if (!phoneCode) return { proofs: [login], phoneFailed: false };
  const openid = login.identities.find(({ kind }) => kind === 'wechat_openid')?.external_id ?? '';
  try {
    const phone = await connectors.exchangePhone(appid, { phone_code: phoneCode, openid });
    return { proofs: [login, phone], phoneFailed: false };
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    log.warn({ client_id: clientId, reason: error.code }, 'oidc: phone code failed, the sign-in goes on');
    return { proofs: [login], phoneFailed: true };
  }
}

/** WeChat first: its code is free to ask for again, while a text message costs the person a minute. */
async function proveByCode(
  { connectors }: ExchangeDependencies,
  { appid = '', clientId }: EngineClient,
  { subjectToken, wechatCode }: Request,
): Promise<Proven> {
  const [, channel, otp_id, code] = /^(sms|email)_([\w-]{1,64})\.(.{1,40})$/su.exec(subjectToken) ?? [];
  if (!channel || !otp_id || !code) throw invalidGrant('subject_token is <otp_id>.<code>', 'code_wrong');
  const wechat = wechatCode ? await connectors.exchange(appid, { login_code: wechatCode }) : undefined;
  const proof = await connectors.verify(channel, { otp_id, code, purpose: 'otp', binding: clientId });
  return { proofs: wechat && !proof.stands_alone ? [wechat, proof] : [proof], phoneFailed: false };
}

/** Before the subject is looked for: what is joined now is who signs in now. */
async function join(
  { db, seal, jobs, limits, log }: ExchangeDependencies,
  ctx: GrantContext,
  { clientId: client_id }: EngineClient,
  link: { ticket: string; code: string },
  { proofs: [proof] }: Proven,
): Promise<LinkStatus> {
  const { ip, requestId: request_id } = ctx.state;
  const actor = { actor_kind: 'person' as const, client_id, ip, request_id };
  return joinByLink({ db, seal, jobs, limits, log }, { ...link, proof, actor });
}

async function resolve(
  { db, seal, jobs }: ExchangeDependencies,
  ctx: GrantContext,
  client: EngineClient,
  { create, device, disown }: Request,
  { proofs }: Proven,
): Promise<Resolution> {
  const { ip, requestId: request_id } = ctx.state;
  const context = { channel: channelOf(client), client_id: client.clientId, ip, request_id };
  return resolveSubject({ db, seal, jobs }, { proofs, create, context, device, disown });
}

function phoneStatus({ phoneFailed }: Proven, { phone_status }: Resolution): Record<string, string> {
  if (phoneFailed) return { phone_status: 'failed' };
  return phone_status ? { phone_status } : {};
}
