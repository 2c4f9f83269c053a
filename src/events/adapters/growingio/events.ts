/**
 * One event as the vendor's trackers write it → one of our tracking API, which the normaliser then judges like any other's.
 *
 *   VISIT                                             app_opened in a mini-program, session_started on a website
 *   PAGE                                              screen in a mini-program, page on a website
 *   LOGIN_USER_ATTRIBUTES, VISITOR_ATTRIBUTES         identify
 *   CUSTOM                                            track under the event's own name
 *   VIEW_CLICK, VIEW_CHANGE, FORM_SUBMIT, APP_CLOSED  track under this name, which the catalogue knows; any other type too
 *
 * Left out: what somebody typed into a field, and where on earth the phone is; nobody is asked for either.
 */
import { createHash } from 'node:crypto';
import { exceededBound, isRecord } from '../../storable.ts';

type Fields = Record<string, unknown>;

export function eventOf(sent: unknown): unknown {
  // The normaliser says why: so deep or large it must not be walked again.
  if (!isRecord(sent) || exceededBound(sent)) return sent;
  const { deviceId: anonymousId, userId, timestamp } = sent;
  const channel = channelOf(sent);
  const what = whatOf(sent, channel === 'website');
  return { messageId: messageIdOf(sent), anonymousId, userId, timestamp, context: contextOf(sent, channel), ...what };
}

/**
 * The trackers have no message id, but send again what they sent before, to the letter; their sequence number makes two events of one
 * millisecond differ.
 */
function messageIdOf(sent: Fields): string {
  return `gio-${createHash('sha256').update(JSON.stringify(sent)).digest('base64url').slice(0, 24)}`;
}

/** Of sharing and keeping a page, which the mini-program tracker reports by itself: the names of our catalogue. */
const own = new Map([
  ['$share_path', 'path'],
  ['$share_query', 'query'],
  ['$share_title', 'title'],
  ['$from', 'method'],
]);

function renamed(event: unknown, properties: Fields): Fields {
  if (typeof event !== 'string' || !event.startsWith('$mp_')) return properties;
  return Object.fromEntries(Object.entries(properties).map(([name, value]) => [own.get(name) ?? name, value]));
}

/** A project may have several trackers, so the key cannot say which it was. */
function channelOf({ platform }: Fields): string {
  if (platform === undefined || platform === 'web' || platform === 'wxwv') return 'website';
  return platform === 'Android' || platform === 'iOS' ? 'app' : 'miniprogram';
}

function whatOf(sent: Fields, onWebsite: boolean): Fields {
  const { eventType, eventName, path, title, textValue: name, hyperlink: target } = sent;
  const { xpath, xcontent, index, attributes } = sent;
  // The browser tracker adds itself to what the website says.
  const { $userAgent, ...properties } = isRecord(attributes) ? attributes : {};
  const scene = sceneOf(sent);
  const referrer = referrerOf(sent);
  switch (eventType) {
    case 'VISIT':
      return onWebsite
        ? { type: 'track', event: 'session_started', properties: { ...properties, path, referrer } }
        : { type: 'track', event: 'app_opened', properties: { ...properties, path, scene } };
    case 'PAGE':
      return onWebsite
        ? { type: 'page', properties: { ...properties, path, title, referrer, url: urlOf(sent) } }
        : { type: 'screen', properties: { ...properties, path, title, scene, referrer } };
    case 'LOGIN_USER_ATTRIBUTES':
    case 'VISITOR_ATTRIBUTES':
      return { type: 'identify', traits: properties };
    case 'CUSTOM':
      return { type: 'track', event: eventName, properties: renamed(eventName, properties) };
    case 'VIEW_CLICK':
      return {
        type: 'track',
        event: eventType,
        properties: { ...properties, name, target, xpath, xcontent, index },
      };
    case 'VIEW_CHANGE':
      return { type: 'track', event: eventType, properties: { ...properties, target, xpath, xcontent, index } };
    default:
      return typeof eventType === 'string' ? { type: 'track', event: eventType, properties } : {};
  }
}

function contextOf(sent: Fields, channel: string): Fields {
  const onWebsite = channel === 'website';
  const { path, title, domain, query } = sent;
  const referrer = referrerOf(sent);
  const search = typeof query === 'string' && query !== '' ? `?${query.replace(/^\?/, '')}` : undefined;
  const attributes = isRecord(sent.attributes) ? sent.attributes : {};
  return filled({
    channel,
    page: { path, title, search, referrer, url: urlOf(sent), ...(onWebsite && { host: domain }) },
    app: onWebsite ? { version: sent.appVersion } : { id: domain, version: sent.appVersion },
    scene: sceneOf(sent),
    campaign: campaignOf(search),
    sessionId: sent.sessionId,
    userAgent: attributes.$userAgent,
    locale: sent.language,
    device: { brand: sent.deviceBrand, model: sent.deviceModel, type: sent.deviceType },
    os: { name: sent.operatingSystem },
    platform: sent.platformVersion,
    screen: { width: sent.screenWidth, height: sent.screenHeight },
    network: { type: sent.networkState },
    library: { name: onWebsite ? 'gio-webjs-sdk' : 'gio-miniprogram-sdk', version: sent.sdkVersion },
  });
}

/** Without the sections that hold nothing: they would be stored with every event. */
function filled(context: Fields): Fields {
  const holds = (value: unknown) =>
    isRecord(value) ? Object.values(value).some((field) => field !== undefined) : value !== undefined;
  return Object.fromEntries(Object.entries(context).filter(([, value]) => holds(value)));
}

/** `scn:1047`; `scn:NA` when the tracker was not told. */
function sceneOf({ appChannel }: Fields): string | undefined {
  const [, scene] = typeof appChannel === 'string' ? (/^scn:(?!NA$)(.{1,40})$/.exec(appChannel) ?? []) : [];
  return scene;
}

/** A page, or the app that opened this one; without either the mini-program tracker repeats the scene. */
function referrerOf({ referralPage }: Fields): unknown {
  return typeof referralPage === 'string' && referralPage.startsWith('scn:') ? undefined : referralPage;
}

/** Said with the scheme by PAGE alone. */
function urlOf({ protocolType, domain, path, query }: Fields): string | undefined {
  if (typeof protocolType !== 'string' || typeof domain !== 'string' || typeof path !== 'string') return undefined;
  return `${protocolType}://${domain}${path}${typeof query === 'string' && query !== '' ? `?${query}` : ''}`;
}

const utm = {
  source: 'utm_source',
  medium: 'utm_medium',
  name: 'utm_campaign',
  term: 'utm_term',
  content: 'utm_content',
};

function campaignOf(search: string | undefined): Record<string, string> | undefined {
  const query = new URLSearchParams(search);
  const named = Object.entries(utm).flatMap(([ours, name]) => {
    const value = query.get(name);
    return value ? [[ours, value]] : [];
  });
  return named.length ? Object.fromEntries(named) : undefined;
}
