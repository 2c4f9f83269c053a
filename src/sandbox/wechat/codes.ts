/**
 * The codes that WeChat hands to clients: one kind for each door, good for one app and one successful exchange. A phone code
 * is no login code, nor the reverse.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../clock.ts';

const minutes = { login: 5, phone: 5, qrconnect: 10, official: 5 };
export type CodeKind = keyof typeof minutes;

export type Code = {
  kind: CodeKind;
  appid: string;
  person_id: string;
  /** Of an authorise page. */
  scope?: string;
  /** Of an authorise page that was a snapshot of itself. */
  snapshot?: boolean;
  /** Of the phone button: the number at the moment of the tap. */
  phone?: string;
};
type Stored = Code & { expires_at: number; is_used: boolean };

export type Codes = {
  issue(code: Code): string;
  /** Looks without using it up. A code of another app or kind is as unknown as an invented one. */
  find(text: string, expected: { kind: CodeKind; appid?: string }): Code | 'used' | 'unknown';
  use(text: string): void;
};

export function createCodes({ clock }: { clock: Clock }): Codes {
  const codes = new Map<string, Stored>();
  const now = () => clock.now().getTime();
  return {
    issue(code) {
      // Expired codes answer like unknown ones, so they need not be kept.
      for (const [text, stored] of codes) if (stored.expires_at <= now()) codes.delete(text);
      const text =
        code.kind === 'phone' ? randomBytes(32).toString('hex') : `0${randomBytes(23).toString('base64url')}`;
      codes.set(text, { ...code, expires_at: now() + minutes[code.kind] * 60_000, is_used: false });
      return text;
    },
    find(text, { kind, appid }) {
      const stored = codes.get(text);
      if (!stored || stored.kind !== kind || stored.expires_at <= now()) return 'unknown';
      if (appid !== undefined && stored.appid !== appid) return 'unknown';
      return stored.is_used ? 'used' : stored;
    },
    use(text) {
      const stored = codes.get(text);
      if (stored) stored.is_used = true;
    },
  };
}
