/** What the simulated people do with WeChat in hand: scan, follow, write, take back, leave. Each act is what WeChat would push. */
import { fail } from '../errors.ts';
import type { Parts } from './parts.ts';
import {
  followerEvent,
  type Scanned,
  textMessage,
  type UserInformationEvent,
  userInformationEvent,
} from './push/events.ts';
import type { Message } from './push/message.ts';
import type { Push } from './push/pushes.ts';
import type { Person, WechatApp } from './state.ts';

export type Pushed = { pushes: Push[] };

async function push({ pushes }: Parts, app: WechatApp, message: Message): Promise<Pushed> {
  const sent = await pushes.send(app, message);
  return { pushes: sent ? [sent] : [] };
}

/** @throws conflict for somebody whose WeChat account is closed */
export function present(person: Person): Person {
  if (person.closed) throw fail('conflict', { message: `${person.nickname} has closed the WeChat account.` });
  return person;
}

/** @throws bad_request when it is no official account */
export function accountOf({ state }: Pick<Parts, 'state'>, appid: string): WechatApp {
  const app = state.app(appid);
  if (app?.kind !== 'official_account')
    throw fail('bad_request', { message: `"${appid}" is not an official account of the sandbox; see GET /apps.` });
  return app;
}

/** Who follows already only scans. */
export async function follow(
  parts: Parts,
  { app, person, scanned }: { app: WechatApp; person: Person; scanned?: Scanned },
): Promise<Pushed & { event: 'subscribe' | 'SCAN' | null }> {
  const isNew = !parts.state.follower(app, present(person));
  if (isNew) parts.state.follow(app, person, scanned?.scene ?? null);
  // To follow again what one follows is a tap that WeChat does not offer.
  if (!isNew && !scanned) return { event: null, pushes: [] };
  const event = isNew ? 'subscribe' : 'SCAN';
  return { event, ...(await push(parts, app, followerEvent(parts, { app, person, event, scanned }))) };
}

/** @throws conflict when there is nothing to unfollow */
export async function unfollow(parts: Parts, app: WechatApp, person: Person): Promise<Pushed> {
  if (!parts.state.follower(app, person))
    throw fail('conflict', { message: `${person.nickname} does not follow ${app.name}.` });
  parts.state.unfollow(app, person);
  return push(parts, app, followerEvent(parts, { app, person, event: 'unsubscribe' }));
}

/** A message to the account. @throws conflict from somebody who does not follow it */
export async function say(
  parts: Parts,
  { app, person, text }: { app: WechatApp; person: Person; text: string },
): Promise<Pushed> {
  if (!parts.state.follower(app, present(person)))
    throw fail('conflict', { message: `${person.nickname} does not follow ${app.name} and cannot write to it.` });
  return push(parts, app, textMessage(parts, { app, person, text }));
}

/** What WeChat's own screen gives back: nickname and picture in a mini-program, all of it at a website, likewise in an account. */
const usualRevocation: Record<WechatApp['kind'], string> = {
  miniprogram: '6',
  website: '301',
  official_account: '205',
};

export async function revoke(
  parts: Parts,
  { app, person, revoke_info }: { app: WechatApp; person: Person; revoke_info?: string | undefined },
): Promise<Pushed> {
  parts.userTokens.revoke(app.appid, present(person).person_id);
  const info = revoke_info ?? usualRevocation[app.kind];
  return tell(parts, { app, person, event: 'user_authorization_revoke', revoke_info: info });
}

export async function modify(
  parts: Parts,
  { app, person, nickname }: { app: WechatApp; person: Person; nickname?: string | undefined },
): Promise<Pushed> {
  present(person);
  if (nickname !== undefined) parts.state.changePerson(person, { nickname });
  return tell(parts, { app, person, event: 'user_info_modified' });
}

/** Every app that knows the person is told. */
export async function closeAccount(parts: Parts, person: Person): Promise<Pushed> {
  const { state, userTokens } = parts;
  const apps = state.apps().filter((app) => state.follower(app, person) || state.authorised(person).includes(app));
  state.changePerson(present(person), { closed: true });
  for (const app of apps) {
    userTokens.revoke(app.appid, person.person_id);
    state.unfollow(app, person);
    state.forget(app, person);
  }
  const told = apps.map((app) => tell(parts, { app, person, event: 'user_authorization_cancellation' }));
  return { pushes: (await Promise.all(told)).flatMap(({ pushes }) => pushes) };
}

function tell(
  parts: Parts,
  about: { app: WechatApp; person: Person; event: UserInformationEvent; revoke_info?: string },
): Promise<Pushed> {
  return push(parts, about.app, userInformationEvent(parts, about));
}
