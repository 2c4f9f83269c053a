/** People and what they did, in memory. */
import type { BehaviourEvent } from '../../src/behaviour/language.ts';
import type { Segment } from '../../src/segments/definition.ts';
import { type CompiledSegment, compileSegment } from '../../src/segments/evaluate.ts';
import type { Person } from '../../src/segments/person.ts';
import { templates } from '../../src/segments/templates.ts';

export const day = 86_400_000;
export const hour = 3_600_000;
/** A Thursday morning in Shanghai. */
export const now = Date.parse('2026-11-26T10:00:00+08:00');

let events = 0;

/** @param ago days before `now` */
export function did(
  event: string,
  ago: number,
  properties: Record<string, unknown> = {},
  more: Partial<BehaviourEvent> = {},
): BehaviourEvent {
  const id = `00000000-0000-7000-8000-${String(++events).padStart(12, '0')}`;
  return {
    id,
    timestamp: now - ago * day,
    event,
    channel: 'website',
    trust: 'server',
    consents: ['marketing'],
    properties,
    context: {},
    ...more,
  };
}

/** Agreed to marketing, personalised, and nothing else. */
export function personWith(done: BehaviourEvent[], more: Partial<Person> = {}): Person {
  return {
    sub: '01900000-0000-7000-8000-000000000001',
    isActive: true,
    agreed: new Set(['service', 'marketing']),
    isPersonalised: true,
    identities: [],
    tags: new Set(),
    lists: new Set(),
    traits: new Map(),
    events: done.toSorted((a, b) => a.timestamp - b.timestamp || (a.id < b.id ? -1 : 1)),
    ...more,
  };
}

export function segment(where: Segment['where'], more: Partial<Segment> = {}): Segment {
  return { version: 1, key: 'one', name: 'One', purpose: 'marketing', tz: 'Asia/Shanghai', where, ...more };
}

/** What one of the segments to start from asks. */
export function template(key: string): Segment['where'] {
  const found = templates.find(({ definition }) => definition.key === key);
  if (!found) throw new Error(`there is no template ${key}`);
  return found.definition.where;
}

export function compiled(where: Segment['where'], more: Partial<Segment> = {}, others: CompiledSegment[] = []) {
  return compileSegment(segment(where, more), { segmentOf: (key) => others.find((one) => one.segment.key === key) });
}
