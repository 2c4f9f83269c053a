/**
 * Whom a record is about. `distinct_id` is a visitor or a customer, and only the other fields tell which. What a website or a
 * mini-program says of a customer is a claim, and the identities it names would be one too: they are left out. A server's name people.
 */
import { isAddress, isPhone } from '../../personal.ts';
import type { Speaker } from '../../speaker.ts';
import { isRecord } from '../../storable.ts';

export type Who = {
  userId: string | undefined;
  anonymousId: string | undefined;
  externalIds: { type: string; id: string; issuer?: string }[];
};

type External = Who['externalIds'][number];

type Fields = Record<string, unknown>;

export function whoOf(record: Fields, kind: Speaker['kind']): Who {
  const ids = isRecord(record.identities) ? record.identities : {};
  const visitor = visitorOf(record, ids);
  const customer = customerOf(record, { ids, kind, visitor });
  const login = customer === undefined ? undefined : readLogin(customer);
  const anonymousId = visitor ?? (customer === undefined ? text(record.distinct_id) : undefined);
  const listed = Object.entries(ids).flatMap(([key, id]) => externalOf(key, text(id)) ?? []);
  return {
    userId: typeof login === 'string' ? login : undefined,
    anonymousId: isPersonal(anonymousId) ? undefined : anonymousId,
    externalIds: kind === 'server' ? [...(typeof login === 'object' ? [login] : []), ...listed] : [],
  };
}

function visitorOf(record: Fields, ids: Fields): string | undefined {
  return (
    text(record.anonymous_id) ??
    text(ids.$identity_anonymous_id) ??
    text(ids.$identity_cookie_id) ??
    text(ids.$identity_mp_id) ??
    (record.type === 'track_signup' ? text(record.original_id) : undefined)
  );
}

type About = { ids: Fields; kind: Speaker['kind']; visitor: string | undefined };

/**
 * What stands in `identities` beside an `anonymous_id` may have got there after the event (events.ts). A server that sends nothing but
 * a `distinct_id` means a customer unless it says otherwise: taken for a visitor, an id that anybody can guess and have bound to
 * himself would bring him what the server says of somebody else.
 */
function customerOf(record: Fields, { ids, kind, visitor }: About): string | undefined {
  const isVisitor = isRecord(record.properties) && record.properties.$is_login_id === false;
  const isDistinct = record.type === 'track_signup' || (kind === 'server' && visitor === undefined && !isVisitor);
  return (
    text(record.login_id) ??
    (text(record.anonymous_id) === undefined ? text(ids.$identity_login_id) : undefined) ??
    (isDistinct ? text(record.distinct_id) : undefined)
  );
}

/** `<key>+<id>` where sign-in was by another key than the customer's id. A number or an address names a person and is not kept. */
function readLogin(login: string): string | External {
  const [, key = '', id = login] = /^([A-Za-z_$][\w$]*)\+(.+)$/.exec(login) ?? [];
  return externalOf(key, id) ?? (isPhone(id) ? { type: 'phone', id } : isAddress(id) ? { type: 'email', id } : login);
}

const types: Record<string, string> = {
  $identity_mobile: 'phone',
  $identity_email: 'email',
  $identity_mp_unionid: 'wechat_unionid',
  $identity_mp_openid: 'wechat_openid',
  member_no: 'member_no',
};

function externalOf(key: string, id: string | undefined): External | undefined {
  if (id === undefined) return undefined;
  const [, issuer] = /^\$identity_mp_(\w+)_openid$/.exec(key) ?? [];
  if (issuer !== undefined) return { type: 'wechat_openid', id, issuer };
  const type = Object.hasOwn(types, key) ? types[key] : undefined;
  return type === undefined ? undefined : { type, id };
}

/** Would lie there in clear. */
export function isPersonal(id: string | undefined): boolean {
  return id !== undefined && (isPhone(id) || isAddress(id) || /^\$identity_(?:mobile|email)\+/.test(id));
}

function text(value: unknown): string | undefined {
  const id = typeof value === 'number' ? String(value) : typeof value === 'string' ? value.trim() : '';
  return id || undefined;
}
