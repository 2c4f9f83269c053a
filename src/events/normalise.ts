/**
 * One event as a tracker sends it → one event as we keep it. Tolerant: a field of the wrong type is as good as missing, and only
 * what could not be attributed or told apart from others refuses the event. Whose it is, and how far that is trusted, is attribute.ts.
 *
 * Never stored: an ID token (a credential), external ids (they become a subject), consent (it becomes a column), an address of the network. A phone number or
 * an e-mail in a field of that name is masked: it proves nothing, and it would be the only one in the database in clear.
 */
import { z } from 'zod';
import type { Catalogue } from './catalogue.ts';
import { enrichment, ours, type Surroundings } from './enrich.ts';
import { type EventTime, eventTime } from './event-time.ts';
import { maskPersonal } from './personal.ts';
import type { Fault } from './property-types.ts';
import { type Bounds, exceededBound, isRecord, storableText } from './storable.ts';

export const eventTypes = ['track', 'identify', 'page', 'screen', 'group', 'alias'] as const;
export type EventType = (typeof eventTypes)[number];

/** An identity that the sender says the person has; only a server's word for it counts. */
export type ExternalId = { type: string; id: string; issuer: string };

export type Incoming = EventTime & {
  message_id: string | undefined;
  type: EventType;
  event: string;
  original_event: string | null;
  channel: string | undefined;
  user_id: string | undefined;
  anonymous_id: string | undefined;
  external_ids: ExternalId[];
  id_token: string | undefined;
  consents: string[];
  properties: Record<string, unknown>;
  context: Record<string, unknown>;
};

export type RejectionCode =
  | Bounds
  | 'not_an_object'
  | 'type_unknown'
  | 'event_name_missing'
  | 'message_id_invalid'
  | 'identity_missing'
  | 'id_too_long'
  | 'subject_deleted'
  | 'unstorable'
  | Fault['code'];

/** A refusal that has its own words says where in the event. */
export type Refusal = { code: RejectionCode; message?: string; path?: string };

export const rejectionMessages: Record<RejectionCode, string> = {
  not_an_object: 'The event is not an object.',
  type_unknown: `The type is none of ${eventTypes.join(', ')}.`,
  event_name_missing: 'A track event needs a name of 1 to 200 characters in "event".',
  message_id_invalid: 'The messageId must be a string of at most 100 printable characters.',
  identity_missing: 'The event names nobody: userId or anonymousId is needed.',
  id_too_long: 'userId and anonymousId have at most 200 characters.',
  subject_deleted: 'The person has been deleted.',
  unstorable: 'The event cannot be stored; sending it again changes nothing.',
  too_deep: 'The event is nested deeper than 32 levels.',
  too_many_keys: 'The event has more than 2000 keys.',
  event_too_large: 'The event is larger than 32 KB.',
  property_type: 'A property is of another type than the catalogue says.',
  property_missing: 'A property that the catalogue asks for is missing.',
};

/**
 * By hand, for every event passes here: a schema that says the same takes three times as long. What is of the wrong type is as good
 * as missing.
 */
const readRecord = (value: unknown) => (isRecord(value) ? value : undefined);
const readName = (value: unknown) => (typeof value === 'string' ? storableText(value.trim()) || undefined : undefined);
const readId = (value: unknown) =>
  readName(typeof value === 'number' && Number.isFinite(value) ? String(value) : value);

type Payload = ReturnType<typeof readPayload>;

const readPayload = (raw: Record<string, unknown>) => ({
  messageId: raw.messageId,
  type: raw.type,
  event: readName(raw.event),
  name: readName(raw.name),
  category: readName(raw.category),
  userId: readId(raw.userId),
  anonymousId: readId(raw.anonymousId),
  previousId: readId(raw.previousId),
  groupId: readId(raw.groupId),
  timestamp: raw.timestamp,
  originalTimestamp: raw.originalTimestamp,
  sentAt: raw.sentAt,
  properties: readRecord(raw.properties),
  traits: readRecord(raw.traits),
  context: readRecord(raw.context),
});

/** What a batch says once for all its events, or why no event may have it: it is bounded as an event is (threats E5, F6). */
export type SharedContext = { fields: Record<string, unknown> } | { exceeded: Bounds };

export function sharedContext(given: unknown): SharedContext | undefined {
  if (!isRecord(given)) return undefined;
  const exceeded = exceededBound(given);
  return exceeded ? { exceeded } : { fields: given };
}

export type NormaliseOptions = {
  /** What the path says; unset in a batch, where each event says it. */
  type: EventType | undefined;
  /** Of the batch, where the event has none of its own. */
  sentAt: unknown;
  context: SharedContext | undefined;
  receivedAt: Date;
  catalogue: Catalogue;
  surroundings: Surroundings;
  /** Purposes under which the sender collects, for events that say nothing of it. */
  declaredConsents: string[];
};

export function normalise(raw: unknown, options: NormaliseOptions): { incoming: Incoming } | { refusal: Refusal } {
  if (!isRecord(raw)) return refused('not_an_object');
  const exceeded = exceededBound(raw);
  if (exceeded) return refused(exceeded);
  const sent = readPayload(raw);
  const type = options.type ?? eventTypes.find((known) => known === sent.type);
  if (!type) return refused('type_unknown');
  const messageId = readMessageId(sent.messageId);
  if (messageId === 'invalid') return refused('message_id_invalid');
  const event = nameOf(type, sent, options.catalogue);
  if (!event) return refused('event_name_missing');
  if ((sent.userId?.length ?? 0) > 200 || (sent.anonymousId?.length ?? 0) > 200) return refused('id_too_long');
  const { properties, fault } = options.catalogue.conform(event.event, propertiesOf(type, sent));
  if (fault) return { refusal: fault };
  // With both, `timestamp` is what the caller stated, and the other one the moment of the call.
  const stated = sent.timestamp ?? sent.originalTimestamp;
  const { timestamp, original_timestamp } = eventTime(
    stated,
    sent.sentAt ?? options.sentAt,
    options.receivedAt.getTime(),
  );
  const shared = sent.context ? { fields: sent.context } : (options.context ?? { fields: {} });
  if ('exceeded' in shared) return refused(shared.exceeded);
  const context = readContext(shared.fields, options);
  const incoming = {
    timestamp,
    original_timestamp,
    message_id: messageId?.id,
    type,
    event: event.event,
    original_event: event.original_event,
    user_id: sent.userId,
    anonymous_id: sent.anonymousId,
    channel: context.channel,
    external_ids: context.external_ids,
    id_token: context.id_token,
    consents: context.consents,
    properties: maskPersonal(properties),
    context: context.context,
  };
  return { incoming };
}

const refused = (code: RejectionCode) => ({ refusal: { code } });

/** Absent: we make one. Two senders' ids must not become one by repairing them, so what cannot be stored is refused (threat F5). */
function readMessageId(value: unknown): { id: string } | 'invalid' | undefined {
  if (value === undefined || value === null || value === '') return undefined;
  const usable = typeof value === 'string' && value.length <= 100 && value.isWellFormed() && !/\p{Cc}/u.test(value);
  return usable ? { id: value } : 'invalid';
}

function nameOf(type: EventType, sent: Payload, catalogue: Catalogue) {
  const original = type === 'track' ? sent.event : type === 'page' || type === 'screen' ? sent.name : undefined;
  if (type === 'track' && (!original || original.length > 200)) return undefined;
  const spoken = { page: 'page_viewed', screen: 'screen_viewed' } as const;
  const canonical = type === 'page' || type === 'screen' ? spoken[type] : catalogue.canonicalName(original ?? type);
  return { event: canonical, original_event: original === undefined || original === canonical ? null : original };
}

function propertiesOf(type: EventType, sent: Payload): Record<string, unknown> {
  const given = sent.properties ?? {};
  const { name, category, groupId: group_id, previousId: previous_id } = sent;
  switch (type) {
    case 'track':
      return given;
    case 'page':
    case 'screen':
      return { ...(name !== undefined && { name }), ...(category !== undefined && { category }), ...given };
    case 'identify':
      return { ...traitsOf(sent) };
    case 'group':
      // The traits in the context are those of the person.
      return { ...sent.traits, ...(group_id !== undefined && { group_id }) };
    case 'alias':
      return { ...given, ...(previous_id !== undefined && { previous_id }) };
  }
}

/** Some trackers keep the traits in the context. */
function traitsOf({ traits, context }: Payload): Record<string, unknown> {
  return { ...(isRecord(context?.traits) ? context.traits : {}), ...traits };
}

const channelName = /^[a-z][a-z0-9_]{0,39}$/;
const purposeName = /^[a-z][a-z0-9_]{0,39}$/;

function readContext(given: Record<string, unknown>, { surroundings, declaredConsents }: NormaliseOptions) {
  const { id_token, externalIds, consent, consentManagement, channel } = given;
  const said = readConsents(consent, consentManagement);
  const left = maskPersonal(withoutTaken(given));
  const context = Object.assign(left, enrichment(left, surroundings));
  const consent_source = said ? 'event' : declaredConsents.length ? 'key' : undefined;
  if (consent_source) context.consent_source = consent_source;
  return {
    channel: typeof channel === 'string' && channelName.test(channel) ? channel : undefined,
    id_token: typeof id_token === 'string' ? id_token : undefined,
    external_ids: readExternalIds(externalIds),
    consents: consentsOf(said ?? declaredConsents),
    context,
  };
}

/** What is kept elsewhere or not at all. */
const taken = new Set(['id_token', 'traits', 'externalIds', 'consent', 'consentManagement', 'channel', ...ours]);

/** A new object. `__proto__` is a name like any other in what was parsed, and would be a prototype if it were assigned. */
function withoutTaken(given: Record<string, unknown>): Record<string, unknown> {
  const left: Record<string, unknown> = {};
  for (const name of Object.keys(given)) {
    if (taken.has(name)) continue;
    if (name === '__proto__') Object.defineProperty(left, name, { value: given[name], ...ordinary });
    else left[name] = given[name];
  }
  return left;
}

const ordinary = { enumerable: true, writable: true, configurable: true };

/** The service first, each once. */
function consentsOf(purposes: string[]): string[] {
  return purposes.length ? [...new Set(['service', ...purposes])] : ['service'];
}

/** Purposes agreed to when the event was collected; undefined without a word of it. */
function readConsents(consent: unknown, management: unknown): string[] | undefined {
  const preferences = isRecord(consent) ? consent.categoryPreferences : undefined;
  const allowed = isRecord(management) ? management.allowedConsentIds : undefined;
  const granted = isRecord(preferences)
    ? Object.keys(preferences).filter((name) => preferences[name] === true)
    : Array.isArray(allowed)
      ? allowed
      : undefined;
  return granted?.filter((name) => typeof name === 'string' && purposeName.test(name)).slice(0, 20);
}

const externalId = z.object({
  id: z.union([z.string(), z.number().transform(String)]),
  type: z.string(),
  collection: z.literal('users').optional(),
  encoding: z.literal('none').optional(),
  issuer: z.string().max(200).default(''),
});

function readExternalIds(given: unknown): ExternalId[] {
  if (!Array.isArray(given)) return [];
  return given.slice(0, 10).flatMap((item) => {
    const { data } = externalId.safeParse(item);
    return data && data.id.length <= 320
      ? [{ type: data.type, id: storableText(data.id), issuer: storableText(data.issuer) }]
      : [];
  });
}
