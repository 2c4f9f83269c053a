/**
 * The codes and links that apps had WeChat make, and what is behind each when somebody scans or opens it. The newest 1000, in
 * memory. A mini-program code carries all of it in its address and so outlives the process, as the real ones are permanent; a
 * ticket is forgotten with the process.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../clock.ts';

export type MadeCode = { made_at: number; appid: string } & (
  | { kind: 'wxacode'; page: string; scene: string; env_version: string; url: string }
  | { kind: 'link' | 'scheme'; ticket: string; path: string; query: string; expires_at: number; url: string }
  | { kind: 'account'; ticket: string; key: string; scene: string | number; expires_at: number | null; url: string }
);
type Of<Kind extends MadeCode['kind']> = Extract<MadeCode, { kind: Kind }>;
type Without<Code, Names extends string> = Code extends unknown ? Omit<Code, Names> : never;

export type MadeCodes = {
  keep<Code extends MadeCode>(code: Without<Code, 'made_at'>): void;
  link(ticket: string): Of<'link' | 'scheme'> | 'expired' | undefined;
  /** An official account's code by its ticket, or by the key in its address. */
  account(ticketOrKey: string): Of<'account'> | 'expired' | undefined;
  /** What can still be scanned, newest first. */
  recent(): MadeCode[];
};

const kept = 1000;

export function createMadeCodes({ clock }: { clock: Clock }): MadeCodes {
  const codes: MadeCode[] = [];
  const now = () => clock.now().getTime();
  const isOver = (code: MadeCode) => 'expires_at' in code && code.expires_at !== null && code.expires_at <= now();
  const unlessOver = <Code extends MadeCode>(code: Code | undefined) => (code && isOver(code) ? 'expired' : code);
  return {
    keep(code) {
      codes.unshift({ ...code, made_at: now() } as MadeCode);
      codes.length = Math.min(codes.length, kept);
    },
    link: (ticket) =>
      unlessOver(codes.find((code): code is Of<'link' | 'scheme'> => isLink(code) && code.ticket === ticket)),
    account: (text) =>
      unlessOver(
        codes.find(
          (code): code is Of<'account'> => code.kind === 'account' && (code.ticket === text || code.key === text),
        ),
      ),
    recent: () => codes.filter((code) => !isOver(code)),
  };
}

function isLink(code: MadeCode): code is Of<'link' | 'scheme'> {
  return code.kind === 'link' || code.kind === 'scheme';
}

/** Letters and digits, as the ends of WeChat's short addresses are. */
export function ticketText(bytes: number): string {
  return randomBytes(bytes).toString('base64url').replace(/[-_]/g, 'x');
}
