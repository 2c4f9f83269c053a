/** The settings of a write key as a form: what it shows, what was typed, and a sentence for each field that is wrong. */
import { consentDeclaration, newWriteKey, originFault } from '../events/write-key-fields.ts';
import type { NewWriteKey, WriteKey } from '../events/write-keys.ts';
import type { Translate } from '../http/i18n.ts';
import type { Fields } from './console.ts';

/**
 * Where a key is used, as staff think of it: it says which kind it is and on which channel its events are. A tracker that does not say
 * where it is would else be on the channel of servers.
 */
export const places = {
  website: { kind: 'client', channel: 'website' },
  miniprogram: { kind: 'client', channel: 'miniprogram' },
  app: { kind: 'client', channel: 'app' },
  server: { kind: 'server', channel: 'server' },
} as const satisfies Record<string, Pick<WriteKey, 'kind' | 'channel'>>;

const placeIn = (form: Fields) => Object.entries(places).find(([name]) => name === form.place)?.[1];

export const formOf = (key: WriteKey): Fields => ({
  name: key.name,
  origins: key.origins.join('\n'),
  channel: key.channel ?? '',
  events_per_minute: key.events_per_minute === null ? '' : String(key.events_per_minute),
  ...Object.fromEntries(key.client_ids.map((id) => [clientField(id), '1'])),
});

/** A field may come once: each client has its own. */
export const clientField = (client_id: string) => `client ${client_id}`;

const linesOf = (text = '') =>
  text
    .split(/[\s,，]+/)
    .map((line) => line.trim())
    .filter(Boolean);

/** @param known the key that is changed; without one, where the new one is used is among what was typed */
export function readSettings(
  form: Fields,
  t: Translate,
  known?: WriteKey,
): { settings: NewWriteKey | undefined; faults: Fields } {
  const { kind, channel } = known ?? placeIn(form) ?? {};
  const typed = (name: string) => (form[name] ?? '').trim();
  const origins = [...new Set(linesOf(form.origins))];
  const own = typed('channel');
  const read = newWriteKey.safeParse({
    kind,
    name: typed('name'),
    client_ids: Object.keys(form)
      .filter((field) => field.startsWith(clientField('')))
      .map((field) => field.slice(clientField('').length)),
    origins,
    channel: own || (known ? null : (channel ?? null)),
    events_per_minute: typed('events_per_minute') === '' ? null : Number(typed('events_per_minute')),
  });
  const wrong = new Set(read.error?.issues.map(({ path: [field] }) => String(field)));
  const faults: Fields = Object.fromEntries(
    [...wrong].filter((field) => field !== 'origins').map((field) => [field, t(`admin.keys.fault_${field}`)]),
  );
  const about = originsFault(origins, { kind, isOfWebsite: (own || channel) === 'website' }, t);
  if (about) faults.origins = about;
  return { settings: Object.keys(faults).length ? undefined : read.data, faults };
}

function originsFault(
  origins: string[],
  { kind, isOfWebsite }: { kind: WriteKey['kind'] | undefined; isOfWebsite: boolean },
  t: Translate,
): string | undefined {
  // A server's key in a page would be everybody's.
  if (kind === 'server') return origins.length ? t('admin.keys.fault_origins_server') : undefined;
  // Without one no browser may send: it asks first, and the answer would be no.
  if (!origins.length) return isOfWebsite ? t('admin.keys.fault_origins_none') : undefined;
  if (origins.length > 100) return t('admin.keys.fault_origins');
  for (const origin of origins) {
    const fault = originFault(origin);
    if (fault)
      return t(`admin.keys.origin_${fault}`, { text: origin.slice(0, 100), origin: URL.parse(origin)?.origin ?? '' });
    if (origin.length > 300) return t('admin.keys.fault_origins');
  }
  return undefined;
}

export const purposeField = (purpose: string) => `purpose ${purpose}`;

export function readDeclaration(form: Fields, t: Translate) {
  const { data, error } = consentDeclaration.safeParse({
    purposes: Object.keys(form)
      .filter((field) => field.startsWith(purposeField('')))
      .map((field) => field.slice(purposeField('').length)),
    by: (form.by ?? '').trim(),
  });
  const wrong = new Set(error?.issues.map(({ path: [field] }) => String(field)));
  const faults: Fields = Object.fromEntries([...wrong].map((field) => [field, t(`admin.keys.fault_${field}`)]));
  return { declared: data, faults };
}
