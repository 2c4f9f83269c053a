/**
 * What people change in WeChat and we have to follow (PIPL articles 15, 44 to 47): an authorisation taken back, an account closed, a
 * profile cleaned up. All of it happens in the transaction of the push, before WeChat is thanked for it.
 */
import type { Knex } from 'knex';
import { recordAudit } from '../audit/audit.ts';
import type { Identity } from '../connectors/contract.ts';
import { type ConfiguredApp, wechatApps } from '../connectors/wechat/apps.ts';
import { forgetGivenPhones, givenPhones } from '../connectors/wechat/given-phones.ts';
import type { Fields } from '../connectors/wechat/push-message.ts';
import type { Logger } from '../log.ts';
import type { Seal } from '../seal.ts';
import type { Actor, SendJobs } from '../subjects/actor.ts';
import { withdrawIdentity } from '../subjects/link.ts';
import { forgetProfile } from '../subjects/profile.ts';
import { findByIdentity, identitiesOf } from '../subjects/subjects.ts';
import { forgetFollower } from './store.ts';

export type EventServices = { trx: Knex.Transaction; seal: Seal; jobs: SendJobs; log: Logger };
export type PushedEvent = { app: ConfiguredApp; fields: Fields; request_id: string };

/** WeChat itself: no person and no program of ours. */
export function wechatItself({ request_id }: { request_id: string }): Actor {
  return { actor_kind: 'system', actor_id: 'wechat', request_id };
}

type Person = { sub: string | undefined; openid: string; actor: Actor };

export const userInformationEvents = new Set([
  'user_info_modified',
  'user_authorization_revoke',
  'user_authorization_cancellation',
]);

export async function followUserInformation(services: EventServices, event: PushedEvent): Promise<void> {
  const { app, fields, request_id } = event;
  const openid = fields.OpenID;
  if (!openid) {
    // Reported of user_info_modified. There is nobody to do it to.
    services.log.info({ appid: app.appid, event: fields.Event, request_id }, 'wechat: push without an openid');
    return;
  }
  const sub = await personOf(services, event, openid);
  const person = { sub, openid, actor: wechatItself(event) };
  if (fields.Event === 'user_info_modified') await profileModified(services, event, person);
  else if (fields.Event === 'user_authorization_revoke') await authorisationRevoked(services, event, person);
  else await accountClosed(services, event, person);
}

/** Also who never came through this app, and is known by the unionid of another one. */
async function personOf(
  { trx, seal }: EventServices,
  { app, fields }: PushedEvent,
  openid: string,
): Promise<string | undefined> {
  const find = (identity: Identity) => findByIdentity({ db: trx, seal }, identity);
  const sub = await find({ kind: 'wechat_openid', issuer: app.appid, external_id: openid });
  if (sub || !app.open_platform || !fields.UnionID) return sub;
  return find({ kind: 'wechat_unionid', issuer: app.open_platform, external_id: fields.UnionID });
}

type Told = { action: string; details?: Record<string, unknown> };

async function record({ trx }: EventServices, { app }: PushedEvent, person: Person, told: Told): Promise<void> {
  const { action, details } = told;
  await recordAudit(trx, {
    ...person.actor,
    action,
    ...(person.sub && { subject_id: person.sub }),
    details: { appid: app.appid, ...details },
  });
}

/** Somebody of the staff has to look: the record says so, and the log. */
async function forStaff(services: EventServices, event: PushedEvent, person: Person, reason: string): Promise<void> {
  const { app, fields, request_id } = event;
  const { RevokeInfo: revoke_info } = fields;
  const details = { reason, ...(revoke_info && { revoke_info: revoke_info.slice(0, 100) }) };
  await record(services, event, person, { action: 'subject.needs_attention', details });
  services.log.warn({ appid: app.appid, sub: person.sub, reason, request_id }, 'wechat: somebody has to look at this');
}

// user_info_modified: WeChat cleaned a name or picture up. Ours goes, and the next sign-in brings the new one.

async function profileModified(services: EventServices, event: PushedEvent, person: Person): Promise<void> {
  await record(services, event, person, { action: 'wechat.profile_modified' });
  const { sub, actor } = person;
  if (sub) await forgetProfile(services.trx, { sub, actor, reason: 'user_info_modified' });
}

// user_authorization_revoke

type Kind = 'profile' | 'phone' | 'not_held';

/** Of mini-programs (below 100), of service accounts' pages (2xx), of mobile and website apps (301, all). */
const revoked = new Map<number, Kind[]>([
  [6, ['profile']],
  [8, ['phone']],
  [19, ['profile']],
  [20, ['profile']],
  [205, ['profile']],
  [301, ['profile', 'phone']],
  // Number plate, address, invoice, Bluetooth, microphone, camera, steps, location, photos, files, e-mail, chosen location; and of pages
  // address, invoice, card, microphone, location, photos: none of it is asked of WeChat, so none is kept.
  ...[1, 2, 3, 4, 5, 7, 12, 13, 14, 15, 16, 18, 201, 202, 203, 204, 206, 207].map((number): [number, Kind[]] => [
    number,
    ['not_held'],
  ]),
]);

async function authorisationRevoked(services: EventServices, event: PushedEvent, person: Person): Promise<void> {
  const numbers = (event.fields.RevokeInfo ?? '').match(/\d+/g)?.map(Number) ?? [];
  const known = numbers.map((number) => revoked.get(number));
  const kinds = new Set(known.flatMap((found) => found ?? []));
  const isUnknown = !numbers.length || known.includes(undefined);
  await record(services, event, person, {
    action: 'wechat.authorisation_revoked',
    details: { revoke_info: numbers, kinds: [...kinds] },
  });
  const { sub, actor, openid } = person;
  // A number that WeChat has not told us the meaning of may mean the profile: it is used no longer, and somebody looks.
  if (sub && (kinds.has('profile') || isUnknown)) {
    await forgetProfile(services.trx, { sub, actor, reason: 'user_authorization_revoke' });
  }
  if (kinds.has('phone')) await takePhoneBack(services, event, { sub, actor, openid });
  if (isUnknown) await forStaff(services, event, person, 'unknown_revoke_info');
}

/** Exactly what came from there: a number that the person also proved by a code of ours stays. */
async function takePhoneBack(services: EventServices, { app }: PushedEvent, person: Person): Promise<void> {
  const { trx, seal, jobs } = services;
  const { sub, actor, openid } = person;
  const giver = { appid: app.appid, openid };
  const held = sub ? (await identitiesOf({ db: trx, seal }, sub)).filter(({ kind }) => kind === 'phone') : [];
  for (const { external_id } of await givenPhones({ db: trx, seal }, giver, held)) {
    const identity: Identity = { kind: 'phone', issuer: '', external_id };
    await withdrawIdentity({ db: trx, seal, jobs }, { identity, actor, reason: 'user_authorization_revoke' });
  }
  await forgetGivenPhones({ db: trx, seal }, giver);
}

// user_authorization_cancellation: the WeChat account is no more

async function accountClosed(services: EventServices, event: PushedEvent, person: Person): Promise<void> {
  const { trx, seal, jobs } = services;
  const { app } = event;
  const { sub, openid, actor } = person;
  // A number that was given through WeChat stays: its owner took nothing back, and may come in by it.
  await forgetGivenPhones({ db: trx, seal }, { appid: app.appid, openid });
  await forgetFollower(trx, { appid: app.appid, openid });
  const closing = await identitiesOfAccount(services, event, { sub, openid });
  let was_last = false;
  let removed = 0;
  for (const identity of closing) {
    const gone = await withdrawIdentity(
      { db: trx, seal, jobs },
      { identity, actor, reason: 'user_authorization_cancellation' },
    );
    removed += gone ? 1 : 0;
    was_last ||= gone?.was_last ?? false;
  }
  if (sub) await forgetProfile(trx, { sub, actor, reason: 'user_authorization_cancellation' });
  await record(services, event, person, { action: 'wechat.account_closed', details: { removed } });
  // Nothing signs this person in any more. The subject stays as it is: what it bought and agreed to is still theirs.
  if (was_last) await forStaff(services, event, person, 'no_way_in_left');
}

/**
 * What belongs to the closed account: the openid the push names, its unionid, and with it the person's openids of the apps bound to the
 * same open-platform account. Somebody with two WeChat accounts in one subject has two openids of an app or two unionids: then only
 * what the push names.
 */
async function identitiesOfAccount(
  services: EventServices,
  { app, fields }: PushedEvent,
  { sub, openid }: Pick<Person, 'sub' | 'openid'>,
): Promise<Identity[]> {
  const { trx, seal } = services;
  const named: Identity[] = [{ kind: 'wechat_openid', issuer: app.appid, external_id: openid }];
  const platform = app.open_platform;
  if (!platform || !sub) return named;
  const held = await identitiesOf({ db: trx, seal }, sub);
  const unionids = held.filter(({ kind, issuer }) => kind === 'wechat_unionid' && issuer === platform);
  const [only] = unionids;
  const unionid = fields.UnionID ?? (unionids.length === 1 ? only?.external_id : undefined);
  if (!unionid) return named;
  const union: Identity = { kind: 'wechat_unionid', issuer: platform, external_id: unionid };
  if (unionids.length !== 1 || only?.external_id !== unionid) {
    // A unionid that is somebody else's by now is not touched for this person's sake.
    return unionids.some(({ external_id }) => external_id === unionid) ? [...named, union] : named;
  }
  const apps = (await wechatApps({ db: trx, seal })).filter(({ open_platform }) => open_platform === platform);
  const openids = held.filter(
    ({ kind, issuer }) => kind === 'wechat_openid' && apps.some(({ appid }) => appid === issuer),
  );
  const isOneAccount = new Set(openids.map(({ issuer }) => issuer)).size === openids.length;
  const others = openids
    .filter(({ issuer }) => isOneAccount && issuer !== app.appid)
    .map(({ kind, issuer, external_id }) => ({ kind, issuer, external_id }));
  return [...named, union, ...others];
}
