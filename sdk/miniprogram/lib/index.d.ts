/** Heyi in a WeChat mini-program. README.md says how to set it up. */

export const version: string;
export function createHeyi(settings: HeyiSettings): Heyi;

export interface HeyiSettings {
  /** Heyi's address, https://id.example.com. It must be among the request domains (request 合法域名). */
  issuer: string;
  /** Of the public client that is bound to this mini-program's appid. */
  clientId: string;
  /** A write key of kind `client`. Without one nothing is tracked. */
  writeKey?: string;
  /** Origins beside the issuer's that `request` sends the person's token to. */
  apis?: string[];
  /** Who asks the person before anything is collected: WeChat's privacy authorisation (the default), or the program, which calls `agree`. */
  privacy?: 'wechat' | 'own';
  /** Names of query parameters to keep with events. utm_* and shares are read anyway; nothing else is. */
  query?: string[];
  /** Of the events. Default `miniprogram`. */
  channel?: string;
  /** Most that waiting events may take of the mini-program's storage. Default 1 MB; the oldest give way. */
  queueBytes?: number;
  /** Taro or uni. Default `wx`. */
  platform?: object;
}

export type Properties = Record<string, unknown>;
/** `<purpose>@<version>`, such as `privacy@1`. */
export type Consent = string;
export interface Person {
  sub: string;
}
export interface SignedIn extends Person {
  /** What became of a phone code. */
  phone_status?: 'linked' | 'unchanged' | 'conflict' | 'failed';
  /** What became of the link that a website opened the mini-program with. */
  link_status?: 'linked' | 'unchanged' | 'conflict' | 'failed';
}

/**
 * What every call rejects with. `code`: `network` (no answer), `signed_out`, `foreign_address`, `wechat_login_failed`, `phone_denied`,
 * `phone_quota_spent`, `phone_unavailable`, `privacy_not_authorized`, `captcha_failed`, or Heyi's own (`invalid_grant`, …).
 */
export interface HeyiError extends Error {
  code: string;
  /** Heyi's closer word, such as `unknown_person`, `code_wrong`, `second_proof_needed`. */
  reason?: string;
  /** Of HTTP. */
  status?: number;
  /** WeChat's number. */
  errno?: number;
  /** Seconds to wait, where Heyi says so. */
  retryAfter?: number;
}

export interface SignInOptions {
  /** What the person ticked. */
  consents?: Consent[];
  /** False: only people who are known already. Signs nobody new up. */
  create?: boolean;
  /** "This was never me": of a number that was quiet for long. */
  disown?: boolean;
}

export interface RequestOptions {
  url: string;
  method?: 'OPTIONS' | 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE' | 'TRACE' | 'CONNECT';
  data?: unknown;
  header?: Record<string, string>;
  timeout?: number;
  /** Goes without a token when nobody is signed in, instead of being refused. */
  optional?: boolean;
  [more: string]: unknown;
}

export interface Answer<T = unknown> {
  statusCode: number;
  data: T;
  header: Record<string, string>;
}

/** What WeChat hands to onLaunch and onShow. */
export interface EntryOptions {
  path?: string;
  query?: Record<string, string | undefined>;
  scene?: number;
  referrerInfo?: { appId?: string };
}

export interface SignInOnComputer {
  client: string;
  host: string;
  network: string;
  is_same_network: boolean;
  browser: string;
  asked_at: string;
  state: string;
  expires_in: number;
}

export interface ShareContent {
  title?: string;
  path?: string;
  imageUrl?: string;
  promise?: Promise<ShareContent>;
}

export interface Heyi {
  /** By WeChat: wx.login's code for tokens. After a lost answer it tries once more. */
  signIn(options?: SignInOptions & { phoneCode?: string; linkTicket?: string; linkCode?: string }): Promise<SignedIn>;
  /** For bindgetphonenumber of a `<button open-type="getPhoneNumber">`. Rejects with why there is no number. */
  signInByPhoneButton(
    event: { detail: { code?: string; errMsg?: string; errno?: number } },
    options?: SignInOptions,
  ): Promise<SignedIn>;
  /** Sends a one-time code; the answer is the same for known and unknown. A captcha is solved on the way, which takes a few seconds. */
  sendCode(options: {
    to: string;
    channel?: 'sms' | 'email';
  }): Promise<{ otp_id: string; resend_after: number; expires_in: number }>;
  /** By the code that was sent; links this WeChat user in the same step unless `linkWechat` is false. */
  signInByCode(options: SignInOptions & { otpId: string; code: string; linkWechat?: boolean }): Promise<SignedIn>;
  /** Here at once, at Heyi as soon as there is a line. Whoever comes next has another anonymous id and has agreed to nothing. */
  signOut(): Promise<void>;
  /** Who is signed in. */
  person(): Person | null;
  /** Called at every change; returns what ends that. */
  onChange(listener: (person: Person | null) => void): () => void;
  /** wx.request with the person's token, renewed when it must be. Any status resolves. */
  request<T = unknown>(options: RequestOptions): Promise<Answer<T>>;

  /** Records what was done. `messageId` makes a repeat of the same thing harmless: an order's number, say. */
  track(event: string, properties?: Properties, messageId?: string): void;
  /** A page was seen: the one on the screen, unless it is named. */
  screen(name?: string, properties?: Properties): void;
  /** Offers what waits to Heyi, once. Never rejects. */
  flush(): Promise<void>;
  /** Undefined while nothing may be collected. */
  anonymousId(): string | undefined;

  /** WeChat's privacy question, if it was not answered yet. Resolves to whether the person agreed. */
  askPrivacy(): Promise<boolean>;
  /** The person agreed: at once after the tap on agreePrivacyAuthorization, or, with `privacy: 'own'`, to the program's own question. */
  agree(): Promise<boolean>;
  /** The person wants nothing collected: what waits is thrown away, and so is the anonymous id. `agree` begins anew. */
  withdraw(): void;
  /** What events may be used for beyond the service: { profiling: true, marketing: false }. Stamped on every later event. */
  setConsent(given: Record<string, boolean>): void;
  consent(): Record<string, boolean> & { profiling: boolean; marketing: boolean };

  /** Options for App(), with launch, show and hide tracked. */
  app<T extends object>(options: T & ThisType<T>): T;
  /** Options for Page(), with its views and shares tracked. */
  page<T extends object>(
    options: T & ThisType<PageThis<T>>,
    about?: { name?: string; title?: string; properties?: Properties },
  ): T;
  /** For onShareAppMessage where `page` is not used: the content with an id of the share in its path. */
  shareMessage(content?: ShareContent, event?: { from?: string }): ShareContent & { path: string };
  /** For onShareTimeline. */
  shareTimeline(content?: { title?: string; query?: string; imageUrl?: string }): {
    title?: string;
    query: string;
    imageUrl?: string;
  };
  /** For onLaunch, onShow and onHide where `app` is not used. */
  launch(options?: EntryOptions): void;
  show(options?: EntryOptions): void;
  hide(): void;

  /** Which sign-in on a computer a scanned code is about; `scene` is that of the page's options. */
  readSignIn(scene: string): Promise<SignInOnComputer>;
  answerSignIn(scene: string, decision: 'confirm' | 'deny'): Promise<SignInOnComputer>;
  /** An address for `<web-view src>` that opens `url` of that website signed in. Works once, here and now. */
  websiteUrl(options: { clientId: string; url: string }): Promise<string>;
  /** What a link of the website opened the mini-program with. */
  linkTicket(options?: EntryOptions): string | undefined;
  /** Which website the link is from. */
  readLink(ticket: string): Promise<{ client: string; expires_in: number }>;
}

/** A page as its own functions see it. */
export type PageThis<T> = T & {
  route: string;
  options: Record<string, string>;
  setData(changes: Record<string, unknown>, done?: () => void): void;
};
