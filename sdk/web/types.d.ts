/** What a page sees of the SDK. src/ is checked against it. */

/** Purposes by name: `{ profiling: true, marketing: false }`. `service` needs no consent and is not listed. */
export type Choice = Record<string, boolean>;

export type Properties = Record<string, unknown>;

export type Person = {
  /** The same on the website and in the mini-program. */
  sub: string;
};

export type Options = {
  /** Heyi's address: `https://id.example.com`. */
  issuer: string;
  /** A write key of kind `client` that names this page's origin. It is public. */
  writeKey: string;
  /** Where events happen; `website` when not said. */
  channel?: string;

  /**
   * Not given: the SDK remembers what `setConsent` was told. A site that keeps the choice itself passes it with every page: the
   * choice, or null while there is none.
   */
  consent?: Choice | null;
  /** True when not said: before a choice nothing is stored and nothing is sent. False: what the service itself needs is. */
  requireConsent?: boolean;
  /** The versions that the site's question stands for, `{ profiling: '1' }` when not said. Raised, everybody is asked again. */
  purposes?: Record<string, string>;

  /** False: no page views by themselves, neither of loads nor of a single-page application's routes. */
  pages?: boolean;
  /** Sees each event as it is recorded. */
  onEvent?: (event: Properties) => void;
  /** False: `data-heyi-event` attributes are not listened to. */
  clicks?: boolean;
  /** Of the visitor's anonymous id: `heyi_id`, for this host alone, when not said. */
  cookie?: { name?: string; domain?: string };
  /** What waits to be sent may take so much of localStorage: 2 000 000 bytes when not said. */
  maxQueueBytes?: number;

  /** For pages that sign in without a server: a public client (`token_endpoint_auth_method: none`). */
  signIn?: {
    clientId: string;
    redirectUri: string;
    /** `openid offline_access` when not said. */
    scope?: string;
    /** Registered with the client; the site's root when not said. */
    postLogoutRedirectUri?: string;
  };

  /** Custom events go to other vendors' scripts too, where the page has loaded them. */
  mirror?: {
    /** Through `gtag`. */
    ga4?: boolean;
    /** Through `_hmt`. */
    baidu?: boolean;
    /** With it the vendors get an id of the person: another at each, and never the `sub`. */
    salt?: string;
    /** Only under this consent; `profiling` when not said. */
    purpose?: string;
  };
};

export type Status = {
  /** Events that wait in this browser. */
  queued: number;
  /** Gone at the byte cap, the oldest first. */
  dropped: number;
  /** Never acceptable: larger than 32 KB, or refused by Heyi. */
  refused: number;
};

/** Errors of `signIn`, `finishSignIn`, `accessToken` and `fetch` have a `code`: an OAuth error, or one of these. */
export type SignInErrorCode =
  | 'no_client'
  | 'insecure_context'
  | 'storage_unavailable'
  | 'issuer_mismatch'
  | 'invalid_token'
  | 'signed_out'
  | 'network';

export type Heyi = {
  /** A page view; by themselves, unless `pages: false`. */
  page(name?: string, properties?: Properties): void;
  /** `messageId`, such as an order's number, makes a repeat of the same thing harmless. */
  track(event: string, properties?: Properties, messageId?: string): void;
  /** Resolves when what waits was offered once. Never rejects. */
  flush(): Promise<void>;
  status(): Status;

  /** The choice in force; null while there is none. */
  consent(): Choice | null;
  /** Takes effect at once, for what waits too. Null: as if never asked. */
  setConsent(choice: Choice | null): void;
  /** The visitor's id, for a server that signs people in itself; null before consent. */
  anonymousId(): string | null;
  /** After a sign-out by the server: whoever comes next is somebody else. */
  reset(): void;

  /** Leads to Heyi. `parameters` go along, such as `{ prompt: 'login' }`. */
  signIn(options?: { returnTo?: string; parameters?: Record<string, string> }): Promise<void>;
  /** On the page of `redirectUri`. Resolves to null when this tab asked for no sign-in; rejects when it did not succeed. */
  finishSignIn(): Promise<(Person & { returnTo: string }) | null>;
  /** Ends the sign-in here and, unless `redirect: false`, at Heyi, which leads back to `postLogoutRedirectUri`. */
  signOut(options?: { redirect?: boolean }): Promise<void>;
  person(): Person | null;
  /** Also when another tab signs in or out. Returns what ends it. */
  onChange(listener: (person: Person | null) => void): () => void;
  /** An access token that lives another minute. */
  accessToken(): Promise<string>;
  /** `fetch` with the person's token; once more with a new one after a 401. */
  fetch(input: string | URL, init?: RequestInit): Promise<Response>;
};

export function createHeyi(options: Options): Heyi;
