/**
 * What a way of signing in is. A connector proves identities and knows nothing of subjects, tokens or cookies: CSRF, state,
 * audit and the way to a subject belong to login/, oidc/ and subjects/.
 *
 * One folder each: <name>.ts, form.eta and locales.json where people see it, README.md; plus one line in registry.ts.
 */
import type { z } from 'zod';
import type { Clock } from '../clock.ts';
import type { Database } from '../database.ts';
import type { Limits } from '../http/limits.ts';
import type { Logger } from '../log.ts';
import type { Seal } from '../seal.ts';

export type IdentityKind = 'phone' | 'email' | 'wechat_openid' | 'wechat_unionid' | 'oidc' | 'member_no';

/** Of the number of a reviewer (sms/reviewers.ts), which nobody proved to be theirs. */
export const reviewerIssuer = 'reviewer';

/**
 * One thing that is one person's: (kind, issuer, external id). phone is E.164, email normalised; both have the issuer ''.
 * wechat_openid is issued by an appid, wechat_unionid by an open-platform account.
 */
export type Identity = { kind: IdentityKind; issuer: string; external_id: string };

/** `.meta(secret)` on a setting: stored and used, never shown again (JSON Schema's word for it). */
export const secret = { writeOnly: true } as const;

/** Identities proven in one go, the one that decides the subject first. Never empty. */
export type Proof = {
  connector: string;
  identities: Identity[];
  profile?: { nickname?: string; picture?: string };
  /** Authentication methods (RFC 8176) where the connector knows better than its name says. */
  amr?: string[];
  /** Asked once more and openly, the provider would prove more (a unionid): worth it for somebody nobody knows yet (rule 4). */
  is_partial?: true;
  /** Of a test number whose code others know: joined with nothing else, and no other proof beside it counts. */
  stands_alone?: true;
};

/**
 * What is demanded of whoever asks for a code when things look abnormal (threats B6, B7). captcha.ts is the one there is; one of
 * another vendor is another object of this type.
 */
export type Captcha = {
  /** What the page's script, or an app, works on: given to it as JSON. */
  challenge(): Promise<Record<string, unknown>>;
  /** False for a wrong one, an old one, and one that was used before, in whichever process. */
  verify(solution: string): Promise<boolean>;
};

/** What connectors may use. */
export type ConnectorServices = {
  db: Database;
  clock: Clock;
  log: Logger;
  seal: Seal;
  limits: Limits;
  captcha: Captcha;
  smsRegions: string[];
  /** Origins on this machine or in a private network that the operator of the server lets us ask. */
  privateOrigins: string[];
  /** Whether somebody signs in by it. People are not a connector's to know: app.ts says. */
  isSomebodys(identity: Identity): Promise<boolean>;
};

export type Purpose = 'login' | 'otp' | 'link' | 'step_up';

/** A code is asked for. `binding` is the browser's interaction or the client: the code is good for nothing else (rule 5). */
export type StartInput = {
  to: string;
  purpose: Purpose;
  binding: string;
  ip: string;
  locale: string;
  /** The solution of a challenge, when one was demanded. */
  captcha?: string | undefined;
};
export type Started = {
  otp_id: string;
  /** Seconds until another code may be asked for, and until this one expires. */
  resend_after: number;
  expires_in: number;
  /** For the page that asks for the code. */
  masked_to: string;
};
/** What a provider pushes to the address of its reports. `body` is read only from whoever knows the token. */
export type ReportInput = { provider: string; token: string; body(): Promise<unknown> };
export type VerifyInput = { otp_id: string; code: string; purpose: Purpose; binding: string };

/** What happened to somebody's account, for a channel to put into words: no code, and of the identity a masked hint. */
export type Notice = {
  to: string;
  /** Of the message: the same again for a second try. */
  id: string;
  locale: string;
  what: 'identity_linked' | 'identity_unlinked' | 'removal_asked' | 'merged' | 'merge_undone' | 'phone_detached';
  kind?: IdentityKind | undefined;
  hint?: string | undefined;
  at: Date;
  /** Where to look, and to react. */
  url: string;
};

/** A connector whose page is a form: a code goes to an address, the person types it. */
export type FormConnector<Settings = unknown> = {
  kind: 'form';
  /** Also the id of its only configured instance, and the name in the form's action. */
  name: string;
  identity: 'phone' | 'email';
  /** Name of the form field (contract section 3). */
  field: 'phone' | 'email';
  settings: z.ZodType<Settings>;
  /**
   * @throws phone_invalid | phone_region_refused | email_invalid | captcha_required | code_too_soon | too_many_requests |
   *   sending_paused | send_refused | upstream_unavailable
   */
  start(services: ConnectorServices, settings: Settings, input: StartInput): Promise<Started>;
  /** @throws code_wrong | code_expired | code_tries_spent */
  verify(services: ConnectorServices, settings: Settings, input: VerifyInput): Promise<Proof>;
  /** Tells a person what happened to their account; false when it is not set up for that. @throws what start throws of sending */
  notify?(services: ConnectorServices, settings: Settings, notice: Notice): Promise<boolean>;
  /** What the provider reported of a message; undefined as long as it has not. A hint, never a proof. */
  delivery?(services: ConnectorServices, otp_id: string): Promise<'delivered' | 'failed' | undefined>;
  /** Takes such reports. @returns the provider's own form of thanks. @throws not_found for a stranger | bad_request */
  report?(services: ConnectorServices, settings: Settings, input: ReportInput): Promise<object>;
};

/** A connector without a page of ours: a program hands over what WeChat gave it. Configured once per appid. */
export type ExchangeConnector<Settings = unknown> = {
  kind: 'exchange';
  name: string;
  settings: z.ZodType<Settings>;
  /** The appid: `<name>:<key>` is the id. */
  key(settings: Settings): string;
  /** Proves the openid, and the unionid when WeChat gives one. @throws wechat_code_invalid | wechat_refused | wechat_misconfigured | upstream_unavailable */
  exchange(services: ConnectorServices, settings: Settings, input: { login_code: string }): Promise<Proof>;
  /** Proves a phone number of the person with this openid. Same errors, and phone_invalid for a number that no message can reach. */
  exchangePhone(
    services: ConnectorServices,
    settings: Settings,
    input: { phone_code: string; openid: string },
  ): Promise<Proof>;
  /** A picture; whoever scans it with WeChat opens the app's page for confirming sign-ins, which is handed the scene. Errors as above. */
  scanCode(services: ConnectorServices, settings: Settings, input: { scene: string }): Promise<Picture>;
  /** An address that opens the app from a browser and hands it the query. Errors as above. */
  appLink(services: ConnectorServices, settings: Settings, input: AppLink): Promise<string>;
};

export type Picture = { type: string; bytes: Buffer };
/** `path`: a page of the app, its first one when empty. */
export type AppLink = { path: string; query: string; seconds: number };

/**
 * A connector whose page is somebody else's: the browser goes there and comes back to a fixed address of ours. Configured once per
 * appid or issuer. `state` is made, bound to the browser and spent by whoever sends the browser there (threats A31, C12).
 */
export type RedirectConnector<Settings = unknown> = {
  kind: 'redirect';
  name: string;
  settings: z.ZodType<Settings>;
  /** What tells instances apart: `<name>:<key>` is the id. */
  key(settings: Settings): string;
  /** What it is called on the page; undefined where the kind's own name says enough. */
  label(settings: Settings): string | undefined;
  /** Where the provider sends the browser back to: contract section 3 fixes `/wechat/{appid}/callback`. */
  callbackPath(settings: Settings): string;
  /** Whether it works in a browser that calls itself this, and whether it is the natural way in it: inside WeChat one, outside another. */
  suits(settings: Settings, userAgent: string): 'best' | 'yes' | 'no';
  /** Sources, as a Content-Security-Policy names them, of the pages a form of ours leads over. */
  leadsTo(settings: Settings): string[];
  /** `keep` comes back to callback(): a nonce or verifier that never leaves the server. */
  authorize(services: ConnectorServices, settings: Settings, input: AuthorizeInput): Promise<Authorized>;
  /**
   * Undefined when the person refused.
   * @throws wechat_code_invalid | wechat_refused | wechat_snapshot | wechat_misconfigured | provider_answer_invalid | connector_not_configured | upstream_unavailable
   */
  callback(services: ConnectorServices, settings: Settings, input: CallbackInput): Promise<Proof | undefined>;
  /** Of an account that people follow by scanning a code, of which its pushes tell: the other way in it has. */
  follow?: FollowWay<Settings>;
};

export type FollowWay<Settings = unknown> = {
  /** Whether its pushes are WeChat's own word, so that one of them proves who somebody is. */
  isReady(settings: Settings): boolean;
  /** A picture; of whoever scans it and follows, a push tells with the scene. Errors as those of a redirect. */
  code(services: ConnectorServices, settings: Settings, input: { scene: string; seconds: number }): Promise<Picture>;
  /** Who a follower is whose openid such a push told. Never fails: without WeChat's help the openid alone. */
  proof(services: ConnectorServices, settings: Settings, input: { openid: string }): Promise<Proof>;
};

export type AuthorizeInput = {
  /** Letters and digits: WeChat takes nothing else. */
  state: string;
  redirect_uri: string;
  locale: string;
  /** Ask openly for all there is: the proof before was partial, and nobody knows this person. */
  thorough: boolean;
};
export type Authorized = { url: string; keep: Record<string, string>; embed?: Embed };
/** The provider's page inside ours, for whom the operator switched it on: a script of theirs draws it. Without it there is `url`. */
export type Embed = { script: string; frame: string; constructor: string; options: Record<string, unknown> };
export type CallbackInput = { query: Record<string, string>; redirect_uri: string; keep: Record<string, string> };

export type Connector = FormConnector<never> | ExchangeConnector<never> | RedirectConnector<never>;

/** Keeps the settings' type inside the connector while the registry holds all of them as one list. */
export function defineConnector<Settings>(connector: FormConnector<Settings>): FormConnector<never>;
export function defineConnector<Settings>(connector: ExchangeConnector<Settings>): ExchangeConnector<never>;
export function defineConnector<Settings>(connector: RedirectConnector<Settings>): RedirectConnector<never>;
export function defineConnector(connector: unknown): unknown {
  return connector;
}

/** A redirect connector that is set up, as a page offers it. */
export type RedirectInstance = {
  id: string;
  name: string;
  label: string | undefined;
  is_best: boolean;
  leads_to: string[];
};

/**
 * The configured connectors as login/, oidc/ and sandbox/ use them; made by `createConnectors(services)` in registry.ts.
 * Instance ids: 'sms', 'email', and `<name>:<key>` for those of which there can be several ('wechat-web:<appid>').
 */
export type Connectors = {
  /** Form connectors that are configured and enabled. */
  forms(): Promise<{ name: string; field: 'phone' | 'email' }[]>;
  /** @throws connector_not_configured */
  start(name: string, input: StartInput): Promise<Started>;
  verify(name: string, input: VerifyInput): Promise<Proof>;
  /** Whether the message of a code arrived, as far as anybody said. */
  delivery(name: string, otp_id: string): Promise<'delivered' | 'failed' | undefined>;
  /** @throws not_found, also when nobody of this name takes reports */
  report(name: string, input: ReportInput): Promise<object>;
  /** For whoever was told captcha_required. */
  challenge(): Promise<Record<string, unknown>>;
  /** False when the channel is not set up, or not for that. */
  notify(name: string, notice: Notice): Promise<boolean>;
  exchange(appid: string, input: { login_code: string }): Promise<Proof>;
  exchangePhone(appid: string, input: { phone_code: string; openid: string }): Promise<Proof>;
  /** Apps of exchange connectors that are configured and enabled. */
  apps(): Promise<string[]>;
  scanCode(appid: string, input: { scene: string }): Promise<Picture>;
  appLink(appid: string, input: AppLink): Promise<string>;
  /** Accounts that can be followed as a way in. */
  accounts(): Promise<string[]>;
  followCode(appid: string, input: { scene: string; seconds: number }): Promise<Picture>;
  followerProof(appid: string, input: { openid: string }): Promise<Proof>;
  /** Redirect connectors that are configured, enabled, and work in this browser. */
  redirects(userAgent: string): Promise<RedirectInstance[]>;
  /** `origin`: ours, before the callback path. @throws connector_not_configured */
  authorize(
    id: string,
    input: Omit<AuthorizeInput, 'redirect_uri'> & { origin: string },
  ): Promise<Authorized & { redirect_uri: string }>;
  callback(id: string, input: CallbackInput): Promise<Proof | undefined>;
  /** Stores settings, sealed. @throws invalid_fields */
  configure(instance: {
    id: string;
    connector: string;
    settings: unknown;
    source?: 'operator' | 'sandbox';
  }): Promise<void>;
  /** Called by a start without the sandbox. */
  disableSandbox(): Promise<void>;
};
