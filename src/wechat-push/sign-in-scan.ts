/**
 * The chat with an official account as the place where a sign-in on a computer is confirmed (src/login/scan.ts shows the code).
 *
 *   scans, follows ─► push subscribe / SCAN with the ticket ─► "this site, from there, asks: reply 1" ─► push text "1" ─► confirmed
 *
 * WeChat shows whoever scans nothing but the account, so a scan alone signs nobody in: the code may stand on a stranger's page (threat
 * C13). The message names the website, its host and the network that asked, and the answer is a second act of the same openid. Only
 * encrypted pushes count: they are WeChat's own word about who that is.
 */
import type { Knex } from 'knex';
import { recordAudit } from '../audit/audit.ts';
import type { ConfiguredApp } from '../connectors/wechat/apps.ts';
import type { OpenedPush } from '../connectors/wechat/push.ts';
import type { I18n, Translate } from '../http/i18n.ts';
import { decideScan, networkShown, noteScanned, readScan, type Scan, scanSeconds } from '../login/scan-ticket.ts';
import type { Seal } from '../seal.ts';
import { findByIdentity } from '../subjects/subjects.ts';
import { issueTicket, readTicket, type Ticket } from '../tickets.ts';

export type ScanServices = { trx: Knex.Transaction; seal: Seal; i18n: I18n };
type Asked = { app: ConfiguredApp; openid: string; request_id: string };

/** What the account says to this push; undefined when it is not about a sign-in. The same again when the push comes again. */
export async function replyToPush(
  services: ScanServices,
  { app, push, request_id }: { app: ConfiguredApp; push: OpenedPush; request_id: string },
): Promise<string | undefined> {
  const { MsgType, Event, EventKey = '', FromUserName: openid, Content = '' } = push.fields;
  if (!push.isEncrypted || !openid) return undefined;
  const asked = { app, openid, request_id };
  if (MsgType === 'event' && (Event === 'subscribe' || Event === 'SCAN')) return scanned(services, asked, EventKey);
  return MsgType === 'text' ? answered(services, asked, Content) : undefined;
}

const ticketPattern = /^(?:qrscene_)?([\w-]{22})$/;
/** Which sign-in this openid was asked about last. */
const askedKind = 'scan asked';
const nameOf = ({ app, openid }: Asked) => `${app.appid} ${openid}`;

/** Of this account; a scene of the company's own has no such ticket. */
async function scanOf({ trx, seal }: ScanServices, { app }: Asked, ticket: string): Promise<Ticket<Scan> | undefined> {
  const scan = await readScan({ db: trx, seal }, ticket);
  return scan?.payload.appid === app.appid ? scan : undefined;
}

async function scanned(services: ScanServices, asked: Asked, eventKey: string): Promise<string | undefined> {
  const { trx, seal } = services;
  const ticket = ticketPattern.exec(eventKey)?.[1];
  const scan = ticket && (await scanOf(services, asked, ticket));
  if (!ticket || !scan) return undefined;
  const { openid } = asked;
  const isMine =
    (scan.state === 'open' && (await noteScanned({ db: trx, seal }, ticket, { ...scan.payload, openid }))) ||
    (await scanOf(services, asked, ticket))?.payload.openid === openid;
  const t = translatorOf(services, scan);
  if (!isMine) return t('follow_chat.taken');
  const value = nameOf(asked);
  await issueTicket({ db: trx, seal }, { kind: askedKind, payload: { ticket }, seconds: scanSeconds, value });
  return question(t, scan.payload);
}

function translatorOf({ i18n }: ScanServices, { payload }: Ticket<Scan>): Translate {
  return i18n.translator(payload.locale === 'en' ? 'en' : 'zh-CN');
}

function question(t: Translate, scan: Scan): string {
  const { client, host, browser } = scan;
  const network = networkShown(scan);
  const place = browser ? t('follow_chat.browser', { browser, network }) : t('follow_chat.somewhere', { network });
  return t('follow_chat.ask', { client, host, place, minutes: scanSeconds / 60 });
}

const decisions = new Map<string, 'confirmed' | 'denied'>([
  ['1', 'confirmed'],
  ['0', 'denied'],
]);

/** Everything else that people write is the company's to answer. */
async function answered(services: ScanServices, asked: Asked, content: string): Promise<string | undefined> {
  const { trx, seal } = services;
  const decision = decisions.get(content.normalize('NFKC').trim());
  const waiting = decision && (await readTicket<{ ticket: string }>({ db: trx, seal }, askedKind, nameOf(asked)));
  if (!waiting) return undefined;
  const { ticket } = waiting.payload;
  const scan = await scanOf(services, asked, ticket);
  if (!scan || scan.payload.openid !== asked.openid) return undefined;
  if (await decideScan({ db: trx, seal }, ticket, scan.payload, decision))
    await record(services, asked, scan, decision);
  const { state = '' } = (await scanOf(services, asked, ticket)) ?? {};
  const t = translatorOf(services, scan);
  const { client } = scan.payload;
  if (state === 'confirmed') return t('follow_chat.confirmed', { client });
  return state === 'denied' ? t('follow_chat.denied') : undefined;
}

async function record(
  { trx, seal }: ScanServices,
  { app, openid, request_id }: Asked,
  { payload }: Ticket<Scan>,
  decision: 'confirmed' | 'denied',
): Promise<void> {
  const identity = { kind: 'wechat_openid', issuer: app.appid, external_id: openid } as const;
  const sub = await findByIdentity({ db: trx, seal }, identity);
  await recordAudit(trx, {
    action: `sign_in.${decision}`,
    actor_kind: 'person',
    ...(sub && { actor_id: sub, subject_id: sub }),
    client_id: payload.client_id,
    request_id,
    details: { appid: app.appid, for_client: payload.client_id, asked_from: payload.ip },
  });
}
