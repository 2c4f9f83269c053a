/**
 * Whether a definition can be one: read from JSON, and held against the segments there are. Every fault at once, as a sentence in the
 * reader's language.
 */
import type { Knex } from 'knex';
import type { Fault } from '../behaviour/faults.ts';
import type { Clock } from '../clock.ts';
import { fail } from '../errors.ts';
import type { Catalogue } from '../events/catalogue.ts';
import type { Translate } from '../http/i18n.ts';
import type { Segment } from './definition.ts';
import { parseSegment, sentenceOf } from './parse.ts';
import { type References, readTagging, referencesIn } from './rules.ts';
import { type DefinitionRow, standingDefinitions } from './store.ts';

export type SegmentServices = {
  clock: Clock;
  /** Gives our name for an event, whatever a definition calls it. */
  readCatalogue(): Promise<Catalogue>;
  /** For the sentences of faults. */
  translate: Translate;
};

/** @throws invalid_fields: a sentence for every fault, by its path */
export async function checked(
  db: Knex,
  services: Pick<SegmentServices, 'readCatalogue' | 'translate'>,
  json: unknown,
): Promise<Segment> {
  const found = await checkDefinition(db, services, json);
  if ('segment' in found) return found.segment;
  const sentences = found.faults.map((fault) => [fault.path, sentenceOf(fault, services.translate)]);
  throw fail('invalid_fields', { fields: Object.fromEntries(sentences) });
}

/** Also whether it asks, through others, for itself. */
export async function checkDefinition(
  db: Knex,
  { readCatalogue }: Pick<SegmentServices, 'readCatalogue'>,
  json: unknown,
): Promise<{ segment: Segment } | { faults: Fault[] }> {
  const { canonicalName } = await readCatalogue();
  const known = await standingDefinitions(db);
  const tagging = await readTagging(db);
  const parsed = parseSegment(json, { canonicalName, segmentKeys: new Set(known.map(({ key }) => key)), isTrait });
  if ('faults' in parsed) return parsed;
  const ring = ringThrough(parsed.segment, known, tagging);
  return ring ? { faults: [{ path: 'where', code: 'refers_in_ring', values: { ring: ring.join(' → ') } }] } : parsed;
}

/** Declared ones are an open list. Signing in is nothing that segments hear of. */
const isTrait = (name: string) => name !== 'last_sign_in_at';

/** The way from this definition through others, by whichever of their versions, back to its segment. */
export function ringThrough(
  segment: Segment,
  standing: DefinitionRow[],
  tagging: References['segmentsTagging'],
): string[] | undefined {
  const versions = Map.groupBy(standing, ({ key }) => key);
  const seen = new Set<string>();
  const walk = (definition: Segment, way: string[]): string[] | undefined => {
    for (const key of referencesIn(definition, tagging).segments) {
      if (key === segment.key) return [...way, key];
      if (seen.has(key)) continue;
      seen.add(key);
      for (const next of versions.get(key) ?? []) {
        const found = walk(next.definition, [...way, key]);
        if (found) return found;
      }
    }
    return undefined;
  };
  return walk(segment, [segment.key]);
}
