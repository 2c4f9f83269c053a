/** What WeChat pushes, field for field: events of followers, messages to an account, and the three of user information. */
import { randomInt } from 'node:crypto';
import type { Parts } from '../parts.ts';
import type { Person, WechatApp } from '../state.ts';
import type { Message } from './message.ts';

type From = Pick<Parts, 'state' | 'clock'>;

function envelope({ state, clock }: From, app: WechatApp, FromUserName: string, MsgType: string): Message {
  const CreateTime = Math.floor(clock.now().getTime() / 1000);
  return { ToUserName: state.originalId(app), FromUserName, CreateTime, MsgType };
}

export type Scanned = { scene: string | number; ticket: string };

/** Of a follower, who is the sender. */
export function followerEvent(
  from: From,
  {
    app,
    person,
    event,
    scanned,
  }: { app: WechatApp; person: Person; event: 'subscribe' | 'SCAN' | 'unsubscribe'; scanned?: Scanned | undefined },
): Message {
  const sent = { ...envelope(from, app, from.state.openid(app, person), 'event'), Event: event };
  if (!scanned) return { ...sent, EventKey: '' };
  const EventKey = event === 'subscribe' ? `qrscene_${scanned.scene}` : String(scanned.scene);
  return { ...sent, EventKey, Ticket: scanned.ticket };
}

export function textMessage(
  from: From,
  { app, person, text }: { app: WechatApp; person: Person; text: string },
): Message {
  const MsgId = BigInt(from.clock.now().getTime()) * 100_000n + BigInt(randomInt(100_000));
  return { ...envelope(from, app, from.state.openid(app, person), 'text'), Content: text, MsgId };
}

export type UserInformationEvent =
  | 'user_info_modified'
  | 'user_authorization_revoke'
  | 'user_authorization_cancellation';

/** The sender is WeChat's own openid, not the person: that one is in OpenID. */
export function userInformationEvent(
  from: From,
  {
    app,
    person,
    event,
    revoke_info,
  }: { app: WechatApp; person: Person; event: UserInformationEvent; revoke_info?: string },
): Message {
  const { state } = from;
  const UnionID = state.unionid(app, person);
  return {
    ...envelope(from, app, state.teamId(app), 'event'),
    Event: event,
    OpenID: state.openid(app, person),
    ...(UnionID && { UnionID }),
    AppID: app.appid,
    ...(revoke_info && { RevokeInfo: revoke_info }),
  };
}
