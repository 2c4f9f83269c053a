/**
 * The shop's own server-side sessions. A browser holds a random cookie and nothing else; tokens never reach it.
 * Kept in memory and, with a data folder, written through to one file so that a restart signs nobody out.
 */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../../clock.ts';
import type { Context } from '../../http/server.ts';

/** One sign-in under way, found by its state: two tabs may sign in at once. */
export type Pending = { nonce: string; code_verifier: string; return_to: string };

export type Person = {
  sub: string;
  access_token: string;
  /** Milliseconds of the clock. */
  expires_at: number;
  refresh_token?: string;
  id_token: string;
  phone_number?: string;
  email?: string;
  name?: string;
  /** The browser's anonymous id that Heyi was told belongs to this person. */
  anonymous_id?: string;
};

export type Order = {
  /** What the person had agreed to when it was placed. */
  consents: Record<string, boolean>;
  order_id: string;
  product_ids: string[];
  total: number;
  placed_at: string;
  is_reported: boolean;
};

export type Session = {
  csrf: string;
  seen_at: number;
  pending: Record<string, Pending>;
  cart: Record<string, number>;
  orders: Order[];
  person?: Person;
  /** Subject of the mini-program beside the page, proven by its access token. */
  miniprogram_sub?: string;
  /** Subs this browser has been, newest first: an absorbed one can still be asked for. */
  seen_subs?: string[];
  /** A sentence for the next page, by locale key. */
  notice?: string;
};

export type Sessions = {
  /** The browser's session; begins one when it has none. */
  of(ctx: Context): Session;
  /** A new cookie for the same session: what was planted before sign-in is worthless after it. */
  renew(ctx: Context): void;
  /** Forgets the session of this browser. */
  end(ctx: Context): void;
  /** Signs this person out of every browser; how many that were. */
  endOf(sub: string): number;
  save(): void;
};

// Cookies ignore ports: the name must be nobody else's on localhost.
const cookie = 'shanyu_session';
const idleMs = 7 * 24 * 3600 * 1000;
const most = 1000;

export function createSessions({ clock, dataDir }: { clock: Clock; dataDir: string | undefined }): Sessions {
  const file = dataDir && join(dataDir, 'demo-sessions.json');
  const sessions = new Map<string, Session>(file ? load(file) : []);
  const set = (ctx: Context, value: string, session: Session) => {
    sessions.set(keyOf(value), session);
    ctx.state = Object.assign(ctx.state, { demo_session: value });
    ctx.cookies.set(cookie, value, { httpOnly: true, sameSite: 'lax', overwrite: true, maxAge: idleMs });
  };
  const cookieOf = (ctx: Context): string | undefined =>
    (ctx.state as { demo_session?: string }).demo_session ?? ctx.cookies.get(cookie);
  const trim = () => {
    const now = clock.now().getTime();
    for (const [key, session] of sessions) {
      if (now - session.seen_at > idleMs || sessions.size > most) sessions.delete(key);
    }
  };
  return {
    of(ctx) {
      const now = clock.now().getTime();
      const known = sessions.get(keyOf(cookieOf(ctx) ?? ''));
      if (known && now - known.seen_at <= idleMs) {
        known.seen_at = now;
        return known;
      }
      trim();
      const session: Session = { csrf: random(), seen_at: now, pending: {}, cart: {}, orders: [] };
      set(ctx, random(), session);
      return session;
    },
    renew(ctx) {
      const key = keyOf(cookieOf(ctx) ?? '');
      const session = sessions.get(key);
      if (!session) return;
      sessions.delete(key);
      session.csrf = random();
      set(ctx, random(), session);
    },
    end(ctx) {
      sessions.delete(keyOf(cookieOf(ctx) ?? ''));
      ctx.state = Object.assign(ctx.state, { demo_session: '' });
      ctx.cookies.set(cookie, null, { overwrite: true });
    },
    endOf(sub) {
      const theirs = [...sessions.values()].filter(({ person }) => person?.sub === sub);
      for (const session of theirs) {
        delete session.person;
        // What somebody just did and has not been told yet goes first: a sign-out that comes of it is often faster than the page.
        session.notice ??= 'ended';
      }
      return theirs.length;
    },
    save() {
      if (file) write(file, sessions);
    },
  };
}

const random = () => randomBytes(24).toString('base64url');

/** The file holds no value that would open a session. */
const keyOf = (value: string) => createHash('sha256').update(value).digest('base64url');

function load(file: string): [string, Session][] {
  if (!existsSync(file)) return [];
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    // Demo sign-ins are not worth a failed start.
    return [];
  }
}

function write(file: string, sessions: Map<string, Session>): void {
  mkdirSync(join(file, '..'), { recursive: true, mode: 0o700 });
  writeFileSync(`${file}.draft`, JSON.stringify([...sessions]), { mode: 0o600 });
  renameSync(`${file}.draft`, file);
}
