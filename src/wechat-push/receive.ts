/**
 * What is done with a push that is WeChat's own word: once, whatever happens on the way. The note that it was done is written in the
 * transaction of what it did, so one that failed half-way is done when WeChat sends it again.
 */
import { recordAudit } from '../audit/audit.ts';
import type { ConfiguredApp } from '../connectors/wechat/apps.ts';
import type { OpenedPush } from '../connectors/wechat/push.ts';
import type { Fields } from '../connectors/wechat/push-message.ts';
import type { Database } from '../database.ts';
import type { I18n } from '../http/i18n.ts';
import type { Logger } from '../log.ts';
import type { Seal } from '../seal.ts';
import type { SendJobs } from '../subjects/actor.ts';
import { findByIdentity } from '../subjects/subjects.ts';
import { replyToPush } from './sign-in-scan.ts';
import { notePush, setFollowing } from './store.ts';
import {
  type EventServices,
  followUserInformation,
  type PushedEvent,
  userInformationEvents,
  wechatItself,
} from './user-information.ts';

export type ReceiveServices = { db: Database; seal: Seal; jobs: SendJobs; log: Logger; i18n: I18n };
export type Received = { app: ConfiguredApp; push: OpenedPush; signature: string; request_id: string };

/** `replayed`: its signature came before, with another message. `reply`: what the account says to it. */
export type Outcome = { kind: 'replayed' } | { kind: 'done'; reply: string | undefined };

export async function receivePush(services: ReceiveServices, received: Received): Promise<Outcome> {
  const { db, seal, jobs, log, i18n } = services;
  const { app, push, signature, request_id } = received;
  const { fields } = push;
  const message_hash = seal.hash(identityOf(fields), 'wechat push');
  return db.transaction(async (trx) => {
    const noted = await notePush(trx, { appid: app.appid, message_hash, signature });
    if (noted === 'replayed') return { kind: 'replayed' };
    if (noted === 'new') await act({ trx, seal, jobs, log }, { app, fields, request_id });
    return { kind: 'done', reply: await replyToPush({ trx, seal, i18n }, { app, push, request_id }) };
  });
}

/**
 * What makes a message this one: its MsgId; of events sender, time and name, as WeChat says. The events of user information all have
 * WeChat's own openid for a sender, so two people's in one second are told apart by what else they hold.
 */
function identityOf(fields: Fields): string {
  const { MsgId, FromUserName, CreateTime, Event, OpenID, EventKey, RevokeInfo } = fields;
  return JSON.stringify(MsgId ? [MsgId] : [FromUserName, CreateTime, Event, OpenID, EventKey, RevokeInfo]);
}

async function act(services: EventServices, event: PushedEvent): Promise<void> {
  const { fields } = event;
  if (fields.MsgType !== 'event') return;
  const name = fields.Event ?? '';
  if (userInformationEvents.has(name)) return followUserInformation(services, event);
  if (name === 'subscribe' || name === 'unsubscribe') return follow(services, event, name === 'subscribe');
}

async function follow({ trx, seal }: EventServices, event: PushedEvent, is_following: boolean): Promise<void> {
  const { app, fields } = event;
  const { FromUserName: openid = '' } = fields;
  if (!openid) return;
  const { appid } = app;
  await setFollowing(trx, { appid, openid, is_following, at: new Date(Number(fields.CreateTime ?? 0) * 1000) });
  const sub = await findByIdentity({ db: trx, seal }, { kind: 'wechat_openid', issuer: appid, external_id: openid });
  await recordAudit(trx, {
    ...wechatItself(event),
    action: is_following ? 'wechat.followed' : 'wechat.unfollowed',
    ...(sub && { subject_id: sub }),
    details: { appid },
  });
}
