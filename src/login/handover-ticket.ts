/**
 * A person in the mini-program goes on as themselves on the company's website, in the web view beside it.
 *
 *   POST /me/handovers ─► address (60 s) ─► the web view posts it ─► pass, a cookie of that web view (120 s) ─► sign-in page of the client
 *
 * The address is worth nothing anywhere else: it is spent by the first who posts it, and gives a pass only inside a mini-program's web
 * view on the network that asked for it. So an address that was sent to somebody never signs them in as its sender (threat A31).
 */
import type { Knex } from 'knex';
import { networkOf } from '../http/client-address.ts';
import type { Seal } from '../seal.ts';
import { issueTicket, readTicket, takeTicket } from '../tickets.ts';

type Services = { db: Knex; seal: Seal };

export type Handover = {
  sub: string;
  /** Where it leads and may sign in: nowhere else. */
  client_id: string;
  client: string;
  url: string;
  /** The origins of that client's pages, through which the way may lead. */
  origins: string[];
  /** The mini-program that asked. */
  from_client_id: string;
  network: string;
};
export type Pass = Pick<Handover, 'sub' | 'client_id' | 'network' | 'from_client_id'>;

const kinds = { address: 'handover', pass: 'handover-pass' };
export const handoverSeconds = 60;
export const passSeconds = 120;

export function makeHandover(services: Services, { ip, ...rest }: Omit<Handover, 'network'> & { ip: string }) {
  const payload: Handover = { ...rest, network: networkOf(ip) };
  return issueTicket(services, { kind: kinds.address, payload, seconds: handoverSeconds });
}

export async function readHandover(services: Services, ticket: string): Promise<Handover | undefined> {
  return (await readTicket<Handover>(services, kinds.address, ticket))?.payload;
}

export async function takeHandover(services: Services, ticket: string): Promise<Handover | undefined> {
  return (await takeTicket<Handover>(services, kinds.address, ticket))?.payload;
}

export function makePass(services: Services, { sub, client_id, network, from_client_id }: Handover): Promise<string> {
  const payload: Pass = { sub, client_id, network, from_client_id };
  return issueTicket(services, { kind: kinds.pass, payload, seconds: passSeconds });
}

/** Spends it, unless it is for another client: then it is left for that one. */
export async function takePass(services: Services, value: string, client_id: string): Promise<Pass | undefined> {
  const kept = await readTicket<Pass>(services, kinds.pass, value);
  if (kept?.payload.client_id !== client_id) return undefined;
  return (await takeTicket<Pass>(services, kinds.pass, value))?.payload;
}
