/**
 * A link from the website into the mini-program that joins the two: the visitor's account there, and the WeChat it is opened with.
 *
 *   POST /me/miniprogram-links ─► link and four digits ─► the mini-program is opened ─► /token with link_ticket and link_code
 *
 * The link alone joins nothing: whoever it is forwarded to does not see the digits on the website, and typing them is the consent.
 * Three tries for each link; it is spent by the right one.
 */
import { randomInt, timingSafeEqual } from 'node:crypto';
import type { Proof } from '../connectors/contract.ts';
import type { Database } from '../database.ts';
import { AppError } from '../errors.ts';
import type { Limits } from '../http/limits.ts';
import type { Jobs } from '../jobs.ts';
import type { Logger } from '../log.ts';
import type { Seal } from '../seal.ts';
import type { Actor } from '../subjects/actor.ts';
import { joinProven } from '../subjects/join.ts';
import { linkProof } from '../subjects/link.ts';
import { currentSubject } from '../subjects/subjects.ts';
import { issueTicket, readTicket, takeTicket } from '../tickets.ts';

const kind = 'launch-link';
export const linkSeconds = 300;
const tries = { name: 'launch_link_tries', points: 3, seconds: 2 * linkSeconds };

export type LaunchLink = {
  sub: string;
  /** The website it came from, by id and by name. */
  client_id: string;
  client: string;
  /** The client of the mini-program it opens. */
  to_client_id: string;
  code: string;
};

type Services = { db: Database; seal: Seal };

export async function makeLaunchLink(
  services: Services,
  link: Omit<LaunchLink, 'code'>,
): Promise<{ ticket: string; code: string }> {
  const code = String(randomInt(10_000)).padStart(4, '0');
  return { ticket: await issueTicket(services, { kind, payload: { ...link, code }, seconds: linkSeconds }), code };
}

/** What the mini-program shows before it asks for the digits; nothing about the person. */
export async function readLaunchLink(services: Services, ticket: string, to_client_id: string) {
  const link = await readTicket<LaunchLink>(services, kind, ticket);
  if (link?.payload.to_client_id !== to_client_id) return undefined;
  return { client: link.payload.client, expires_in: link.expires_in };
}

export type LinkStatus = 'linked' | 'unchanged' | 'conflict' | 'failed';
export type Launch = { ticket: string; code: string; proof: Proof; actor: Actor & { client_id: string } };
type JoinServices = Services & { limits: Limits; log: Logger; jobs: Pick<Jobs, 'send'> };

/** Never throws for what is wrong with the link: the sign-in goes on as whoever proved themselves. */
export async function joinByLink(services: JoinServices, launch: Launch): Promise<LinkStatus> {
  const { actor } = launch;
  try {
    const link = await spend(services, launch);
    const website = link && (await currentSubject(services.db, link.sub));
    if (website?.status !== 'active') return 'failed';
    return await joinTo(services, website.sub, launch);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    services.log.warn({ client_id: actor.client_id, reason: error.code }, 'oidc: link failed, the sign-in goes on');
    return 'failed';
  }
}

/** What is free is linked; what is somebody else's joins the two, unless something speaks against it: then staff look at it. */
async function joinTo(services: JoinServices, sub: string, { proof, actor }: Launch): Promise<LinkStatus> {
  const who = { ...actor, actor_id: sub };
  try {
    const { linked } = await linkProof(services, { sub, proof, actor: who });
    return linked.length ? 'linked' : 'unchanged';
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    if (error.code === 'identity_contradicts') return 'conflict';
    if (error.code !== 'identity_taken') throw error;
  }
  const reason = 'linked_from_website';
  const { kind: outcome } = await joinProven(services, { sub, proof, actor: who, reason });
  return outcome === 'merged' ? 'linked' : outcome === 'case' ? 'conflict' : 'unchanged';
}

/** The try is counted before it is compared, so guesses at the same instant are no more than three. */
async function spend(services: JoinServices, { ticket, code, actor }: Launch): Promise<LaunchLink | undefined> {
  const link = await readTicket<LaunchLink>(services, kind, ticket);
  if (link?.payload.to_client_id !== actor.client_id) return undefined;
  try {
    await services.limits.spend(tries, ticket);
  } catch (error) {
    if (error instanceof AppError) await takeTicket(services, kind, ticket);
    throw error;
  }
  const [given, right] = [Buffer.from(code), Buffer.from(link.payload.code)];
  if (given.length !== right.length || !timingSafeEqual(given, right)) return undefined;
  return (await takeTicket<LaunchLink>(services, kind, ticket))?.payload;
}
