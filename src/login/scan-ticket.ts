/**
 * A sign-in on a computer that waits for a yes from a phone: in a mini-program, or in the chat with an official account. The ticket is
 * the scene of the code on the screen: whoever scans it learns which site asks and from where, and signs in the browser that asked,
 * never their own (threat C13).
 *
 *   open ── scanned by somebody ──► scanned ── the same person ──► confirmed ── the browser that asked ──► spent
 *                                      └────────────────────────► denied
 */
import type { Knex } from 'knex';
import { networkOf } from '../http/client-address.ts';
import type { Seal } from '../seal.ts';
import { advanceTicket, issueTicket, readTicket, type Ticket, takeTicket } from '../tickets.ts';

type Services = { db: Knex; seal: Seal };

export type Scan = {
  /** The browser's interaction: it alone can use the answer. */
  binding: string;
  /** Whose code it is: only a client of this mini-program, or a push of this account, may answer. */
  appid: string;
  client_id: string;
  client: string;
  host: string;
  ip: string;
  browser: string;
  asked_at: string;
  /** Of the page. */
  locale: string;
  /** Who scanned it: nobody else can confirm. The person of the mini-program's token, or the openid that WeChat told. */
  sub?: string;
  openid?: string;
};

/** Where the browser is, as far as a stranger who looks may know: its network. */
export function networkShown({ ip }: Pick<Scan, 'ip'>): string {
  return networkOf(ip)
    .replace(/\.0\/24$/, '.*')
    .replace(/::\/64$/, '::*');
}

const kind = 'scan';
export const scanSeconds = 180;

export function askForScan(services: Services, scan: Scan): Promise<string> {
  return issueTicket(services, { kind, payload: scan, seconds: scanSeconds });
}

export function readScan(services: Services, ticket: string): Promise<Ticket<Scan> | undefined> {
  return readTicket<Scan>(services, kind, ticket);
}

/** False when somebody else was first. */
export function noteScanned(
  services: Services,
  ticket: string,
  scan: Scan & ({ sub: string } | { openid: string }),
): Promise<boolean> {
  return advanceTicket(services, kind, ticket, { from: 'open', to: 'scanned', payload: scan });
}

export function decideScan(
  services: Services,
  ticket: string,
  scan: Scan,
  decision: 'confirmed' | 'denied',
): Promise<boolean> {
  return advanceTicket(services, kind, ticket, { from: 'scanned', to: decision, payload: scan });
}

/** Spends it; undefined unless it was confirmed for this very browser. */
export async function takeConfirmed(services: Services, ticket: string, binding: string): Promise<Scan | undefined> {
  const taken = await takeTicket<Scan>(services, kind, ticket, 'confirmed');
  return taken?.payload.binding === binding ? taken.payload : undefined;
}

/** A new code takes the place of this one. */
export async function dropScan(services: Services, ticket: string): Promise<void> {
  await takeTicket(services, kind, ticket);
}
