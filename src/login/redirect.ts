/**
 * Away to somebody else's page and back, for whatever purpose.
 *
 *   startRedirect ─► 303 provider ─► GET /wechat/{appid}/callback?code&state ─► 303 return_to?state ─► finishRedirect ─► proof
 *
 * The state is a ticket that works once, for ten minutes, and only for who asked: `binding` is a secret of the asking browser and
 * purpose (an interaction with its cookie, a session of the account page), compared before anything is spent. A callback that an
 * attacker prepared and has somebody else open finds no such binding there (threats A31, C12, C13). The callback itself proves
 * nothing: it puts what the provider sent into the ticket, and the redirect takes the code out of the address bar.
 *
 * To use it for another purpose than signing in:
 *
 *   const { url } = await startRedirect(deps, { instance, purpose: 'link', binding, return_to: '/account/…/return', locale });
 *   seeOther(ctx, url);                                      // `embed`: see contract.ts; `url` alone will do
 *   // GET /account/…/return?state=…
 *   const back = await finishRedirect(deps, { state: String(ctx.query.state), purpose: 'link', binding });
 *   // { kind: 'proven', proof, instance } | { kind: 'refused' } | { kind: 'over' }; throws what the connector's callback throws
 */
import { randomBytes } from 'node:crypto';
import type { Connectors, Embed, Proof, Purpose } from '../connectors/contract.ts';
import type { Database } from '../database.ts';
import { fail } from '../errors.ts';
import type { Context } from '../http/server.ts';
import type { Seal } from '../seal.ts';
import { advanceTicket, issueTicket, readTicket } from '../tickets.ts';
import { seeOther } from './dependencies.ts';

export type RedirectDependencies = {
  db: Database;
  seal: Seal;
  connectors: Pick<Connectors, 'authorize' | 'callback'>;
  config: { publicUrl: string };
};

export type RedirectRequest = {
  /** Id of a configured redirect connector. */
  instance: string;
  purpose: Exclude<Purpose, 'otp'>;
  binding: string;
  /** Path of ours that finishes: the state is added to it. */
  return_to: string;
  locale: string;
  /** Ask openly for all there is. */
  thorough?: boolean;
};

type Asked = Pick<RedirectRequest, 'instance' | 'purpose' | 'binding' | 'return_to'> & {
  thorough: boolean;
  redirect_uri: string;
  keep: Record<string, string>;
};
type Returned = Asked & { query: Record<string, string> };

const kind = 'redirect';
/** WeChat's QR code lives five minutes and the code that follows ten. */
const seconds = 900;

/** @throws connector_not_configured | upstream_unavailable */
export async function startRedirect(
  deps: RedirectDependencies,
  { locale, thorough = false, ...request }: RedirectRequest,
): Promise<{ url: string; embed?: Embed }> {
  // Hexadecimal: WeChat takes letters and digits only.
  const state = randomBytes(16).toString('hex');
  const asked = { state, origin: deps.config.publicUrl, locale, thorough };
  const { url, embed, redirect_uri, keep } = await deps.connectors.authorize(request.instance, asked);
  const payload: Asked = { ...request, thorough, redirect_uri, keep };
  await issueTicket(deps, { kind, payload, seconds, value: state });
  return { url, ...(embed && { embed }) };
}

/**
 * Where a provider sends the browser. Again with the same state (a reload, "back"): on to the same place, which knows that it is over.
 * @throws login_expired
 */
export function redirectCallback(deps: RedirectDependencies) {
  return async (ctx: Context): Promise<void> => {
    ctx.set('Cache-Control', 'no-store');
    const { state, ...query } = singles(ctx);
    const ticket = state ? await readTicket<Asked>(deps, kind, state) : undefined;
    // Another app's or provider's address with this state is a mix-up, not an answer (RFC 9700 section 4.4).
    if (!state || !ticket || new URL(ticket.payload.redirect_uri).pathname !== ctx.path) throw fail('login_expired');
    const payload: Returned = { ...ticket.payload, query: { ...query, state } };
    if (ticket.state === 'open') await advanceTicket(deps, kind, state, { from: 'open', to: 'returned', payload });
    seeOther(ctx, `${ticket.payload.return_to}?state=${state}`);
  };
}

/** A parameter that is given twice means nothing (threat A43). */
function singles({ query }: Context): Record<string, string> {
  const given = Object.entries(query).flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : []));
  return Object.fromEntries(given);
}

export type Finished =
  | { kind: 'proven'; proof: Proof; instance: string; thorough: boolean }
  | { kind: 'refused'; instance: string }
  /** It never was, has expired, was used, or is somebody else's. */
  | { kind: 'over' };

/** @throws what the connector's callback throws */
export async function finishRedirect(
  deps: RedirectDependencies,
  { state, purpose, binding }: { state: string } & Pick<RedirectRequest, 'purpose' | 'binding'>,
): Promise<Finished> {
  const ticket = await readTicket<Returned>(deps, kind, state);
  if (ticket?.state !== 'returned') return { kind: 'over' };
  const { instance, thorough, query, redirect_uri, keep, ...asked } = ticket.payload;
  if (asked.purpose !== purpose || asked.binding !== binding) return { kind: 'over' };
  // Spent before the code is: of a double load, one goes on. What stays leads a later callback with this state back.
  const payload = { return_to: asked.return_to, redirect_uri };
  if (!(await advanceTicket(deps, kind, state, { from: 'returned', to: 'spent', payload }))) return { kind: 'over' };
  const proof = await deps.connectors.callback(instance, { query, redirect_uri, keep });
  return proof ? { kind: 'proven', proof, instance, thorough } : { kind: 'refused', instance };
}
