/**
 * Job `subject.notify`: what happened to an account is told on the person's other channels, so that whoever did not do it hears of it
 * while there is still something to be done (threats B19, B20). To every e-mail address and phone of the person but the one that was
 * just proven, and to the one that was taken away. A job that is tried again tells nobody twice.
 */
import type { Knex } from 'knex';
import { type Connectors, type Notice, reviewerIssuer } from '../connectors/contract.ts';
import { AppError } from '../errors.ts';
import type { Jobs } from '../jobs.ts';
import type { Logger } from '../log.ts';
import type { Seal } from '../seal.ts';
import type { Notice as Happened } from '../subjects/actor.ts';
import { openExternalId } from '../subjects/identity-key.ts';
import { claimsOf, currentSubject, identitiesOf } from '../subjects/subjects.ts';
import { markSent, wasSent } from './store.ts';
import { familyOf } from './visit.ts';

export type NoticeServices = {
  db: Knex;
  seal: Seal;
  log: Logger;
  connectors: Pick<Connectors, 'notify'>;
  publicUrl: string;
};

export function handleNotices(services: NoticeServices & { jobs: Pick<Jobs, 'handle'> }): void {
  services.jobs.handle('subject.notify', (data) => tellEverywhere(services, data as Happened));
}

type Recipient = { channel: 'email' | 'sms'; to: string };

/** @throws when a channel did not answer: the queue tries again, and only those that were not told are asked for. */
export async function tellEverywhere(services: NoticeServices, happened: Happened): Promise<void> {
  const { db, seal } = services;
  const standing = await currentSubject(db, happened.sub);
  const locale = (standing && (await claimsOf({ db, seal }, standing.sub))?.locale) ?? 'zh-CN';
  let failure: unknown;
  for (const recipient of await recipientsOf(services, standing?.sub, happened)) {
    try {
      await tell(services, happened, recipient, locale);
    } catch (error) {
      failure = error;
    }
  }
  if (failure) throw failure;
}

async function recipientsOf(
  { db, seal }: NoticeServices,
  sub: string | undefined,
  { kind, former, not_to }: Happened,
): Promise<Recipient[]> {
  const held = sub ? await identitiesOf({ db, seal }, sub) : [];
  const channels = held.flatMap(({ id, kind, issuer, external_id }) =>
    id === not_to || issuer === reviewerIssuer ? [] : recipient(kind, external_id),
  );
  if (!former || !kind) return channels;
  return [...channels, ...recipient(kind, openExternalId(seal, { lookup: '', sealed: former }))];
}

function recipient(kind: string, to: string): Recipient[] {
  if (kind === 'email') return [{ channel: 'email', to }];
  return kind === 'phone' ? [{ channel: 'sms', to }] : [];
}

async function tell(
  { db, seal, log, connectors, publicUrl }: NoticeServices,
  { what, kind, hint, sub, at }: Happened,
  { channel, to }: Recipient,
  locale: string,
): Promise<void> {
  const family = kind && familyOf(kind);
  // One WeChat is several identities, linked in one moment and told once.
  const event = family === 'wechat' ? [sub, what, family, at.slice(0, 16)] : [sub, what, kind, hint, at];
  const id = seal.hash([...event, channel, to].join(' '), 'account notice');
  if (await wasSent(db, id)) return;
  const shown = family === 'wechat' ? undefined : hint;
  const notice: Notice = { to, id, locale, what, kind, hint: shown, at: new Date(at), url: `${publicUrl}/account` };
  try {
    if (!(await connectors.notify(channel, notice))) return;
  } catch (error) {
    // A number that takes no message, or has had its share: trying again changes nothing.
    if (!(error instanceof AppError) || error.code === 'upstream_unavailable') throw error;
    log.info({ what, channel, refused: error.code }, 'account: a notice did not reach its recipient');
  }
  await markSent(db, id);
}
