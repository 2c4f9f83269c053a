/**
 * The tracker's own properties (`$…`) → our context, and the names of our catalogue where an event has such a property. What is not
 * listed stays a property under the name it has. Placeholders that the trackers send for "none" are none.
 */
import { isPersonal } from './who.ts';

const placeholders: unknown[] = [
  '',
  '取值异常',
  '未取到',
  '未取到值',
  '未取到值_直接打开',
  '直接打开',
  'url的domain解析失败',
];

/** Where in the context; `section.field`. */
const places: Record<string, string> = {
  $url: 'page.url',
  $url_path: 'page.path',
  $url_query: 'page.search',
  $title: 'page.title',
  $referrer: 'page.referrer',
  $os: 'os.name',
  $os_version: 'os.version',
  $brand: 'device.brand',
  $manufacturer: 'device.manufacturer',
  $model: 'device.model',
  $screen_width: 'screen.width',
  $screen_height: 'screen.height',
  $viewport_width: 'screen.innerWidth',
  $viewport_height: 'screen.innerHeight',
  $browser: 'browser.name',
  $browser_version: 'browser.version',
  $app_id: 'app.id',
  $app_name: 'app.name',
  $app_version: 'app.version',
  $mp_client_app_version: 'app.hostVersion',
  $mp_client_basic_library_version: 'app.libraryVersion',
  $timezone_offset: 'device.timezoneOffset',
  $network_type: 'network.type',
  $carrier: 'network.carrier',
};

/** Said by `lib` too, or read by who.ts. */
const known = new Set(['$lib', '$lib_version', '$lib_method', '$lib_detail', '$is_login_id', '$token', '$project']);

const campaign = { source: 'source', medium: 'medium', name: 'campaign', content: 'content', term: 'term' };
const share = { from: 'distinct_id', depth: 'depth', path: 'url_path', method: 'method' };

const screen = { $url_path: 'path', $title: 'title', $scene: 'scene' };
const click = { $element_content: 'name', $element_target_url: 'target' };

/** Catalogue properties by event. */
const renamed: Record<string, Record<string, string>> = {
  $pageview: { $url: 'url', $url_path: 'path', $title: 'title', $referrer: 'referrer' },
  $MPViewScreen: screen,
  $MPLaunch: screen,
  $MPShow: screen,
  $MPHide: { event_duration: 'duration' },
  $WebClick: click,
  $MPClick: click,
  $MPShare: { $url_path: 'path', $share_method: 'method' },
};

type Fields = Record<string, unknown>;

/** What the event says about itself, and about where and how it happened. */
export function sortProperties(event: unknown, given: Fields): { properties: Fields; context: Fields } {
  const sent = new Map(
    Object.entries(given).filter(([name, value]) => !(name.startsWith('$') && placeholders.includes(value))),
  );
  const scene = sceneOf(sent.get('$scene') ?? sent.get('$latest_scene'));
  if (sent.has('$scene')) sent.set('$scene', scene);
  const names = typeof event === 'string' && Object.hasOwn(renamed, event) ? renamed[event] : undefined;
  const own = Object.entries(names ?? {}).flatMap(([name, ours]) => (sent.has(name) ? [[ours, sent.get(name)]] : []));
  const context = {
    ...placed(sent),
    ...(scene !== undefined && { scene }),
    ...group('campaign', sent, campaign, ['$utm_', '$latest_utm_']),
    ...group('share', sent, share, ['$share_', '$latest_share_']),
  };
  for (const name of [...known, '$scene', '$latest_scene', ...Object.keys(places), ...Object.keys(names ?? {})])
    sent.delete(name);
  return { properties: { ...Object.fromEntries(own), ...Object.fromEntries(sent) }, context };
}

function sceneOf(value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' ? String(value).replace(/^wx-/, '') : undefined;
}

function placed(sent: Map<string, unknown>): Fields {
  const context: Record<string, Fields> = {};
  for (const [name, place] of Object.entries(places)) {
    const [section = '', field = ''] = place.split('.');
    if (sent.has(name)) context[section] = { ...context[section], [field]: sent.get(name) };
  }
  return context;
}

/** Of this visit when it says so, else the last that the tracker remembers; never one's source with the other's medium. */
function group(
  section: string,
  sent: Map<string, unknown>,
  fields: Record<string, string>,
  prefixes: string[],
): Fields {
  const found = prefixes.map((prefix) => {
    const values = Object.entries(fields).map(([ours, name]) => [ours, sent.get(prefix + name)] as const);
    for (const name of Object.values(fields)) sent.delete(prefix + name);
    return values.filter(([, value]) => value !== undefined && !(typeof value === 'string' && isPersonal(value)));
  });
  const values = found.find(({ length }) => length > 0);
  return values ? { [section]: Object.fromEntries(values) } : {};
}

/** Traits have no `$` with us; a property that the company named so itself comes first. */
export function traitsOf(given: Fields): Fields {
  const preset = Object.entries(given).filter(([name]) => name.startsWith('$') && !known.has(name));
  const own = Object.entries(given).filter(([name]) => !name.startsWith('$'));
  return Object.fromEntries([...preset.map(([name, value]) => [name.slice(1), value] as const), ...own]);
}
