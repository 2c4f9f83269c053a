/** Rows of the long lists, events, the record and members, cut to what a line can hold. Everything in them was written by others. */
import type { AuditRow } from '../audit/audit.ts';
import type { EventItem } from '../events/timeline.ts';
import type { Translate } from '../http/i18n.ts';
import type { Member } from '../segments/membership.ts';
import { propertyTitle, type Titles } from './titles.ts';

const most = { fields: 40, characters: 300 };

export const plain = (value: unknown) =>
  (typeof value === 'string' ? value : (JSON.stringify(value) ?? '')).slice(0, most.characters);

export function fieldsOf(values: Record<string, unknown>): { name: string; value: string }[] {
  const fields = Object.entries(values).slice(0, most.fields);
  return fields.map(([name, value]) => ({ name: name.slice(0, 100), value: plain(value) }));
}

/** Properties that say what an event is about, the clearest first. */
const saying = ['name', 'title', 'product_id', 'order_id', 'query', 'path', 'url'];

/** In a few words; undefined of an event that has no such property, or one that is no word. */
export function aboutOf(properties: Record<string, unknown>): string | undefined {
  const values = saying.map((name) => properties[name]);
  const found = values.find((value) => (typeof value === 'string' && value !== '') || typeof value === 'number');
  return found === undefined ? undefined : plain(found).slice(0, 60);
}

export function eventLine(event: EventItem, sub: string, titles: Titles) {
  const fields = fieldsOf(event.properties);
  return {
    ...event,
    title: titles.ofEvent(event.event),
    about: aboutOf(event.properties),
    /** Recorded under another sub than the one that stands: where it came from in a merge. */
    origin: event.recorded_sub !== sub ? event.recorded_sub : null,
    fields,
  };
}

/** Staff write sentences; a rule writes the name of its reason. */
const isSentence = (reason: unknown): reason is string => typeof reason === 'string' && /[^a-z_]/.test(reason);

/** A reason as colleagues read it; undefined for a name that there are no words for. */
export function reasonInWords(reason: unknown, t: Translate): string | undefined {
  if (isSentence(reason)) return reason;
  const words = t(`admin.why.${reason}`);
  return words === `admin.why.${reason}` ? undefined : words;
}

export function auditLine(entry: AuditRow, t: Translate, colleagues: Map<string, string>) {
  const key = `admin.action.${entry.action.replaceAll('.', '_')}`;
  const sentence = t(key);
  const { details } = entry;
  const reason = reasonInWords(details.reason, t);
  return {
    ...entry,
    title: sentence === key ? entry.action : sentence,
    /** Of a member of staff, what colleagues know them by. */
    colleague: colleagues.get(entry.actor_id ?? ''),
    reason,
    fields: fieldsOf(Object.fromEntries(Object.entries(details).filter(([name]) => name !== 'reason' || !reason))),
  };
}

/** The values for which somebody is a member, some of each path. */
export function matchedLines(matched: Member['matched'], t: Translate): { title: string; values: string[] }[] {
  return Object.entries(matched ?? {}).map(([path, values]) => ({
    title: propertyTitle(t, path),
    values: values.slice(0, 20).map(plain),
  }));
}
