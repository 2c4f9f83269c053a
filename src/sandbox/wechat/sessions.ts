/**
 * session_key: one valid at a time for each person and mini-program, renewed by use. Its life is WeChat's secret; three idle
 * days are assumed here.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../../clock.ts';

const idle = 3 * 86_400_000;

export type Sessions = {
  key(openid: string): string;
  rotate(openid: string): void;
  /** checksession: hex(HMAC-SHA256(session_key as its base64 text, "")). */
  check(openid: string, signature: string): 'ok' | 'unknown' | 'wrong';
};

export function createSessions({ clock }: { clock: Clock }): Sessions {
  const sessions = new Map<string, { key: string; used_at: number }>();
  const now = () => clock.now().getTime();
  const valid = (openid: string) => {
    const session = sessions.get(openid);
    return session && now() - session.used_at < idle ? session : undefined;
  };
  return {
    key(openid) {
      const session = valid(openid) ?? { key: randomBytes(16).toString('base64'), used_at: 0 };
      session.used_at = now();
      sessions.set(openid, session);
      return session.key;
    },
    rotate: (openid) => void sessions.delete(openid),
    check(openid, signature) {
      const session = valid(openid);
      if (!session) return 'unknown';
      const expected = createHmac('sha256', session.key).update('').digest('hex');
      const equal =
        signature.length === expected.length && timingSafeEqual(Buffer.from(signature), Buffer.from(expected));
      if (equal) session.used_at = now();
      return equal ? 'ok' : 'wrong';
    },
  };
}
