/** The oracle's matches: which of the events that can be seen a Match means. */
import { holdsCond, holdsItem, isSame, reach } from './oracle-values.ts';
import type { Json, Match, StoredEvent } from './oracle-world.ts';

export const isLater = (a: StoredEvent, b: StoredEvent) =>
  a.timestamp > b.timestamp || (a.timestamp === b.timestamp && a.id > b.id);

const ranks = ['claimed', 'bound', 'token', 'server'];
const oneOf = (given: string | string[], value: string) =>
  Array.isArray(given) ? given.includes(value) : given === value;
const isNamed = (given: string | string[], event: StoredEvent) => given === '*' || oneOf(given, event.event);
export const has = (event: StoredEvent, path: string, value: Json) =>
  reach(path, event).some((own) => isSame(own, value));

/** The matches among the events that can be seen. */
export function select(match: Match, seen: StoredEvent[]): StoredEvent[] {
  return seen.filter((event) => {
    const { channel, trust = 'claimed', where = [], item, unless } = match;
    if (!isNamed(match.event, event)) return false;
    if (channel !== undefined && !oneOf(channel, event.channel)) return false;
    if (ranks.indexOf(event.trust) < ranks.indexOf(trust)) return false;
    if (!where.every((cond) => holdsCond(cond, (path) => reach(path, event)))) return false;
    if (item && !holdsItem(item, event)) return false;
    return !(unless && seen.some((other) => isLater(other, event) && cancels(other, event, unless)));
  });
}

function cancels(other: StoredEvent, event: StoredEvent, unless: NonNullable<Match['unless']>): boolean {
  return (
    isNamed(unless.event, other) &&
    (unless.where ?? []).every((cond) => holdsCond(cond, (path) => reach(path, other))) &&
    reach(unless.same, event).some((value) => has(other, unless.same, value))
  );
}
